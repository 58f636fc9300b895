"""The statements of coupons and their codes."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import asyncpg

from contracts.coupons import CouponKind, CouponTarget
from contracts.order import Coupon, CouponCodeTaken, CouponFields
from contracts.readable_codes import code_key
from infra.database.postgres import Connection
from services.order.domain.coupons import CouponCustomer, CouponState

_COLUMNS = """
    coupon.id, coupon.code, coupon.kind, coupon.value, coupon.currency, coupon.applies_to, coupon.min_subtotal,
    coupon.starts_at, coupon.ends_at, coupon.max_uses, coupon.max_uses_per_user, coupon.first_order_only,
    coupon.active, coupon.used, coupon.created_at
"""
HAS_ORDERED = """
EXISTS (SELECT FROM orders WHERE orders.user_id = {user_id} AND orders.status <> 'cancelled' AND {others})
OR EXISTS (
    SELECT FROM orders WHERE orders.user_id IS NULL AND lower(orders.email) = lower({email})
        AND orders.status <> 'cancelled' AND {others}
)
"""
"""Whether a customer, or a guest by the e-mail, has placed an order."""
_FIND = f"""
WITH found AS (
    SELECT id, NULL AS code_key, code AS shown FROM coupon WHERE code_key = $1
    UNION ALL
    SELECT coupon_id, key, code FROM coupon_code WHERE key = $1
    LIMIT 1
)
SELECT
    {_COLUMNS}, coupon.version, found.code_key, found.shown,
    EXISTS (SELECT FROM coupon_use WHERE code_key = found.code_key AND state <> 'released') AS is_code_used,
    (
        SELECT count(*) FROM coupon_use WHERE coupon_id = coupon.id AND customer_key = $2 AND state <> 'released'
    ) AS uses_by_customer,
    coupon.first_order_only AND ({HAS_ORDERED.format(user_id="$3", email="$4", others="true")}) AS has_ordered
FROM found JOIN coupon ON coupon.id = found.id
"""  # noqa: S608 - constants
_GET = f"SELECT {_COLUMNS} FROM coupon WHERE id = $1"  # noqa: S608 - constants
_LOCK = f"{_GET} FOR UPDATE"
_PAGE = f"SELECT {_COLUMNS} FROM coupon WHERE $1::uuid IS NULL OR id > $1 ORDER BY id LIMIT $2"  # noqa: S608 - constants
_PUT = f"""
INSERT INTO coupon (
    id, code, code_key, kind, value, currency, applies_to, min_subtotal, starts_at, ends_at, max_uses,
    max_uses_per_user, first_order_only, active
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
ON CONFLICT (id) DO UPDATE SET
    version = coupon.version + 1, code = excluded.code, code_key = excluded.code_key, kind = excluded.kind,
    value = excluded.value, currency = excluded.currency, applies_to = excluded.applies_to,
    min_subtotal = excluded.min_subtotal, starts_at = excluded.starts_at, ends_at = excluded.ends_at,
    max_uses = excluded.max_uses, max_uses_per_user = excluded.max_uses_per_user,
    first_order_only = excluded.first_order_only, active = excluded.active
RETURNING {_COLUMNS}
"""  # noqa: S608 - constants
_DELETE_UNUSED = """
WITH codes AS (
    DELETE FROM coupon_code WHERE coupon_id = $1 AND NOT EXISTS (SELECT FROM coupon_use WHERE coupon_id = $1)
)
DELETE FROM coupon WHERE id = $1 AND NOT EXISTS (SELECT FROM coupon_use WHERE coupon_id = $1)
RETURNING true
"""
_DEACTIVATE = "UPDATE coupon SET active = false, version = version + 1 WHERE id = $1"
_INSERT_CODES = """
INSERT INTO coupon_code (key, coupon_id, code)
SELECT key, $1, code FROM unnest($2::text[], $3::text[]) AS made (key, code)
"""


async def find(connection: Connection, code: str, customer: CouponCustomer) -> CouponState | None:
    """Returns the coupon that the code stands for, as this customer may use it."""
    row = await connection.fetchrow(_FIND, code_key(code), customer.key, customer.user_id, customer.email)
    if row is None:
        return None
    return CouponState(
        coupon=_to_coupon(row),
        version=row["version"],
        code=row["shown"],
        code_key=row["code_key"],
        is_code_used=row["is_code_used"],
        uses_by_customer=row["uses_by_customer"],
        has_ordered=row["has_ordered"],
    )


async def get(connection: Connection, coupon_id: UUID) -> Coupon | None:
    """Returns the coupon."""
    row = await connection.fetchrow(_GET, coupon_id)
    return _to_coupon(row) if row else None


async def lock(connection: Connection, coupon_id: UUID) -> Coupon | None:
    """Returns the coupon and locks its row: no order takes or returns a use until the transaction ends."""
    row = await connection.fetchrow(_LOCK, coupon_id)
    return _to_coupon(row) if row else None


async def list_page(connection: Connection, after: UUID | None, limit: int) -> list[Coupon]:
    """Returns at most `limit` coupons, the oldest first."""
    return [_to_coupon(row) for row in await connection.fetch(_PAGE, after, limit)]


async def put(connection: Connection, coupon_id: UUID, fields: CouponFields) -> Coupon:
    """Stores the coupon, new or changed. Raises `CouponCodeTaken` when another one has its code."""
    values = (
        *(coupon_id, fields.code, code_key(fields.code) if fields.code else None, fields.kind, fields.value),
        *(fields.currency, fields.applies_to, fields.min_subtotal, fields.starts_at, fields.ends_at),
        *(fields.max_uses, fields.max_uses_per_user, fields.first_order_only, fields.active),
    )
    try:
        row = await connection.fetchrow(_PUT, *values)
    except asyncpg.UniqueViolationError as error:
        raise CouponCodeTaken from error
    return _to_coupon(row)


async def delete_unused(connection: Connection, coupon_id: UUID) -> bool:
    """Deletes a coupon that no order has ever used, with its codes; whether it did. The caller has locked it."""
    return bool(await connection.fetchval(_DELETE_UNUSED, coupon_id))


async def deactivate(connection: Connection, coupon_id: UUID) -> None:
    """Ends a coupon."""
    await connection.execute(_DEACTIVATE, coupon_id)


async def insert_codes(connection: Connection, coupon_id: UUID, codes: Sequence[str]) -> None:
    """Stores new single-use codes of a coupon."""
    await connection.execute(_INSERT_CODES, coupon_id, [code_key(code) for code in codes], codes)


def _to_coupon(row: Any) -> Coupon:
    return Coupon(
        **{name: row[name] for name in Coupon.model_fields.keys() - {"kind", "applies_to"}},
        kind=CouponKind(row["kind"]),
        applies_to=CouponTarget(row["applies_to"]),
    )
