"""Queries for the repair of an order."""

from uuid import UUID

from infra.database.postgres import Connection
from services.order.domain.orders import CartVersion

_IS_OVERDUE = "SELECT pay_by <= now() FROM orders WHERE id = $1"
_IS_AWAITING_PAYMENT = "SELECT status = 'pending' AND pay_by > now() FROM orders WHERE id = $1"
_PLACEMENT = "SELECT cart_id, cart_version, payment_method IS NOT NULL AS charge FROM orders WHERE id = $1"


async def is_overdue(connection: Connection, order_id: UUID) -> bool:
    """Whether the payment deadline has passed."""
    return bool(await connection.fetchval(_IS_OVERDUE, order_id))


async def is_awaiting_payment(connection: Connection, order_id: UUID) -> bool:
    """Whether the order can still be paid."""
    return bool(await connection.fetchval(_IS_AWAITING_PAYMENT, order_id))


async def placement_details(connection: Connection, order_id: UUID) -> tuple[CartVersion | None, bool]:
    """Returns what the `placed` event said: the cart version the order was made from, and its `charge` flag."""
    row = await connection.fetchrow(_PLACEMENT, order_id)
    assert row is not None, "orders are never deleted"
    cart = CartVersion(row["cart_id"], row["cart_version"]) if row["cart_id"] is not None else None
    return cart, row["charge"]
