"""The statements of stock and its movements. Every statement locks rows in the order of their SKUs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg

from contracts.catalog import StockLevel
from infra.database.postgres import Connection
from services.catalog.domain.stock import StockRecord

_ASSIGN = """
WITH owned AS (
    SELECT sku FROM stock WHERE sku = ANY($3::text[]) AND coalesce(product_id, owner_id) <> $1::uuid
)
INSERT INTO stock (sku, product_id, position, owner_id)
SELECT p.sku, CASE WHEN p.position <= $2 THEN $1::uuid END, CASE WHEN p.position <= $2 THEN p.position END, $1::uuid
FROM unnest($3::text[]) WITH ORDINALITY AS p (sku, position) ORDER BY p.sku
ON CONFLICT (sku) DO UPDATE
SET product_id = excluded.product_id, position = excluded.position, owner_id = excluded.owner_id
RETURNING sku, on_hand, reserved, EXISTS (SELECT FROM owned o WHERE o.sku = stock.sku) AS is_foreign,
          is_tracked, backorder
"""
_SET = """
WITH level AS (
    SELECT * FROM unnest($1::text[], $2::bigint[], $3::boolean[], $4::boolean[], $5::text[])
        AS l (sku, on_hand, is_tracked, backorder, reason)
), moved AS (
    INSERT INTO stock_movement (sku, kind, quantity, reason, who)
    SELECT l.sku, 'adjusted', l.on_hand - s.on_hand, l.reason, $6
    FROM level l JOIN stock s ON s.sku = l.sku WHERE l.on_hand <> s.on_hand
)
UPDATE stock s
SET on_hand = l.on_hand, is_tracked = l.is_tracked, backorder = l.backorder,
    oversold = CASE WHEN (s.backorder OR NOT s.is_tracked) AND l.is_tracked AND NOT l.backorder
        THEN greatest(s.reserved - l.on_hand, 0) ELSE least(s.oversold, greatest(s.reserved - l.on_hand, 0)) END
FROM level l WHERE s.sku = l.sku
"""
_LOCK = """
SELECT s.sku, v.product_id, s.on_hand, s.reserved, s.is_tracked, s.backorder
FROM stock s JOIN variant v ON v.sku = s.sku WHERE s.sku = ANY($1) ORDER BY s.sku FOR UPDATE OF s
"""
_GET = """
SELECT s.sku, s.on_hand, s.reserved, s.is_tracked, s.backorder FROM stock s
WHERE s.sku = $1 AND s.product_id IS NOT NULL
"""
_LIST = """
SELECT s.sku, s.on_hand, s.reserved, s.is_tracked, s.backorder FROM stock s
WHERE s.product_id IS NOT NULL AND s.sku > $1
    AND ($2::bigint IS NULL OR (s.on_hand - s.reserved < $2 AND s.is_tracked))
ORDER BY s.sku LIMIT $3
"""
_IMPORTED = """
SELECT v.product_id, v.sku, v.imported, s.on_hand, s.is_tracked, s.backorder FROM variant v
JOIN stock s ON s.sku = v.sku WHERE v.product_id = ANY($1)
"""
_SET_IMPORTED = """
UPDATE variant v SET imported = i.quantity FROM unnest($1::text[], $2::bigint[]) AS i (sku, quantity)
WHERE v.sku = i.sku
"""


@dataclass(frozen=True, slots=True)
class StockChangeSource:
    """Why stock changes, and by which account."""

    reason: str
    actor_id: UUID | None


@dataclass(frozen=True, slots=True)
class ImportedStock:
    """The quantity of a SKU in the last product file, and its stock. By default it is that of a new SKU."""

    quantity: int | None = None
    on_hand: int | None = None
    is_tracked: bool = True
    backorder: bool = False


async def assign_skus(
    connection: Connection, product_id: UUID, skus: Sequence[str], removed: Sequence[str]
) -> dict[str, StockRecord]:
    """Assigns SKUs to a product in their order, detaches the `removed` ones, and locks the stock of all.

    The units of a SKU that another product had are still that product's: the caller clears them.
    """
    rows = await connection.fetch(_ASSIGN, product_id, len(skus), [*skus, *removed])
    return {row["sku"]: _to_record(row) for row in rows}


async def assign_skus_of(
    connection: Connection, products: Sequence[tuple[UUID, Sequence[str]]]
) -> dict[str, StockRecord]:
    """Assigns SKUs to several products, as `assign_skus` does to one."""
    rows = await connection.fetchmany(_ASSIGN, [(product_id, len(skus), list(skus)) for product_id, skus in products])
    return {row["sku"]: _to_record(row) for row in rows}


async def set_levels(
    connection: Connection,
    levels: Mapping[str, StockRecord],
    source: StockChangeSource,
    reasons: Mapping[str, str] | None = None,
) -> None:
    """Sets the stock of SKUs that the caller has locked, but not the reserved units, and records the movements.

    `reasons` has those of single SKUs; the others have that of the source.
    """
    stated = reasons or {}
    await connection.execute(
        _SET,
        list(levels),
        [level.on_hand for level in levels.values()],
        [level.is_tracked for level in levels.values()],
        [level.backorder for level in levels.values()],
        [stated.get(sku, source.reason) for sku in levels],
        source.actor_id,
    )


async def lock(connection: Connection, skus: Sequence[str]) -> dict[str, tuple[UUID, StockRecord]]:
    """The product and the stock of each SKU that a product has, locked until the end of the transaction."""
    rows = await connection.fetch(_LOCK, list(skus))
    return {row["sku"]: (row["product_id"], _from_row(row)) for row in rows}


async def get(connection: Connection, sku: str) -> StockLevel | None:
    """The stock of a SKU that belongs to a product."""
    row = await connection.fetchrow(_GET, sku)
    return to_contract(row["sku"], _from_row(row)) if row else None


async def list_page(connection: Connection, after: str, below: int | None, limit: int) -> list[StockLevel]:
    """The stock of SKUs after one, in their order; with `below` only where fewer units are available."""
    rows = await connection.fetch(_LIST, after, below, limit)
    return [to_contract(row["sku"], _from_row(row)) for row in rows]


async def find_imported(connection: Connection, product_ids: Sequence[UUID]) -> dict[UUID, dict[str, ImportedStock]]:
    """The stock of the products by SKU, with the quantities in the last product file."""
    found: dict[UUID, dict[str, ImportedStock]] = {}
    for row in await connection.fetch(_IMPORTED, list(product_ids)) if product_ids else ():
        level = ImportedStock(row["imported"], row["on_hand"], row["is_tracked"], row["backorder"])
        found.setdefault(row["product_id"], {})[row["sku"]] = level
    return found


async def set_imported(connection: Connection, quantities: Mapping[str, int]) -> None:
    """Stores the quantities of a product file, to compare the next file with."""
    await connection.execute(_SET_IMPORTED, list(quantities), list(quantities.values()))


def to_contract(sku: str, stock: StockRecord) -> StockLevel:
    """The stock of a SKU in the contract's form."""
    return StockLevel(
        sku=sku,
        on_hand=stock.on_hand,
        reserved=stock.reserved,
        available=stock.available,
        tracked=stock.is_tracked,
        backorder=stock.backorder,
    )


def _from_row(row: asyncpg.Record) -> StockRecord:
    return StockRecord(row["on_hand"], row["reserved"], is_tracked=row["is_tracked"], backorder=row["backorder"])


def _to_record(row: Any) -> StockRecord:
    return StockRecord(
        row["on_hand"], row["reserved"], row["is_foreign"], is_tracked=row["is_tracked"], backorder=row["backorder"]
    )
