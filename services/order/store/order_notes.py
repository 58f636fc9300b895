"""How notes are added to a stored order."""

from uuid import UUID

from contracts.order import OrderNote
from infra.database.postgres import Connection
from services.order.domain.orders import OrderRecord
from services.order.store.records import COLUMNS, NOTES, to_record

_ADD = f"""
UPDATE orders SET notes = coalesce(notes, '[]') || $2::text::jsonb, updated_at = $3, version = version + 1
WHERE id = $1
RETURNING {COLUMNS}
"""  # noqa: S608 - constants


async def add(connection: Connection, order_id: UUID, note: OrderNote) -> OrderRecord:
    """Adds the note and returns the order. The caller holds the lock on its row."""
    row = await connection.fetchrow(_ADD, order_id, NOTES.dump_json([note]).decode(), note.at)
    return to_record(row)
