"""The statement that reads products for a product file."""

from typing import Any
from uuid import UUID

from infra.database.postgres import Connection
from services.catalog.domain.product_records import product_from_row
from services.catalog.domain.shopify.made_handles import make_handle
from services.catalog.domain.shopify.row_writer import ExportedProduct
from services.catalog.domain.shopify.unknown_columns import KeptCells
from services.catalog.domain.stock import StockRecord
from services.catalog.store.products import IMPORTED_PRECEDENCE, PRODUCT_COLUMNS

_PAGE = f"""
SELECT {PRODUCT_COLUMNS}, c.name AS category_name,
       (SELECT k.cells FROM kept_cells k WHERE k.product_id = p.id) AS kept_cells,
       (SELECT coalesce(jsonb_object_agg(s.sku, jsonb_build_object(
           'on_hand', s.on_hand, 'reserved', s.reserved, 'is_tracked', s.is_tracked, 'backorder', s.backorder
       )), '{{}}') FROM stock s WHERE s.product_id = p.id) AS stock,
       p.handle IS NOT NULL OR p.id = (
           SELECT o.id FROM product o WHERE o.handle = p.slug OR (o.slug = p.slug AND o.handle IS NULL)
           ORDER BY (o.handle = p.slug) DESC NULLS LAST, {IMPORTED_PRECEDENCE} LIMIT 1
       ) AS has_own_slug
FROM product p LEFT JOIN category c ON c.id = p.category_id
WHERE p.id >= $1 ORDER BY p.id LIMIT $2
"""  # noqa: S608 - constants
_EXTRA = ("category_name", "kept_cells", "stock", "has_own_slug")


async def list_page(connection: Connection, first: UUID, limit: int) -> list[ExportedProduct]:
    """Products in the order of their ids, from one on."""
    return [_to_exported(row) for row in await connection.fetch(_PAGE, first, limit)]


def _to_exported(row: Any) -> ExportedProduct:
    """A product that no file has named yet has its slug as its handle, unless an import finds another one by that."""
    product = product_from_row({name: value for name, value in row.items() if name not in _EXTRA})
    handle = product.handle or (product.slug if row["has_own_slug"] else make_handle(product.slug, product.id))
    stock = {sku: StockRecord(**level) for sku, level in row["stock"].items()}
    return ExportedProduct(product, handle, row["category_name"] or "", stock, KeptCells.from_json(row["kept_cells"]))
