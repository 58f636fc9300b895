"""An import job at work: product by product, each in a transaction of its own together with the job's progress.

A runner that dies leaves the job where the last product came in; whoever takes it up goes on from there.
"""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from contracts.catalog import ProductImportError, ProductImportStatus, SkuTaken, StockReserved
from contracts.failure import Fail
from infra.database.postgres import Connection, Transaction
from infra.foundation.failpoints import failpoint
from infra.foundation.ids import new_id, now
from services.catalog.content.html_sanitizer import sanitize_html
from services.catalog.deps import CatalogDeps
from services.catalog.domain.product_changes import ProductChange
from services.catalog.domain.shopify.products import FileProduct, build_product, merge_into, parse_product
from services.catalog.domain.shopify.rows import ProductRows, group_rows, read_rows
from services.catalog.domain.slugs import slugify
from services.catalog.handlers import product_writer as saving
from services.catalog.handlers.product_writer import FieldPointers
from services.catalog.store import categories, imports, products, stock
from services.catalog.store.imports import MAX_ATTEMPTS, ImportClaim, ImportClaimLost, ImportProgress
from services.catalog.store.stock import StockChangeSource


async def run_next_import(shop: CatalogDeps) -> bool:
    """Takes a job that waits, or was left, to its end. Whether there was one."""
    async with shop.db.connection() as connection:
        job = await imports.claim(connection, shop.settings.import_patience)
    if job is None:
        return False
    failpoint("catalog.import_claimed")
    if job.attempts > MAX_ATTEMPTS:
        await _end(shop, job, ProductImportStatus.FAILED)
        return True
    try:
        await _run(shop, job)
    except ImportClaimLost:
        return True
    failpoint("catalog.file_imported")
    await _end(shop, job, ProductImportStatus.DONE)
    return True


async def _run(shop: CatalogDeps, job: ImportClaim) -> None:
    async with shop.db.connection() as connection:
        content = await imports.read_content(connection, job.id)
    for group in group_rows(read_rows(content)):
        if group.rows_done > job.rows:
            await _take(shop, job, group)
            failpoint("catalog.product_imported")


async def _end(shop: CatalogDeps, job: ImportClaim, status: ProductImportStatus) -> None:
    async with shop.db.connection() as connection:
        await imports.finish(connection, job, status)


async def _take(shop: CatalogDeps, job: ImportClaim, group: ProductRows) -> None:
    """Brings one product in, without those of its variants that cannot be, and says of each what is wrong."""
    product, faults = parse_product(group, shop.currency)
    while product is not None:
        try:
            async with shop.db.transaction() as tx:
                outcome = await _bring_in(shop, tx, product, job.who)
                done = ImportProgress(group.rows_done, len(product.variants) if outcome else 0, outcome, faults)
                await imports.advance(tx.connection, job, done)
        except Fail as fail:
            product, more = _without_cause(product, fail)
            faults = [*faults, *more]
        else:
            return
    async with shop.db.transaction() as tx:
        await imports.advance(tx.connection, job, ImportProgress(group.rows_done, faults=faults))


def _without_cause(product: FileProduct, fail: Fail) -> tuple[FileProduct | None, list[ProductImportError]]:
    """What is left to try of a product that was refused, and why the rest is not."""
    skus = [error.pointer for error in fail.errors]
    faults = [
        ProductImportError(line=product.line_of(error.pointer), detail=f"{fail.title()}: {error.detail}")
        for error in fail.errors
    ]
    if isinstance(fail, SkuTaken) and skus:
        return product.without_skus(skus), faults
    if isinstance(fail, StockReserved) and skus:
        return product.without_quantities(skus), faults
    return None, faults or [ProductImportError(line=product.line, detail=fail.detail)]


async def _bring_in(shop: CatalogDeps, tx: Transaction, product: FileProduct, who: UUID | None) -> str | None:
    """`created`, `updated` or `unchanged`; None when there is nothing to make a product of."""
    product = replace(product, description=sanitize_html(product.description))
    author = StockChangeSource("imported", who)
    skus = [one.variant.sku for one in product.variants]
    named = FieldPointers(sku={sku: sku for sku in skus}, stock={sku: sku for sku in skus})
    before = await products.lock_by_handle(tx.connection, product.handle, product.slug)
    if before is None and not skus:
        return None
    category = await _category(tx.connection, product.product_type)
    if before is None:
        wanted = ProductChange(build_product(product, new_id(), category, now()), product.quantities)
        await saving.create_product(shop, tx, wanted, author, named, slug_requested=False)
        await stock.set_imported(tx.connection, product.quantities)
        return "created"
    counted = await _counted_anew(tx.connection, product, skus)
    after = merge_into(before, product, category, now())
    if after is before and not counted:
        return "unchanged"
    if after is before:
        after = replace(before, version=before.version + 1, updated_at=now())
    await saving.update_product(shop, tx, before, ProductChange(after, counted), author, named)
    await stock.set_imported(tx.connection, counted)
    return "updated"


async def _counted_anew(connection: Connection, product: FileProduct, skus: Sequence[str]) -> dict[str, int]:
    """Quantities that differ from the last file's. The same again would put back what has been sold since."""
    known = await stock.find_imported(connection, skus)
    return {sku: quantity for sku, quantity in product.quantities.items() if known.get(sku) != quantity}


async def _category(connection: Connection, kind: str) -> UUID | None:
    """The category that a file calls `kind`; made if there is none of that slug."""
    slug = slugify(kind)
    if not slug:
        return None
    if found := await categories.find_by_slug(connection, slug):
        return found
    made_now = await categories.insert(connection, new_id(), slug, kind[:100], None)
    return made_now.id if made_now else await categories.find_by_slug(connection, slug)
