"""Runs product imports: each product in its own transaction, together with the progress of the import.

When the process dies, another one continues after the last imported product.
"""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from contracts.catalog import ProductImportError, ProductImportStatus, SkuTaken, StockReserved
from contracts.failure import Fail
from infra.database.postgres import Connection, Transaction
from infra.foundation.failpoints import failpoint
from infra.foundation.ids import new_id, now
from services.catalog import product_writer
from services.catalog.content.html_sanitizer import sanitize_html
from services.catalog.deps import CatalogDeps
from services.catalog.domain.product_changes import ProductChange
from services.catalog.domain.shopify.products import FileProduct, build_product, merge_into, parse_product
from services.catalog.domain.shopify.rows import ProductRows, group_rows, read_rows
from services.catalog.domain.slugs import slugify
from services.catalog.product_writer import FieldPointers
from services.catalog.store import categories, imports, products, stock
from services.catalog.store.imports import MAX_ATTEMPTS, ImportClaim, ImportClaimLost, ImportProgress
from services.catalog.store.stock import StockChangeSource

MAX_CATEGORY_NAME_LENGTH = 100


async def run_next_import(deps: CatalogDeps) -> bool:
    """Runs one queued or abandoned import to its end. Returns whether there was one."""
    async with deps.db.connection() as connection:
        job = await imports.claim(connection, deps.settings.import_patience)
    if job is None:
        return False
    failpoint("catalog.import_claimed")
    if job.attempts > MAX_ATTEMPTS:
        await _finish(deps, job, ProductImportStatus.FAILED)
        return True
    try:
        await _run(deps, job)
    except ImportClaimLost:
        return True
    failpoint("catalog.file_imported")
    await _finish(deps, job, ProductImportStatus.DONE)
    return True


async def _run(deps: CatalogDeps, job: ImportClaim) -> None:
    async with deps.db.connection() as connection:
        content = await imports.read_content(connection, job.id)
    for group in group_rows(read_rows(content)):
        if group.rows_done > job.rows:
            await _import_group(deps, job, group)
            failpoint("catalog.product_imported")


async def _finish(deps: CatalogDeps, job: ImportClaim, status: ProductImportStatus) -> None:
    async with deps.db.connection() as connection:
        await imports.finish(connection, job, status)


async def _import_group(deps: CatalogDeps, job: ImportClaim, group: ProductRows) -> None:
    """Imports one product. A refused variant is left out and reported, and the rest is tried again."""
    product, errors = parse_product(group, deps.currency)
    while product is not None:
        try:
            async with deps.db.transaction() as tx:
                outcome = await _import_product(tx, product, job.who, deps.currency)
                variants = len(product.variants) if outcome else 0
                await imports.advance(tx.connection, job, ImportProgress(group.rows_done, variants, outcome, errors))
        except Fail as fail:
            product, more_errors = _without_refused(product, fail)
            errors = [*errors, *more_errors]
        else:
            return
    async with deps.db.transaction() as tx:
        await imports.advance(tx.connection, job, ImportProgress(group.rows_done, faults=errors))


def _without_refused(product: FileProduct, fail: Fail) -> tuple[FileProduct | None, list[ProductImportError]]:
    """The product without what was refused, None if nothing is left to try, and an error for each refusal.

    The pointers of `fail` are SKUs here: `_import_product` sets them so.
    """
    skus = [error.pointer for error in fail.errors]
    errors = [
        ProductImportError(line=product.line_of(error.pointer), detail=f"{fail.title()}: {error.detail}")
        for error in fail.errors
    ]
    if isinstance(fail, SkuTaken) and skus:
        return product.without_skus(skus), errors
    if isinstance(fail, StockReserved) and skus:
        return product.without_quantities(skus), errors
    return None, errors or [ProductImportError(line=product.line, detail=fail.detail)]


async def _import_product(tx: Transaction, product: FileProduct, who: UUID | None, currency: str) -> str | None:
    """Returns `created`, `updated` or `unchanged`; None when a new product would have no variant."""
    product = replace(product, description=sanitize_html(product.description))
    source = StockChangeSource("imported", who)
    skus = [item.variant.sku for item in product.variants]
    pointers = FieldPointers(sku={sku: sku for sku in skus}, stock={sku: sku for sku in skus})
    before = await products.lock_by_handle(tx.connection, product.handle, product.slug)
    if before is None and not skus:
        return None
    category_id = await _find_or_create_category(tx.connection, product.product_type)
    if before is None:
        change = ProductChange(build_product(product, new_id(), category_id, now()), product.quantities)
        await product_writer.create_product(tx, change, source, pointers, currency=currency, slug_requested=False)
        await stock.set_imported(tx.connection, product.quantities)
        return "created"
    quantities = await _changed_quantities(tx.connection, product, skus)
    after = merge_into(before, product, category_id, now())
    if after is before and not quantities:
        return "unchanged"
    if after is before:
        after = replace(before, version=before.version + 1, updated_at=now())
    change = ProductChange(after, quantities)
    await product_writer.update_product(tx, before, change, source, pointers, currency=currency)
    await stock.set_imported(tx.connection, quantities)
    return "updated"


async def _changed_quantities(connection: Connection, product: FileProduct, skus: Sequence[str]) -> dict[str, int]:
    """Quantities that differ from the last file's. Setting the same ones again would undo the sales since then."""
    last = await stock.find_imported(connection, skus)
    return {sku: quantity for sku, quantity in product.quantities.items() if last.get(sku) != quantity}


async def _find_or_create_category(connection: Connection, product_type: str) -> UUID | None:
    """The category whose slug the product type makes; None when it makes none."""
    slug = slugify(product_type)
    if not slug:
        return None
    if found := await categories.find_by_slug(connection, slug):
        return found
    name = product_type[:MAX_CATEGORY_NAME_LENGTH]
    created = await categories.insert(connection, new_id(), slug, name, None)
    return created.id if created else await categories.find_by_slug(connection, slug)
