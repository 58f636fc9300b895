"""docs/generated/access.md: who may do what, over HTTP and on NATS."""

import sys
from collections.abc import Iterator

from contracts.access import Asker, rows_of
from contracts.operation import EDGE
from contracts.registry import EVENTS, HEARS, OPERATIONS
from edge.routes import every

HTTP = """# Who may do what

Made from the contracts by `souk docs`. An operation says who may use it (`access`), who may publish its subject
(`callers`) and whose things it is about (`owned`); `contracts/access.py` says what follows. The services enforce it,
and `tests/access` walks through every row over HTTP.

## Over HTTP

An owner and another customer are both signed in; *about* is what belongs to the one and not to the other. What is not
one's own is told as what is not there. `with` marks what a request names but need not.

An API key is a machine's, with the scopes that an administrator gave it: the one that a route needs stands in its
column. Without it the answer is 403 `scope_missing`; what says `yes` needs none.
"""
NATS = """
## On NATS

A subject that clients can bring the edge to ask may be published by the edge and the operator alone: it trusts the
identity that comes with it. What services ask of one another trusts none. Nobody else may publish these subjects; the
NATS server refuses it.
"""
SAID = """
An event is published by the service that owns it, and delivered to those who hear it.
"""


def lines() -> Iterator[str]:
    yield HTTP
    yield from _table("route", "about", *(asker.value for asker in Asker))
    for path, route in every():
        for row in rows_of(route.operation):
            plain = len(list(rows_of(route.operation))) == 1
            about = "" if row.owned is None else row.owned.thing if plain else f"with `{row.names}`"
            yield _row(f"{route.method} `{path}`", about, *(row.says(asker) for asker in Asker))
    yield NATS
    yield from _table("subject", "asked by")
    for operation in OPERATIONS:
        if EDGE not in operation.callers:
            yield _row(f"`{operation.subject}`", ", ".join(sorted(operation.callers)))
    yield SAID
    yield from _table("event", "heard by")
    for event in EVENTS:
        yield _row(f"`{event.pattern()}`", ", ".join(name for name, heard in HEARS.items() if event in heard))


def _table(*heads: str) -> Iterator[str]:
    yield _row(*heads)
    yield "|" + "---|" * len(heads)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> None:
    sys.stdout.write("\n".join(lines()) + "\n")


if __name__ == "__main__":
    main()
