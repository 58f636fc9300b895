"""Which orders use which coupons. A coupon's counter changes in the transaction that changes its uses.

Rows are locked in one order, so that two processes cannot deadlock: first those of orders, then those of coupons by id.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from uuid import UUID

from infra.database.postgres import Connection
from services.order.domain.coupons import CouponLock, CouponUse, EarlierUses
from services.order.store.coupons import HAS_ORDERED

_LOCK = """
SELECT id, version, used, max_uses, max_uses_per_user, first_order_only FROM coupon
WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE
"""
# A statement of its own: it has to see what was committed while the coupons were waited for.
_EARLIER = f"""
SELECT
    order_id,
    EXISTS (
        SELECT FROM coupon_use WHERE coupon_use.code_key = wanted.code_key AND state <> 'released'
    ) AS is_code_used,
    (
        SELECT count(*) FROM coupon_use
        WHERE coupon_use.coupon_id = wanted.coupon_id AND coupon_use.customer_key = wanted.customer_key
            AND state <> 'released'
    ) AS uses_by_customer,
    {HAS_ORDERED.format(user_id="wanted.user_id", email="wanted.email", others="orders.id <> ALL ($1::uuid[])")}
    AS has_ordered
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bytea[], $5::uuid[], $6::text[])
    AS wanted (order_id, coupon_id, code_key, customer_key, user_id, email)
"""  # noqa: S608 - constants
_TAKE = """
WITH counted AS (
    UPDATE coupon SET used = used + taken.uses FROM unnest($5::uuid[], $6::int[]) AS taken (coupon_id, uses)
    WHERE coupon.id = taken.coupon_id
)
INSERT INTO coupon_use (order_id, coupon_id, code_key, customer_key, state)
SELECT order_id, coupon_id, code_key, customer_key, 'reserved'
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bytea[]) AS granted (order_id, coupon_id, code_key, customer_key)
"""
_SPEND = "UPDATE coupon_use SET state = 'spent' WHERE order_id = ANY($1::uuid[]) AND state = 'reserved' RETURNING true"
_RELEASE = """
WITH released AS (
    UPDATE coupon_use SET state = 'released' WHERE order_id = ANY($1::uuid[]) AND state <> 'released'
    RETURNING coupon_id
), returned AS (
    SELECT coupon_id, count(*) AS uses FROM released GROUP BY coupon_id
), locked AS (
    SELECT id, uses FROM coupon JOIN returned ON id = coupon_id ORDER BY id FOR UPDATE OF coupon
)
UPDATE coupon SET used = used - locked.uses FROM locked WHERE coupon.id = locked.id
RETURNING true
"""


async def lock_coupons(connection: Connection, coupon_ids: Sequence[UUID]) -> Mapping[UUID, CouponLock]:
    """Returns the limits and counters of coupons, whose rows it locks until the transaction ends."""
    rows = await connection.fetch(_LOCK, coupon_ids)
    return {row["id"]: CouponLock(*list(row.values())[1:]) for row in rows}


async def find_earlier(connection: Connection, wanted: Mapping[UUID, CouponUse]) -> Mapping[UUID, EarlierUses]:
    """Returns what was committed before for each wanted use, by order. The coupons are locked."""
    columns = (
        [use.customer.user_id for use in wanted.values()],
        [use.customer.email for use in wanted.values()],
    )
    rows = await connection.fetch(_EARLIER, *_columns(wanted), *columns)
    return {row["order_id"]: EarlierUses(*list(row.values())[1:]) for row in rows}


async def take(connection: Connection, granted: Mapping[UUID, CouponUse]) -> None:
    """Stores the uses of orders that the transaction has stored, and counts them. The coupons are locked."""
    counts = Counter(use.coupon_id for use in granted.values())
    await connection.execute(_TAKE, *_columns(granted), list(counts), list(counts.values()))


async def spend(connection: Connection, order_ids: Sequence[UUID]) -> bool:
    """Marks the uses of orders that were paid; whether any was not marked yet."""
    return bool(await connection.fetch(_SPEND, order_ids))


async def release(connection: Connection, order_ids: Sequence[UUID]) -> bool:
    """Gives the uses of cancelled orders back, each once; whether any was. The transaction has locked the orders."""
    return bool(await connection.fetch(_RELEASE, order_ids))


def _columns(uses: Mapping[UUID, CouponUse]) -> tuple[list[object], ...]:
    """Orders, coupons, single-use codes and customers."""
    return (
        list(uses),
        [use.coupon_id for use in uses.values()],
        [use.code_key for use in uses.values()],
        [use.customer.key for use in uses.values()],
    )
