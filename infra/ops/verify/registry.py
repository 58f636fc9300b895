"""The checks and facts of every service, and those that all services with a PostgreSQL database share."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from infra.database.checks import Check, FactTable, Row
from services.cart import checks as cart
from services.catalog import checks as catalog
from services.notification import checks as notification
from services.order import checks as order
from services.payment import checks as payment
from services.user import checks as user

MongoFactReader = Callable[[Any], AsyncIterator[tuple[str, Row]]]
"""Reads a MongoDB database and yields fact rows, each with the name of its table."""

OUTBOX_FACTS = (
    FactTable(
        "outbox",
        ("service", "event_id", "aggregate_id", "name"),
        "SELECT uuid_send(id), uuid_send(split_part(subject, '.', 3)::uuid), split_part(subject, '.', 4) FROM outbox",
        indexes=("aggregate_id, name",),
    ),
)
"""Read from every PostgreSQL database; the reader puts `service` before each row."""

INBOX_FACTS = FactTable(
    "inbox", ("service", "event_id"), "SELECT uuid_send(event_id) FROM inbox", indexes=("event_id, service",)
)
"""Read last, after the consumer positions: an acknowledged event is then in the inbox for certain."""

OVERDUE_OUTBOX_SQL = """
SELECT uuid_send(id) AS event_id, subject || ' waits since ' || created_at AS detail
FROM outbox WHERE created_at < now() - interval '60 seconds' ORDER BY position
"""


@dataclass(frozen=True, slots=True)
class ServiceChecks:
    """What one service contributes: facts for cross-store checks, and checks of its own store."""

    service: str
    facts: tuple[FactTable, ...] = ()
    checks: tuple[Check, ...] = ()
    read_mongo_facts: MongoFactReader | None = None


SERVICE_CHECKS: Mapping[str, ServiceChecks] = MappingProxyType(
    {
        "user": ServiceChecks("user", checks=user.CHECKS),
        "catalog": ServiceChecks("catalog", catalog.FACTS, catalog.CHECKS),
        "cart": ServiceChecks("cart", cart.FACTS, read_mongo_facts=cart.read_mongo_facts),
        "order": ServiceChecks("order", order.FACTS, order.CHECKS),
        "payment": ServiceChecks("payment", payment.FACTS, payment.CHECKS),
        "notification": ServiceChecks("notification", notification.FACTS, notification.CHECKS),
    }
)
