"""Runs product imports: each product in its own transaction, together with the progress of the import.

When the process dies, another one continues after the last imported product.
"""

import asyncio
import contextlib
from dataclasses import dataclass, field, replace

import asyncpg

from contracts.catalog import CategoryUnknown, ProductImportStatus, SkuTaken, SlugTaken, StockReserved, VariantInUse
from contracts.failure import Fail, FieldError
from infra.database.postgres import Transaction
from infra.foundation.failpoints import failpoint
from infra.foundation.telemetry import get_logger
from services.catalog.deps import CatalogDeps
from services.catalog.domain.shopify.csv_format import detect_format
from services.catalog.domain.shopify.notices import Notices
from services.catalog.domain.shopify.products import FileProduct, parse_product
from services.catalog.domain.shopify.rows import ProductRows, count_scattered, group_rows, read_rows
from services.catalog.store import imports
from services.catalog.store.imports import MAX_ATTEMPTS, ImportClaim, ImportClaimLost, ImportProgress
from services.catalog.workers.product_import import fit_description, import_product

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
        await _run(ImportRun(deps, job))
    except ImportClaimLost:
        return True
    except Exception:
        async with deps.db.connection() as connection:
            await imports.release(connection, job)
        raise
    failpoint("catalog.file_imported")
    await _finish(deps, job, ProductImportStatus.DONE)
    return True


@dataclass(frozen=True, slots=True)
class ImportRun:
    """An import at work. `tried_skus` are those of the products that a dry run has tried."""

    deps: CatalogDeps
    job: ImportClaim
    tried_skus: set[str] = field(default_factory=set)

    async def write(self, group: ProductRows, product: FileProduct, notices: Notices) -> None:
        """Writes the product and the progress in one transaction."""
        async with self.deps.db.transaction() as tx:
            outcome = await import_product(tx, product, self.job.who, self.deps.shop_facts())
            await self._advance(tx, group, product, outcome, notices)

    async def try_out(self, group: ProductRows, product: FileProduct, notices: Notices) -> None:
        """Writes the product, takes that back, and reports what it was.

        The products before it are not there, so a SKU that one of them has is refused here.
        """
        skus = [item.variant.sku for item in product.variants]
        if taken := self.tried_skus.intersection(skus):
            raise SkuTaken(errors=[FieldError(pointer=sku, detail="Another product has it.") for sku in sorted(taken)])
        outcome = None
        with contextlib.suppress(_RolledBackError):
            async with self.deps.db.transaction() as tx:
                outcome = await import_product(tx, product, self.job.who, self.deps.shop_facts())
                raise _RolledBackError
        self.tried_skus.update(skus)
        async with self.deps.db.transaction() as tx:
            await self._advance(tx, group, product, outcome, notices)

    async def report(self, rows_done: int, notices: Notices) -> None:
        """Writes the progress over rows that make no product."""
        async with self.deps.db.transaction() as tx:
            progress = ImportProgress(rows_done, errors=notices.errors, warnings=notices.warnings)
            await imports.advance(tx.connection, self.job, progress)

    async def _advance(
        self, tx: Transaction, group: ProductRows, product: FileProduct, outcome: str | None, notices: Notices
    ) -> None:
        variants = len(product.variants) if outcome else 0
        progress = ImportProgress(group.rows_done, variants, outcome, notices.errors, notices.warnings)
        await imports.advance(tx.connection, self.job, progress)


class _RolledBackError(Exception):
    """Undoes the transaction of a dry run."""


async def _run(run: ImportRun) -> None:
    async with run.deps.db.connection() as connection:
        content = await imports.read_content(connection, run.job.id)
    csv_format = await asyncio.to_thread(detect_format, content)
    if csv_format.remark and not run.job.rows:
        notices = Notices(handle="")
        notices.add_warning(1, "", csv_format.encoding, csv_format.remark)
        await run.report(0, notices)
    scattered = await asyncio.to_thread(lambda: count_scattered(read_rows(content, csv_format)))
    for group in group_rows(read_rows(content, csv_format), scattered):
        if group.rows_done > run.job.rows:
            await _import_group(run, group)
            failpoint("catalog.product_imported")


async def _finish(deps: CatalogDeps, job: ImportClaim, status: ProductImportStatus) -> None:
    async with deps.db.connection() as connection:
        await imports.finish(connection, job, status)


async def _import_group(run: ImportRun, group: ProductRows) -> None:
    """Imports one product. What is refused is changed or left out and reported, and the rest is tried again."""
    product, notices = parse_product(group, run.deps.currency)
    if product is not None:
        product = fit_description(product, notices)
    for tries in range(1, MAX_TRIES + 1):
        if product is None:
            break
        try:
            await (run.try_out if run.job.dry_run else run.write)(group, product, notices)
        except Fail as fail:
            product = _after_refusal(product, fail, notices)
        except run.deps.db.contention_errors:
            if tries == MAX_TRIES:
                raise
            await asyncio.sleep(CONTENTION_PAUSE_SECONDS)
        except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError):
            log.exception("product not imported", line=product.row.line)
            notices.add_error(product.row.line, "", "", "The product could not be stored. Report this to the operator.")
            product = None
        else:
            return
    if product is not None:
        notices.add_error(product.row.line, "", "", "The product could not be stored. Import the file again.")
    await run.report(group.rows_done, notices)


def _after_refusal(product: FileProduct, fail: Fail, notices: Notices) -> FileProduct | None:
    """The product without what was refused; None if nothing is left to try.

    The pointers of `fail` are SKUs here: `import_product` sets them so.
    """
    skus = [error.pointer for error in fail.errors]
    if isinstance(fail, SkuTaken):
        return product.with_other_skus(skus, notices)
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
