"""Holds. The statements that move stock are functions of the database (migration 0003): one round trip each."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

import orjson

from infra.database.postgres import Connection

_PLACE = """
SELECT outcome, CASE outcome WHEN 'held' THEN left(body, -1) || ',"seconds_left":'
    || extract(epoch FROM (body::json->>'expires_at')::timestamptz - clock_timestamp()) || '}' ELSE body END AS body
FROM place_hold($1, $2, $3, $4, $5, $6)
"""
_RELEASE = "SELECT release_hold($1)"
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


@dataclass(frozen=True, slots=True)
class HoldResult:
    """What came of a hold: `held` with the answer, or why not, with the SKUs that it is about."""

    outcome: str
    body: str | None

    @property
    def unknown_skus(self) -> list[str]:
        found: list[str] = orjson.loads(self.body or "[]")
        return found

    @property
    def available(self) -> dict[str, int]:
        found: dict[str, int] = orjson.loads(self.body or "{}")
        return found


@dataclass(frozen=True, slots=True)
class LostHold:
    hold_id: UUID
    order_id: UUID | None


async def place(
    connection: Connection, hold_id: UUID, fingerprint: bytes, units: Mapping[str, int], seconds: int, currency: str
) -> HoldResult:
    row = await connection.fetchrow(_PLACE, hold_id, fingerprint, list(units), list(units.values()), seconds, currency)
    assert row is not None, "place_hold() always answers"
    return HoldResult(row["outcome"], row["body"])


async def release(connection: Connection, hold_id: UUID) -> None:
    await connection.execute(_RELEASE, hold_id)


async def expire(connection: Connection, limit: int) -> list[LostHold]:
    """Ends holds that have run out. Their stock returns as they are settled."""
    return [LostHold(row["hold_id"], row["order_id"]) for row in await connection.fetch(_EXPIRE, limit)]


async def settle(connection: Connection, limit: int) -> list[LostHold]:
    """Moves stock to what holds want by now; those that came too late for it."""
    return [LostHold(row["hold_id"], row["order_id"]) for row in await connection.fetch(_SETTLE, limit)]


async def sell(connection: Connection, hold_id: UUID, order_id: UUID, units: Mapping[str, int]) -> None:
    """The hold is paid for. A hold that is gone is to be had again, if it can be; a cancelled one stays cancelled."""
    await connection.execute(_SELL, hold_id, order_id, list(units), list(units.values()))


async def cancel(connection: Connection, hold_id: UUID, order_id: UUID) -> None:
    """Nothing is to be kept for the hold, whatever is heard of it later."""
    await connection.execute(_CANCEL, hold_id, order_id)
