"""Runs product imports. When the process dies, another one continues after the last batch of products."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace

import asyncpg

from contracts.catalog import CategoryUnknown, ProductImportStatus, SkuTaken, SlugTaken, StockReserved, VariantInUse
from contracts.failure import Fail
from infra.foundation.failpoints import failpoint
from infra.foundation.telemetry import get_logger
from services.catalog.deps import CatalogDeps
from services.catalog.domain.product_file_formats import ProductCsv
from services.catalog.domain.shopify.notices import Notices
from services.catalog.domain.shopify.product_reader import FileProduct
from services.catalog.domain.shopify.sku_claims import settle_skus
from services.catalog.domain.shopify.unknown_columns import choose_columns
from services.catalog.store import imports, unknown_columns
from services.catalog.store.imports import MAX_ATTEMPTS, ImportClaim, ImportClaimLost
from services.catalog.workers.import_batches import ImportEntry, ImportRun
from services.catalog.workers.imported_product_writer import fit_description

BATCH_PRODUCTS, BATCH_VARIANTS = 50, 500
"""How many are written in one transaction, in which their stock is locked; the last product may exceed the second."""
MAX_TRIES = 10
"""Of one product: each time without what was refused, or after other transactions were in the way."""
CONTENTION_PAUSE_SECONDS = 0.2

log = get_logger("souk.catalog.import")


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
    except Exception:
        async with deps.db.connection() as connection:
            await imports.release(connection, job)
        raise
    failpoint("catalog.file_imported")
    await _finish(deps, job, ProductImportStatus.DONE)
    return True


async def _run(deps: CatalogDeps, job: ImportClaim) -> None:
    async with deps.db.connection() as connection:
        content = await imports.read_content(connection, job.id)
    file = await asyncio.to_thread(ProductCsv.scan, content)
    columns = await _choose_kept_columns(deps, job, file)
    run = ImportRun(deps, job, file.keeping(columns), changes_told=job.changes)
    if (remarks := _describe_file(file, columns)) and not job.rows:
        await run.write([ImportEntry(0, None, remarks)])
    async with aclosing(_read_ahead(_read_batches(run))) as batches:
        async for batch in batches:
            await _import_batch(run, batch)
            failpoint("catalog.products_imported")


async def _choose_kept_columns(deps: CatalogDeps, job: ImportClaim, file: ProductCsv) -> list[str]:
    """The columns of the file that are kept; an export writes them from now on."""
    unread = file.format.unread_columns
    if not unread:
        return []
    async with deps.db.transaction() as tx:
        await unknown_columns.lock_columns(tx.connection)
        columns = choose_columns(await unknown_columns.list_columns(tx.connection), unread)
        if not job.dry_run:
            await unknown_columns.add_columns(tx.connection, columns)
        return columns


def _describe_file(file: ProductCsv, columns: Sequence[str]) -> Notices | None:
    """Warnings about the file as a whole; None if there are none."""
    notices = Notices(handle="")
    if file.format.remark:
        notices.add_warning(1, "", file.format.encoding, file.format.remark)
    if left := [name for name in file.format.unread_columns if name and name not in columns]:
        notices.add_warning(
            1, "", ", ".join(left), "These columns were left out: there are too many, or a name is too long."
        )
    return notices if notices.warnings else None


async def _read_batches(run: ImportRun) -> AsyncIterator[list[ImportEntry]]:
    """The products that are left to import. Other work of the process gets its turn after each of them."""
    batch: list[ImportEntry] = []
    for group in run.file.groups():
        if group.rows_done <= run.job.rows:
            continue
        product, notices = run.file.parse(group, run.deps.currency)
        if product is not None:
            product = fit_description(product, notices)
        batch.append(ImportEntry(group.rows_done, product, notices))
        if len(batch) == BATCH_PRODUCTS or sum(len(entry.skus) for entry in batch) >= BATCH_VARIANTS:
            yield batch
            batch = []
        await asyncio.sleep(0)
    if batch:
        yield batch


async def _read_ahead(batches: AsyncIterator[list[ImportEntry]]) -> AsyncGenerator[list[ImportEntry], None]:
    """The batches, of which the next one is read while PostgreSQL works on the one before."""
    upcoming = asyncio.ensure_future(anext(batches, None))
    try:
        while (batch := await upcoming) is not None:
            upcoming = asyncio.ensure_future(anext(batches, None))
            yield batch
    finally:
        upcoming.cancel()


async def _finish(deps: CatalogDeps, job: ImportClaim, status: ProductImportStatus) -> None:
    async with deps.db.connection() as connection:
        await imports.finish(connection, job, status)


async def _import_batch(run: ImportRun, batch: Sequence[ImportEntry]) -> None:
    """Imports some products at once. When one of them is refused, its half of the batch is halved again, and so on.

    When another transaction is in the way, only the products that it locks wait for it.
    """
    if len(batch) == 1:
        await _import_one(run, batch[0])
        return
    try:
        await run.write(batch)
    except (Fail, asyncpg.DataError, asyncpg.IntegrityConstraintViolationError):
        middle = len(batch) // 2
        await _import_batch(run, batch[:middle])
        await _import_batch(run, batch[middle:])
    except run.deps.db.contention_errors:
        for entry in batch:
            await _import_one(run, entry)


async def _import_one(run: ImportRun, entry: ImportEntry) -> None:
    """Imports one product. What is refused is changed or left out and reported, and the rest is tried again."""
    for tries in range(1, MAX_TRIES + 1):
        if entry.product is None:
            break
        try:
            await run.write([entry])
        except Fail as fail:
            entry.product = await _after_refusal(run, entry.product, fail, entry.notices)
        except run.deps.db.contention_errors:
            if tries == MAX_TRIES:
                raise
            await asyncio.sleep(CONTENTION_PAUSE_SECONDS)
        except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError):
            line = entry.product.row.line
            log.exception("product not imported", line=line)
            entry.notices.add_error(line, "", "", "The product could not be stored. Report this to the operator.")
            entry.product = None
        else:
            return
    if entry.product is not None:
        line = entry.product.row.line
        entry.notices.add_error(line, "", "", "The product could not be stored. Import the file again.")
        entry.product = None
    await run.write([entry])


async def _after_refusal(run: ImportRun, product: FileProduct, fail: Fail, notices: Notices) -> FileProduct | None:
    """The product without what was refused; None if nothing is left to try.

    The pointers of `fail` are SKUs here: `import_product` sets them so.
    """
    skus = [error.pointer for error in fail.errors]
    if isinstance(fail, SkuTaken):
        owners, claims = await run.find_sku_owners(product), await run.claims()
        return settle_skus(product, skus, owners, claims, notices)
    if isinstance(fail, SlugTaken | CategoryUnknown):
        return product  # another transaction was faster: its product or category is found now
    if isinstance(fail, StockReserved | VariantInUse):
        for error in fail.errors:
            row = product.row_of(error.pointer)
            notices.warn(row, "Variant Inventory Qty", f"{fail.title()}: {error.detail}")
        if isinstance(fail, StockReserved):
            return product.without_quantities(skus)
        return replace(product, kept_skus=product.kept_skus | set(skus))
    detail = "; ".join(error.detail for error in fail.errors) or fail.detail
    notices.add_error(product.row.line, "", "", f"{fail.title()}: {detail}")
    return None
