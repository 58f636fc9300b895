"""Queries for the repair of an order."""

from uuid import UUID

from infra.database.postgres import Connection

_IS_OVERDUE = "SELECT pay_by <= now() FROM orders WHERE id = $1"
_IS_AWAITING_PAYMENT = "SELECT status = 'pending' AND pay_by > now() FROM orders WHERE id = $1"
_WAS_CHARGED = "SELECT payment_method IS NOT NULL FROM orders WHERE id = $1"


async def is_overdue(connection: Connection, order_id: UUID) -> bool:
    """Whether the payment deadline has passed."""
    return bool(await connection.fetchval(_IS_OVERDUE, order_id))


async def is_awaiting_payment(connection: Connection, order_id: UUID) -> bool:
    """Whether the order can still be paid."""
    return bool(await connection.fetchval(_IS_AWAITING_PAYMENT, order_id))


async def was_charged(connection: Connection, order_id: UUID) -> bool:
    """Whether the `placed` event asked for a charge: its `charge` flag."""
    return bool(await connection.fetchval(_WAS_CHARGED, order_id))
