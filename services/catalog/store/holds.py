"""The statements of holds. Those that move stock are SQL functions (migration 0015), one round trip each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import orjson

from contracts.catalog import GuestHoldLimit
from infra.database.postgres import Connection

_PLACE = """
SELECT outcome, CASE outcome WHEN 'held' THEN left(body, -1) || ',"seconds_left":'
    || extract(epoch FROM (body::json->>'expires_at')::timestamptz - clock_timestamp()) || '}' ELSE body END AS body
FROM place_hold($1, $2, $3, $4, $5, $6)
"""
_PLACE_FOR_GUEST = _PLACE.replace(
    "place_hold($1, $2, $3, $4, $5, $6)", "place_guest_hold($1, $2, $3, $4, $5, $6, $7, $8)"
)
_RELEASE = "SELECT release_hold($1)"
_SETTLE_ENDED = """
SELECT settled.hold_id FROM (
    SELECT id FROM hold WHERE id = $1 AND wanted = 'nothing' AND taken <> 'nothing' FOR UPDATE
) AS ended, settle_holds(1, ended.id) AS settled
"""
_SETTLE = "SELECT hold_id, order_id FROM settle_holds($1)"
_EXPIRE = """
UPDATE hold SET status = 'expired' WHERE id IN (
    SELECT id FROM hold WHERE status = 'held' AND expires_at <= now()
    ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED
)
RETURNING id AS hold_id, order_id
"""
_SELL = """
INSERT INTO hold (id, order_id, status, taken, fingerprint, skus, quantities, answer, expires_at)
VALUES ($1, $2, 'sold', 'nothing', '', $3, $4, '', now())
ON CONFLICT (id) DO UPDATE SET status = 'sold', order_id = excluded.order_id
WHERE hold.status IN ('held', 'released', 'expired')
"""
_CANCEL = """
INSERT INTO hold (id, order_id, status, taken, fingerprint, skus, quantities, answer, expires_at)
VALUES ($1, $2, 'cancelled', 'nothing', '', '{}', '{}', '', now())
ON CONFLICT (id) DO UPDATE SET status = 'cancelled', order_id = excluded.order_id WHERE hold.status <> 'cancelled'
"""
_LOCK = """
SELECT id, status = 'sold' AND taken = 'sold' AS is_sold, status IN ('cancelled', 'lost') AS has_ended
FROM hold WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE
"""
_KEEP_ONLY = """
WITH kept AS (
    SELECT * FROM unnest($2::text[], $3::int[]) AS kept (sku, quantity)
), returned AS (
    SELECT line.sku, line.quantity - coalesce(kept.quantity, 0) AS units, takes_stock
    FROM hold_lines(ARRAY[$1::uuid]) AS line LEFT JOIN kept ON kept.sku = line.sku
    WHERE line.quantity > coalesce(kept.quantity, 0)
), locked AS (
    SELECT stock.sku, units FROM stock JOIN returned ON returned.sku = stock.sku
    WHERE takes_stock ORDER BY stock.sku FOR UPDATE OF stock
), moved AS (
    UPDATE stock SET on_hand = on_hand + units FROM locked WHERE stock.sku = locked.sku
), noted AS (
    INSERT INTO stock_movement (sku, kind, quantity, hold_id) SELECT sku, 'returned', units, $1 FROM locked
)
UPDATE hold SET (skus, quantities, product_ids) = (
    SELECT coalesce(array_agg(sku ORDER BY place), '{}'), coalesce(array_agg(quantity ORDER BY place), '{}'),
           CASE WHEN bool_and(product_id IS NOT NULL) THEN array_agg(product_id ORDER BY place) END
    FROM (
        SELECT line.sku, least(line.quantity, kept.quantity) AS quantity, product_id, place
        FROM unnest(
            hold.skus, hold.quantities, coalesce(hold.product_ids, CASE WHEN hold.answer <> '' THEN ARRAY(
                SELECT (priced ->> 'product_id')::uuid FROM json_array_elements(hold.answer::json -> 'lines') AS priced
            ) END)
        ) WITH ORDINALITY AS line (sku, quantity, product_id, place) JOIN kept ON kept.sku = line.sku
    ) AS remaining
)
WHERE id = $1 AND EXISTS (SELECT FROM returned)
"""


@dataclass(frozen=True, slots=True)
class LockedHold:
    """A locked hold: whether it is sold and has taken its stock, or was cancelled or lost for good."""

    is_sold: bool
    has_ended: bool


@dataclass(frozen=True, slots=True)
class HoldResult:
    """The outcome of placing a hold: `held`, with the reply as JSON, or the reason why not, with the SKUs concerned."""

    outcome: str
    body: str | None

    @property
    def unknown_skus(self) -> list[str]:
        """The SKUs that are not on sale, when the outcome is `unknown`."""
        skus: list[str] = orjson.loads(self.body or "[]")
        return skus

    @property
    def available(self) -> dict[str, int]:
        """The units that are left of each SKU that is `short`, or that a guest may hold of each that is `limited`."""
        units: dict[str, int] = orjson.loads(self.body or "{}")
        return units


@dataclass(frozen=True, slots=True)
class LostHold:
    """A hold that has lost its stock, with its order if it has one."""

    hold_id: UUID
    order_id: UUID | None


async def place(
    connection: Connection,
    hold_id: UUID,
    fingerprint: bytes,
    units: Mapping[str, int],
    seconds: int,
    currency: str,
    guest_limit: GuestHoldLimit | None = None,
) -> HoldResult:
    """Prices and reserves all units for so many seconds, or none. With a limit it is the hold of a guest."""
    values = (hold_id, fingerprint, list(units), list(units.values()), seconds, currency)
    if guest_limit is None:
        row = await connection.fetchrow(_PLACE, *values)
    else:
        row = await connection.fetchrow(_PLACE_FOR_GUEST, *values, guest_limit.order_share, guest_limit.total_share)
    assert row is not None, "place_hold() always returns a row"
    return HoldResult(row["outcome"], row["body"])


async def release(connection: Connection, hold_id: UUID) -> None:
    """Returns the stock of a hold at once, unless it is sold.

    When its order was cancelled or its time is over, the hold settler may not have returned the stock yet.
    """
    await connection.execute(_RELEASE, hold_id)
    await connection.execute(_SETTLE_ENDED, hold_id)


async def expire(connection: Connection, limit: int) -> list[LostHold]:
    """Ends holds whose time is over. Their stock returns when they are settled."""
    return [LostHold(row["hold_id"], row["order_id"]) for row in await connection.fetch(_EXPIRE, limit)]


async def settle(connection: Connection, limit: int) -> list[LostHold]:
    """Moves the stock of holds to what their status wants; returns those whose stock was taken by others."""
    return [LostHold(row["hold_id"], row["order_id"]) for row in await connection.fetch(_SETTLE, limit)]


async def sell(connection: Connection, hold_id: UUID, order_id: UUID, units: Mapping[str, int]) -> None:
    """Marks a hold as sold. One that has ended takes its stock again if it can; a cancelled one stays cancelled."""
    await connection.execute(_SELL, hold_id, order_id, list(units), list(units.values()))


async def cancel(connection: Connection, hold_id: UUID, order_id: UUID) -> None:
    """Marks a hold as cancelled, known or not, so that later events take no stock for it."""
    await connection.execute(_CANCEL, hold_id, order_id)


async def lock(connection: Connection, hold_ids: Sequence[UUID]) -> Mapping[UUID, LockedHold]:
    """Returns those of the holds that exist, and locks them until the end of the transaction."""
    rows = await connection.fetch(_LOCK, list(hold_ids))
    return {row["id"]: LockedHold(row["is_sold"], row["has_ended"]) for row in rows}


async def keep_only(connection: Connection, hold_id: UUID, remaining: Mapping[str, int]) -> None:
    """Returns the stock of all units of a sold hold but those to keep, by SKU. The transaction has locked the hold."""
    await connection.execute(_KEEP_ONLY, hold_id, list(remaining), list(remaining.values()))
