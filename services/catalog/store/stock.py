"""The statements of stock and its movements. Every statement locks rows in the order of their SKUs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

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
RETURNING sku, on_hand, reserved, EXISTS (SELECT FROM owned o WHERE o.sku = stock.sku) AS is_foreign
"""
_SET = """
WITH moved AS (
    INSERT INTO stock_movement (sku, kind, quantity, reason, who)
    SELECT m.sku, 'adjusted', m.on_hand - s.on_hand, $3, $4
    FROM unnest($1::text[], $2::bigint[]) AS m (sku, on_hand) JOIN stock s ON s.sku = m.sku
)
UPDATE stock s SET on_hand = m.on_hand FROM unnest($1::text[], $2::bigint[]) AS m (sku, on_hand) WHERE s.sku = m.sku
"""
_LOCK = """
SELECT v.product_id, s.on_hand, s.reserved FROM stock s JOIN variant v ON v.sku = s.sku
WHERE s.sku = $1 FOR UPDATE OF s
"""
_GET = "SELECT s.sku, s.on_hand, s.reserved FROM stock s WHERE s.sku = $1 AND s.product_id IS NOT NULL"
_LIST = """
SELECT s.sku, s.on_hand, s.reserved FROM stock s
WHERE s.product_id IS NOT NULL AND s.sku > $1 AND ($2::bigint IS NULL OR s.on_hand - s.reserved < $2)
ORDER BY s.sku LIMIT $3
"""
_IMPORTED = """
SELECT v.sku, v.imported, s.on_hand FROM variant v LEFT JOIN stock s ON s.sku = v.sku
WHERE v.product_id = $1 AND v.sku = ANY($2)
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


async def assign_skus(
    connection: Connection, product_id: UUID, skus: Sequence[str], removed: Sequence[str]
) -> dict[str, StockRecord]:
    """Assigns SKUs to a product in their order, detaches the `removed` ones, and locks the stock of all.

    The units of a SKU that another product had are still that product's: the caller clears them.
    """
    rows = await connection.fetch(_ASSIGN, product_id, len(skus), [*skus, *removed])
    return {row["sku"]: StockRecord(row["on_hand"], row["reserved"], row["is_foreign"]) for row in rows}


async def set_on_hand(connection: Connection, on_hand: Mapping[str, int], source: StockChangeSource) -> None:
    """Sets the units on hand of SKUs that the caller has locked, and records the movements."""
    await connection.execute(_SET, list(on_hand), list(on_hand.values()), source.reason, source.actor_id)


async def lock(connection: Connection, sku: str) -> tuple[UUID, StockRecord] | None:
    """The product and the stock of a SKU, locked until the end of the transaction."""
    row = await connection.fetchrow(_LOCK, sku)
    return (row["product_id"], StockRecord(row["on_hand"], row["reserved"])) if row else None


async def get(connection: Connection, sku: str) -> StockLevel | None:
    """The stock of a SKU that belongs to a product."""
    row = await connection.fetchrow(_GET, sku)
    return to_contract(row["sku"], StockRecord(row["on_hand"], row["reserved"])) if row else None


async def list_page(connection: Connection, after: str, below: int | None, limit: int) -> list[StockLevel]:
    """The stock of SKUs after one, in their order; with `below` only where fewer units are available."""
    rows = await connection.fetch(_LIST, after, below, limit)
    return [to_contract(row["sku"], StockRecord(row["on_hand"], row["reserved"])) for row in rows]


async def find_imported(
    connection: Connection, product_id: UUID, skus: Sequence[str]
) -> dict[str, tuple[int | None, int | None]]:
    """The quantity in the last product file, and the units on hand, by SKU of the product."""
    rows = await connection.fetch(_IMPORTED, product_id, list(skus))
    return {row["sku"]: (row["imported"], row["on_hand"]) for row in rows}


async def set_imported(connection: Connection, quantities: Mapping[str, int]) -> None:
    """Stores the quantities of a product file, to compare the next file with."""
    await connection.execute(_SET_IMPORTED, list(quantities), list(quantities.values()))


def to_contract(sku: str, stock: StockRecord) -> StockLevel:
    """The stock of a SKU in the contract's form."""
    return StockLevel(sku=sku, on_hand=stock.on_hand, reserved=stock.reserved, available=stock.available)
