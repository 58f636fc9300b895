"""What each service offers to the audit: its module `audit`, found by name as its migrations are."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from infra.database.checks import Check, Facts, Row

Told = Callable[[Any], AsyncIterator[tuple[str, Row]]]
"""Facts of a store that is no SQL database, one by one, each with the table it belongs to."""

KERNEL_FACTS = (
    Facts(
        "outbox",
        ("service", "event_id", "aggregate_id", "name"),
        "SELECT uuid_send(id), uuid_send(split_part(subject, '.', 3)::uuid), split_part(subject, '.', 4) FROM outbox",
        keys=("aggregate_id, name",),
    ),
)
"""Of every service with a PostgreSQL database; `service` is put before each row."""

HEARD = Facts("inbox", ("service", "event_id"), "SELECT uuid_send(event_id) FROM inbox", keys=("event_id, service",))
"""Read last: what was heard is known only after how far its consumer has come."""

OVERDUE = """
SELECT uuid_send(id) AS event_id, subject || ' waits since ' || created_at AS detail
FROM outbox WHERE created_at < now() - interval '60 seconds' ORDER BY position
"""


@dataclass(frozen=True, slots=True)
class Room:
    """One service's part."""

    service: str
    facts: tuple[Facts, ...] = ()
    checks: tuple[Check, ...] = ()
    told: Told | None = None


def room_of(service: str) -> Room:
    """Empty for a service that has nothing to say."""
    name = f"services.{service}.checks"
    if find_spec(name) is None:
        return Room(service)
    module = import_module(name)
    return Room(service, getattr(module, "FACTS", ()), getattr(module, "CHECKS", ()), getattr(module, "told", None))
