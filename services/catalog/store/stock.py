"""Units of each SKU and the ledger of what moved them. Rows are locked in the order of their SKUs, always."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from contracts.catalog import StockLevel
from infra.database.postgres import Connection
from services.catalog.domain.stock import StockRecord

_PLACE = """
INSERT INTO stock (sku, product_id, position)
SELECT p.sku, CASE WHEN p.position <= $2 THEN $1::uuid END, CASE WHEN p.position <= $2 THEN p.position END
FROM unnest($3::text[]) WITH ORDINALITY AS p (sku, position) ORDER BY p.sku
ON CONFLICT (sku) DO UPDATE SET product_id = excluded.product_id, position = excluded.position
RETURNING sku, on_hand, reserved
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
_IMPORTED = "SELECT sku, imported FROM variant WHERE sku = ANY($1) AND imported IS NOT NULL"
_SET_IMPORTED = """
UPDATE variant v SET imported = i.quantity FROM unnest($1::text[], $2::bigint[]) AS i (sku, quantity)
WHERE v.sku = i.sku
"""


@dataclass(frozen=True, slots=True)
class StockChangeSource:
    """Why stock changes, and who says so."""

    reason: str
    who: UUID | None


async def assign_skus(
    connection: Connection, product_id: UUID, skus: Sequence[str], removed: Sequence[str]
) -> dict[str, StockRecord]:
    """Makes room for a product's SKUs, in their order, and takes the `gone` out of it; all are locked."""
    rows = await connection.fetch(_PLACE, product_id, len(skus), [*skus, *removed])
    return {row["sku"]: StockRecord(row["on_hand"], row["reserved"]) for row in rows}


async def set_on_hand(connection: Connection, on_hand: Mapping[str, int], source: StockChangeSource) -> None:
    """Sets units on hand of SKUs that the caller has locked, and writes down why."""
    await connection.execute(_SET, list(on_hand), list(on_hand.values()), source.reason, source.who)


async def lock(connection: Connection, sku: str) -> tuple[UUID, StockRecord] | None:
    """The product and the units of a SKU, kept from others until the end of the transaction."""
    row = await connection.fetchrow(_LOCK, sku)
    return (row["product_id"], StockRecord(row["on_hand"], row["reserved"])) if row else None


async def get(connection: Connection, sku: str) -> StockLevel | None:
    row = await connection.fetchrow(_GET, sku)
    return to_contract(row["sku"], StockRecord(row["on_hand"], row["reserved"])) if row else None


async def list_page(connection: Connection, after: str, below: int | None, limit: int) -> list[StockLevel]:
    rows = await connection.fetch(_LIST, after, below, limit)
    return [to_contract(row["sku"], StockRecord(row["on_hand"], row["reserved"])) for row in rows]


async def find_imported(connection: Connection, skus: Sequence[str]) -> dict[str, int]:
    """The quantity that the last product file gave for each SKU that came in by one."""
    return {row["sku"]: row["imported"] for row in await connection.fetch(_IMPORTED, list(skus))}


async def set_imported(connection: Connection, quantities: Mapping[str, int]) -> None:
    await connection.execute(_SET_IMPORTED, list(quantities), list(quantities.values()))


def to_contract(sku: str, stock: StockRecord) -> StockLevel:
    return StockLevel(sku=sku, on_hand=stock.on_hand, reserved=stock.reserved, available=stock.available)
