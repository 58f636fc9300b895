"""docs/generated/access.md: who may do what, over HTTP and on NATS."""

import sys
from collections.abc import Iterator

from contracts.access import CallerKind, access_rules
from contracts.operation import EDGE
from contracts.registry import EVENTS, OPERATIONS, SUBSCRIPTIONS
from edge.routes import all_routes

HTTP_SECTION = """# Who may do what

Made from the contracts by `souk docs`. An operation says who may use it (`access`), who may publish its subject
(`callers`) and whose things it is about (`owned`); `contracts/access.py` says what follows. The services enforce it,
and `tests/access` walks through every row over HTTP.

## Over HTTP

An owner and another customer are both signed in; *about* is what belongs to the one and not to the other. What is not
one's own is told as what is not there. `with` marks what a request names but need not.

An API key is a machine's, with the scopes that an administrator gave it: the one that a route needs stands in its
column. Without it the answer is 403 `scope_missing`; what says `yes` needs none.
"""
NATS_SECTION = """
## On NATS

A subject that clients can bring the edge to ask may be published by the edge and the operator alone: it trusts the
identity that comes with it. What services ask of one another trusts none. Nobody else may publish these subjects; the
NATS server refuses it.
"""
EVENTS_SECTION = """
An event is published by the service that owns it, and delivered to those who hear it.
"""


def access_table_lines() -> Iterator[str]:
    yield HTTP_SECTION
    yield from _table("route", "about", *(asker.value for asker in CallerKind))
    for path, route in all_routes():
        for row in access_rules(route.operation):
            plain = len(list(access_rules(route.operation))) == 1
            about = "" if row.resource is None else row.resource.name if plain else f"with `{row.id_field}`"
            yield _row(f"{route.method} `{path}`", about, *(row.describe(asker) for asker in CallerKind))
    yield NATS_SECTION
    yield from _table("subject", "asked by")
    for operation in OPERATIONS:
        if EDGE not in operation.callers:
            yield _row(f"`{operation.subject}`", ", ".join(sorted(operation.callers)))
    yield EVENTS_SECTION
    yield from _table("event", "heard by")
    for event in EVENTS:
        yield _row(
            f"`{event.subject_pattern()}`", ", ".join(name for name, heard in SUBSCRIPTIONS.items() if event in heard)
        )


def _table(*heads: str) -> Iterator[str]:
    yield _row(*heads)
    yield "|" + "---|" * len(heads)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> None:
    sys.stdout.write("\n".join(access_table_lines()) + "\n")


if __name__ == "__main__":
    main()
