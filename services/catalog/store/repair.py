"""The statements that repair single holds and reserved stock."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from infra.database.postgres import Connection
from services.catalog.domain.stock import StockRecord
from services.catalog.store.holds import LostHold

_EXPIRE = """
UPDATE hold SET status = 'expired' WHERE id = $1 AND status = 'held' AND expires_at <= now()
RETURNING id AS hold_id, order_id
"""
_UNSETTLED = """
SELECT id FROM hold WHERE wanted <> taken OR (status = 'held' AND expires_at <= now()) ORDER BY random() LIMIT $1
"""
_LOCK_HOLD = "SELECT status, wanted, taken, order_id FROM hold WHERE id = $1 FOR UPDATE"
_SETTLE = "SELECT hold_id, order_id FROM settle_holds(1, $1)"
_LOCK_STOCK = """
SELECT sku, on_hand, reserved, is_tracked, backorder FROM stock WHERE sku = ANY($1::text[]) ORDER BY sku FOR UPDATE
"""
_HELD = """
SELECT line.sku, sum(line.quantity)::bigint AS quantity
FROM hold, unnest(skus, quantities) AS line (sku, quantity)
WHERE taken = 'reserved' AND skus && $1::text[] AND line.sku = ANY($1::text[])
    AND (untracked IS NULL OR line.sku <> ALL (untracked))
GROUP BY line.sku
"""
_RESERVE = """
UPDATE stock SET reserved = held.quantity FROM unnest($1::text[], $2::bigint[]) AS held (sku, quantity)
WHERE stock.sku = held.sku
"""


@dataclass(frozen=True, slots=True)
class HoldRecord:
    """A hold: the state that its stock should have (`wanted`) and the one it has (`taken`)."""

    status: str
    wanted: str
    taken: str
    order_id: UUID | None


async def find_unsettled(connection: Connection, limit: int) -> list[UUID]:
    """Holds that are due to expire or to be settled, in random order."""
    return [row["id"] for row in await connection.fetch(_UNSETTLED, limit)]


async def expire(connection: Connection, hold_id: UUID) -> LostHold | None:
    """Ends a hold whose time is over; None if it is not over."""
    row = await connection.fetchrow(_EXPIRE, hold_id)
    return LostHold(row["hold_id"], row["order_id"]) if row else None


async def lock_hold(connection: Connection, hold_id: UUID) -> HoldRecord | None:
    """The hold, locked until the end of the transaction."""
    row = await connection.fetchrow(_LOCK_HOLD, hold_id)
    return HoldRecord(**row) if row else None


async def settle(connection: Connection, hold_id: UUID) -> LostHold | None:
    """Moves the stock of a hold that the caller has locked; returns the hold if its stock was taken by others."""
    row = await connection.fetchrow(_SETTLE, hold_id)
    return LostHold(row["hold_id"], row["order_id"]) if row else None


async def lock_stock(connection: Connection, skus: Sequence[str]) -> dict[str, StockRecord]:
    """Locks stock in the order of SKUs, as every statement does. Until the commit no hold changes these SKUs."""
    rows = await connection.fetch(_LOCK_STOCK, list(skus))
    return {
        row["sku"]: StockRecord(
            row["on_hand"], row["reserved"], is_tracked=row["is_tracked"], backorder=row["backorder"]
        )
        for row in rows
    }


async def count_held(connection: Connection, skus: Sequence[str]) -> dict[str, int]:
    """The reserved units by SKU according to the holds; a SKU without any is absent."""
    return {row["sku"]: row["quantity"] for row in await connection.fetch(_HELD, list(skus))}


async def set_reserved(connection: Connection, units: Mapping[str, int]) -> None:
    """Sets the reserved units of each SKU."""
    await connection.execute(_RESERVE, list(units), list(units.values()))
