"""Tells what a dry run of an import would change of a product."""

from contracts.catalog import ProductImportChange
from infra.database.postgres import Connection
from services.catalog.domain.product_records import ProductRecord
from services.catalog.domain.shopify.differences import find_changes
from services.catalog.domain.shopify.product_reader import FileProduct
from services.catalog.domain.shopify.row_writer import ExportedProduct, ShopFacts
from services.catalog.store import categories
from services.catalog.workers.imported_product_writer import ImportedProduct


async def describe_change(
    connection: Connection, product: FileProduct, imported: ImportedProduct, shop: ShopFacts
) -> ProductImportChange:
    """The change of a product that was written in the transaction of the connection."""
    change = ProductImportChange(line=product.row.line, handle=product.handle, is_new=imported.before is None)
    if imported.before is None:
        return change
    exported = [
        ExportedProduct(record, product.handle, await _read_category_name(connection, record), stock, cells)
        for record, stock, cells in zip(
            (imported.before, imported.after or imported.before), imported.stock, imported.kept_cells, strict=True
        )
    ]
    return change.model_copy(update={"fields": find_changes(exported[0], exported[1], shop)})


async def _read_category_name(connection: Connection, product: ProductRecord) -> str:
    category = await categories.get(connection, product.category_id) if product.category_id else None
    return category.name if category else ""
