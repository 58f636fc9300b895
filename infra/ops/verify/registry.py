"""What each service offers to the audit: its module `audit`, found by name as its migrations are."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from infra.database.checks import Check, FactTable, Row

MongoFactReader = Callable[[Any], AsyncIterator[tuple[str, Row]]]
"""Facts of a store that is no SQL database, one by one, each with the table it belongs to."""

OUTBOX_FACTS = (
    FactTable(
        "outbox",
        ("service", "event_id", "aggregate_id", "name"),
        "SELECT uuid_send(id), uuid_send(split_part(subject, '.', 3)::uuid), split_part(subject, '.', 4) FROM outbox",
        indexes=("aggregate_id, name",),
    ),
)
"""Of every service with a PostgreSQL database; `service` is put before each row."""

INBOX_FACTS = FactTable(
    "inbox", ("service", "event_id"), "SELECT uuid_send(event_id) FROM inbox", indexes=("event_id, service",)
)
"""Read last: what was heard is known only after how far its consumer has come."""

OVERDUE_OUTBOX_SQL = """
SELECT uuid_send(id) AS event_id, subject || ' waits since ' || created_at AS detail
FROM outbox WHERE created_at < now() - interval '60 seconds' ORDER BY position
"""


@dataclass(frozen=True, slots=True)
class ServiceChecks:
    """One service's part."""

    service: str
    facts: tuple[FactTable, ...] = ()
    checks: tuple[Check, ...] = ()
    read_mongo_facts: MongoFactReader | None = None


def checks_of(service: str) -> ServiceChecks:
    """Empty for a service that has nothing to say."""
    name = f"services.{service}.checks"
    if find_spec(name) is None:
        return ServiceChecks(service)
    module = import_module(name)
    return ServiceChecks(
        service, getattr(module, "FACTS", ()), getattr(module, "CHECKS", ()), getattr(module, "told", None)
    )
