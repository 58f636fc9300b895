"""Takes SKUs from the products that a file gives other SKUs, so that swapped ones come in."""

from collections.abc import Collection
from dataclasses import replace

from contracts.catalog import SkuTaken, VariantInUse
from contracts.failure import FieldError
from infra.database.postgres import Transaction
from infra.foundation.ids import now
from services.catalog import product_writer
from services.catalog.domain.product_changes import ProductChange
from services.catalog.domain.product_records import ProductRecord
from services.catalog.domain.shopify.derived_skus import derive_sku
from services.catalog.domain.shopify.product_reader import FileProduct
from services.catalog.product_writer import FieldPointers
from services.catalog.store import products
from services.catalog.store.stock import StockChangeSource


async def release_skus(tx: Transaction, product: FileProduct, source: StockChangeSource, currency: str) -> None:
    """Gives the variants that have the claimed SKUs of the product made ones, until their own rows are imported.

    Raises `SkuTaken`, whose pointers are SKUs, for those that are on hold for orders.
    """
    owners = await products.find_sku_owners(tx.connection, product.claimed_skus)
    for product_id in sorted({owner.product_id for owner in owners.values()}):
        before = await products.lock(tx.connection, product_id)
        if before is None or before.handle == product.handle:
            continue
        released = set(before.skus) & product.claimed_skus
        change = ProductChange(_with_made_skus(before, released), {})
        pointers = FieldPointers(stock={sku: sku for sku in released})
        try:
            await product_writer.update_product(tx, before, change, source, pointers, currency=currency)
        except VariantInUse as error:
            errors = [FieldError(pointer=held.pointer, detail=held.detail) for held in error.errors]
            raise SkuTaken(errors=errors) from error


def _with_made_skus(product: ProductRecord, skus: Collection[str]) -> ProductRecord:
    handle = product.handle or product.slug
    variants = [
        replace(variant, sku=derive_sku(handle, [*variant.options.values(), variant.sku], 1))
        if variant.sku in skus
        else variant
        for variant in product.variants
    ]
    return replace(product, variants=tuple(variants), version=product.version + 1, updated_at=now())
