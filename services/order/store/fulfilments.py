"""How the parcels and cancelled units of an order are stored: in its row, with a table that finds it by a parcel."""

from uuid import UUID

from contracts.order import Order
from infra.database.postgres import Connection
from services.order.domain.cancellations import Cancellation
from services.order.domain.orders import OrderRecord
from services.order.store.records import CANCELLATIONS, COLUMNS, FULFILMENTS, HISTORY, ITEMS, to_record

_FIND_ORDER = "SELECT order_id FROM fulfilment WHERE id = $1"
_SAVE_FULFILMENTS = f"""
WITH known AS (
    INSERT INTO fulfilment (id, order_id) SELECT parcel_id, $1 FROM unnest($6::uuid[]) AS sent (parcel_id)
    ON CONFLICT DO NOTHING
)
UPDATE orders SET
    status = $2, tracking = coalesce($3::text::jsonb, tracking), history = history || $4::text::jsonb, updated_at = $5,
    fulfilments = $7::text::jsonb, version = version + 1
WHERE id = $1
RETURNING {COLUMNS}
"""  # noqa: S608 - constants
_SAVE_CANCELLATION = f"""
UPDATE orders SET
    status = $2, tracking = coalesce($3::text::jsonb, tracking), history = history || $4::text::jsonb, updated_at = $5,
    items = $6::text::jsonb, cancellations = coalesce(cancellations, '[]') || $7::text::jsonb, version = version + 1
WHERE id = $1
RETURNING {COLUMNS}
"""  # noqa: S608 - constants


async def find_order(connection: Connection, fulfilment_id: UUID) -> UUID:
    """Returns the order that the parcel would belong to.

    A parcel that is not stored may be that of an order that was shipped before parcels were: it has the order's id.
    """
    order_id: UUID | None = await connection.fetchval(_FIND_ORDER, fulfilment_id)
    return order_id or fulfilment_id


async def save_fulfilments(connection: Connection, before: Order, order: Order) -> OrderRecord:
    """Stores the parcels of an order with the status that follows from them. The transaction has locked the order.

    `before` is the order as it is stored.
    """
    parcels = [parcel.id for parcel in order.fulfilments]
    fulfilments = FULFILMENTS.dump_json(order.fulfilments).decode()
    row = await connection.fetchrow(_SAVE_FULFILMENTS, *_common_values(before, order), parcels, fulfilments)
    return to_record(row)


async def save_cancellation(
    connection: Connection, before: Order, order: Order, cancellation: Cancellation
) -> OrderRecord:
    """Stores cancelled units with the status that follows from them. The transaction has locked the order."""
    items, added = ITEMS.dump_json(order.items).decode(), CANCELLATIONS.dump_json([cancellation]).decode()
    row = await connection.fetchrow(_SAVE_CANCELLATION, *_common_values(before, order), items, added)
    return to_record(row)


def _common_values(before: Order, order: Order) -> tuple[object, ...]:
    """The id, the status, the tracking, the entries that were added to the history, and the time of the change."""
    return (
        order.id,
        order.status,
        order.tracking.model_dump_json() if order.tracking else None,
        HISTORY.dump_json(order.history[len(before.history) :]).decode(),
        order.updated_at,
    )
