"""The access table: who may do what, over HTTP and on NATS. `souk docs` writes it."""

from collections.abc import Iterator

from contracts.access import CallerKind, access_rules
from contracts.operation import EDGE
from contracts.registry import EVENTS, OPERATIONS, SUBSCRIPTIONS
from edge.routes import all_routes

HTTP_SECTION = """# Who may do what

`souk docs` makes this page from the contracts. An operation states who may use it (`access`), who may publish its
subject (`callers`) and whose resources it works on (`owned_resources`); `contracts/access.py` holds the rules that
follow. The services enforce them, and `tests/access` checks every row over HTTP.

## Over HTTP

An *owner* and *another customer* are both signed in; *about* names the resource that belongs to the first. A resource
of another customer looks like one that does not exist. `with` marks a resource that a request may name but need not.

An API key belongs to a machine and has the scopes that an administrator gave it. Its column shows the scope that the
route needs; without that scope the response is 403 `scope_missing`. Where the column says `yes`, no scope is needed.
"""
NATS_SECTION = """
## On NATS

Only the edge and the operator may publish the subjects that serve clients, because these operations trust the identity
in the message. The operations below serve other services and trust no identity. The NATS server refuses any other
publisher.
"""
EVENTS_SECTION = """
The service that owns an event publishes it. It is delivered to the services that subscribe to it.
"""


def access_table_lines() -> Iterator[str]:
    """Yields the lines of the page."""
    yield HTTP_SECTION
    yield from _table("route", "about", *(caller.value for caller in CallerKind))
    for path, route in all_routes():
        rules = list(access_rules(route.operation))
        for rule in rules:
            about = (
                "" if rule.resource is None else rule.resource.name if len(rules) == 1 else f"with `{rule.id_field}`"
            )
            yield _row(f"{route.method} `{path}`", about, *(rule.describe(caller) for caller in CallerKind))
    yield NATS_SECTION
    yield from _table("subject", "callers")
    for operation in OPERATIONS:
        if EDGE not in operation.callers:
            yield _row(f"`{operation.subject}`", ", ".join(sorted(operation.callers)))
    yield EVENTS_SECTION
    yield from _table("event", "subscribers")
    for event in EVENTS:
        subscribers = [service for service, events in SUBSCRIPTIONS.items() if event in events]
        yield _row(f"`{event.subject_pattern()}`", ", ".join(subscribers))


def _table(*heads: str) -> Iterator[str]:
    yield _row(*heads)
    yield "|" + "---|" * len(heads)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
