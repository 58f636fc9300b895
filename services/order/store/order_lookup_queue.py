"""The queue of orders to look up, for guests who have lost the link to theirs."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from infra.database.postgres import Connection
from services.order.domain.orders import OrderRecord
from services.order.store.records import COLUMNS, to_record

_ENQUEUE = "INSERT INTO order_lookup (id, serial, emails) VALUES ($1, $2, $3)"
_DEQUEUE = """
DELETE FROM order_lookup WHERE id = (SELECT id FROM order_lookup ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING id, serial, emails
"""
_FIND = f"""
SELECT {COLUMNS} FROM orders WHERE serial = $1 AND user_id IS NULL AND lower(email) = ANY($2::text[])
"""  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class QueuedLookup:
    """A look-up that waits: the serial of the order, and the spellings of its e-mail in lower case."""

    id: UUID
    serial: int
    emails: Sequence[str]


async def enqueue(connection: Connection, lookup_id: UUID, serial: int, emails: Sequence[str]) -> None:
    """Queues a look-up, whether or not there is such an order."""
    await connection.execute(_ENQUEUE, lookup_id, serial, emails)


async def dequeue(connection: Connection) -> QueuedLookup | None:
    """Removes the oldest look-up from the queue and returns it; None when the queue is empty."""
    row = await connection.fetchrow(_DEQUEUE)
    return QueuedLookup(row["id"], row["serial"], row["emails"]) if row else None


async def find(connection: Connection, lookup: QueuedLookup) -> OrderRecord | None:
    """Returns the guest's order with this number and e-mail; None for a customer's order."""
    row = await connection.fetchrow(_FIND, lookup.serial, lookup.emails)
    return to_record(row) if row else None
