"""How an order is stored, once."""

from uuid import UUID

import asyncpg

from contracts.failure import IdempotencyInProgress
from infra.database.postgres import Connection
from services.order.domain.orders import CartVersion, OrderDraft, OrderRecord
from services.order.store.records import COLUMNS, HISTORY, ITEMS, to_record

_INSERT = """
INSERT INTO orders (
    id, status, user_id, email, hold_id, cart_id, cart_version, currency, subtotal, discount, shipping, tax, total,
    items, shipping_method, shipping_address, payment_method, history, created_at, updated_at, pay_by
)
VALUES (
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13,
    $14::text::jsonb, $15, $16::text::jsonb, $17, $18::text::jsonb, $19, $19,
    now() + make_interval(secs => $20)
)
ON CONFLICT DO NOTHING
RETURNING serial
"""
_FIND_EXISTING = f"""
SELECT {COLUMNS} FROM orders WHERE cart_id = $2 AND cart_version = $3 AND status <> 'cancelled'
UNION ALL
SELECT {COLUMNS} FROM orders WHERE hold_id = $1
LIMIT 1
"""  # noqa: S608 - constants
_COUNT_CANCELLED = """
SELECT count(*) FROM orders WHERE cart_id = $1 AND cart_version = $2 AND status = 'cancelled'
"""
_IS_HOLD_IN_USE = "SELECT EXISTS (SELECT FROM orders WHERE hold_id = $1 AND status <> 'cancelled')"


async def insert(
    connection: Connection, draft: OrderDraft, *, pay_within_seconds: float, hold_margin_seconds: float
) -> int | None:
    """Stores the order and returns its serial, or None when its hold has an order already, or its cart version one
    that is not cancelled.

    Waits for another transaction that stores the same order at the same moment. The payment deadline is
    `pay_within_seconds` from now, but at least `hold_margin_seconds` before the hold ends, by the database's clock.
    """
    order, cart = draft.order, draft.cart
    try:
        serial: int | None = await connection.fetchval(
            _INSERT,
            order.id,
            order.status,
            draft.buyer.user_id,
            draft.buyer.email,
            draft.hold.hold_id,
            cart.cart_id if cart else None,
            cart.version if cart else None,
            order.total.currency,
            order.subtotal.amount,
            order.discount.amount,
            order.shipping.amount,
            order.tax.amount,
            order.total.amount,
            ITEMS.dump_json(order.items).decode(),
            draft.shipping_method,
            order.shipping_address.model_dump_json(),
            draft.payment_method,
            HISTORY.dump_json(order.history).decode(),
            order.created_at,
            min(pay_within_seconds, (draft.hold.seconds_left or 0) - hold_margin_seconds),
        )
    except asyncpg.LockNotAvailableError as error:
        raise IdempotencyInProgress(retry_after=1) from error
    return serial


async def find_existing(connection: Connection, hold_id: UUID, cart: CartVersion | None) -> OrderRecord | None:
    """Returns the order that was made from this version of a cart and is not cancelled, else the one of this hold."""
    cart_key = (cart.cart_id, cart.version) if cart else (None, None)
    row = await connection.fetchrow(_FIND_EXISTING, hold_id, *cart_key)
    return to_record(row) if row else None


async def count_cancelled(connection: Connection, cart: CartVersion) -> int:
    """Returns how many orders of this version of a cart were cancelled."""
    count: int = await connection.fetchval(_COUNT_CANCELLED, cart.cart_id, cart.version)
    return count


async def is_hold_in_use(connection: Connection, hold_id: UUID) -> bool:
    """Whether an order that is not cancelled needs this hold."""
    in_use: bool = await connection.fetchval(_IS_HOLD_IN_USE, hold_id)
    return in_use
