"""What is looked at when an operator asks to have an order put right."""

from uuid import UUID

from infra.database.postgres import Connection
from services.order.domain.orders import CartVersion

_IS_OVERDUE = "SELECT pay_by <= now() FROM orders WHERE id = $1"
_WAITS = "SELECT status = 'pending' AND pay_by > now() FROM orders WHERE id = $1"
_SAID_AT_FIRST = "SELECT cart_id, cart_version, payment_method IS NOT NULL AS charge FROM orders WHERE id = $1"


async def is_overdue(connection: Connection, order_id: UUID) -> bool:
    """Whether the time to pay it has passed."""
    return bool(await connection.fetchval(_IS_OVERDUE, order_id))


async def is_awaiting_payment(connection: Connection, order_id: UUID) -> bool:
    """Whether it may still be paid."""
    return bool(await connection.fetchval(_WAITS, order_id))


async def placement_details(connection: Connection, order_id: UUID) -> tuple[CartVersion | None, bool]:
    """What the order was made from, and whether it was to be charged by itself."""
    row = await connection.fetchrow(_SAID_AT_FIRST, order_id)
    assert row is not None, "orders stay"
    cart = CartVersion(row["cart_id"], row["cart_version"]) if row["cart_id"] is not None else None
    return cart, row["charge"]
