"""How orders are stored, each once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg

from contracts.failure import IdempotencyInProgress
from infra.database.postgres import Connection
from services.order.domain.orders import CartVersion, OrderDraft, OrderRecord
from services.order.store.records import COLUMNS, HISTORY, ITEMS, TAX_LINES, to_record

_INSERT = """
WITH stored AS (
    INSERT INTO orders (
        id, status, user_id, email, hold_id, cart_id, cart_version, currency, subtotal, discount, shipping, tax, total,
        items, shipping_method, shipping_address, payment_method, history, created_at, updated_at, pay_by,
        tax_included, tax_lines, coupon, shipping_discount, billing_address, gift_card_total, gift_card_hold_id,
        gift_cards
    )
    SELECT
        id, status, user_id, email, hold_id, cart_id, cart_version, currency, subtotal, discount, shipping, tax, total,
        items::jsonb, shipping_method, shipping_address::jsonb, payment_method, history::jsonb, created_at, created_at,
        now() + make_interval(secs => pay_within), tax_included, tax_lines::jsonb, coupon, shipping_discount,
        billing_address::jsonb, gift_card_total, gift_card_hold_id, gift_cards::text[]
    FROM unnest(
        $1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::uuid[], $6::text[], $7::bigint[], $8::text[], $9::bigint[],
        $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::text[], $15::text[], $16::text[],
        $17::text[], $18::text[], $19::timestamptz[], $20::float8[], $21::boolean[], $22::text[], $23::bigint[],
        $24::text[], $25::bigint[], $26::text[], $27::bigint[], $28::uuid[], $29::text[]
    ) AS draft (
        id, status, user_id, email, hold_id, cart_id, cart_version, currency, subtotal, discount, shipping, tax, total,
        items, shipping_method, shipping_address, payment_method, history, created_at, pay_within,
        tax_included, tax_lines, rules_version, coupon, shipping_discount, billing_address, gift_card_total,
        gift_card_hold_id, gift_cards
    )
    WHERE rules_version = (SELECT version FROM pricing_rules)
    ON CONFLICT DO NOTHING
    RETURNING id, serial
)
SELECT version, id, serial FROM pricing_rules LEFT JOIN stored ON true
"""
_FIND_EXISTING = f"""
SELECT {COLUMNS} FROM orders WHERE cart_id = $2 AND cart_version = $3 AND status <> 'cancelled'
UNION ALL
SELECT {COLUMNS} FROM orders WHERE hold_id = $1
LIMIT 1
"""  # noqa: S608 - constants
_DELETE = "DELETE FROM orders WHERE id = ANY($1::uuid[])"
_COUNT_CANCELLED = """
SELECT count(*) FROM orders WHERE cart_id = $1 AND cart_version = $2 AND status = 'cancelled'
"""
_IS_HOLD_IN_USE = "SELECT EXISTS (SELECT FROM orders WHERE hold_id = $1 AND status <> 'cancelled')"
_IS_GIFT_CARD_HOLD_IN_USE = """
SELECT EXISTS (SELECT FROM orders WHERE hold_id = $1 AND gift_card_hold_id = $2 AND status <> 'cancelled')
"""


@dataclass(frozen=True, slots=True)
class StoredOrders:
    """The serials of the orders that were stored, by id, and the version of the pricing rules at that moment."""

    serials: Mapping[UUID, int]
    rules_version: int


async def insert(connection: Connection, drafts: Sequence[tuple[OrderDraft, float]]) -> StoredOrders:
    """Stores orders, each with the seconds in which it has to be paid.

    An order is left out when its hold has an order already, or its cart version one that is not cancelled; that may be
    another one of these. It is left out, too, when it was priced by another version of the pricing rules than the
    current one. Waits for a transaction that stores the same order at the same moment.
    """
    columns = zip(*(_values(draft, pay_within_seconds) for draft, pay_within_seconds in drafts), strict=True)
    try:
        rows = await connection.fetch(_INSERT, *columns)
    except asyncpg.LockNotAvailableError as error:
        raise IdempotencyInProgress(retry_after=1) from error
    serials = {row["id"]: row["serial"] for row in rows if row["id"] is not None}
    return StoredOrders(serials, rows[0]["version"])


def _values(draft: OrderDraft, pay_within_seconds: float) -> tuple[Any, ...]:
    order, cart = draft.order, draft.cart
    return (
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
        order.shipping_method,
        order.shipping_address.model_dump_json(exclude_none=True),
        draft.payment_method,
        HISTORY.dump_json(order.history).decode(),
        order.created_at,
        pay_within_seconds,
        order.tax_included,
        TAX_LINES.dump_json(order.tax_lines).decode(),
        draft.rules_version,
        order.coupon,
        order.shipping_discount.amount,
        order.billing_address.model_dump_json(exclude_none=True) if order.billing_address else None,
        order.gift_card_total.amount,
        draft.gift_card_hold_id,
        f"{{{','.join(order.gift_cards)}}}",
    )


async def delete(connection: Connection, order_ids: Sequence[UUID]) -> None:
    """Deletes orders that the same transaction has stored."""
    await connection.execute(_DELETE, order_ids)


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


async def is_gift_card_hold_in_use(connection: Connection, hold_id: UUID, gift_card_hold_id: UUID) -> bool:
    """Whether the order of this stock hold needs this hold on gift cards, and is not cancelled."""
    in_use: bool = await connection.fetchval(_IS_GIFT_CARD_HOLD_IN_USE, hold_id, gift_card_hold_id)
    return in_use
