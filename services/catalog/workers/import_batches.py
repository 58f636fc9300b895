"""An import at work: it writes products in batches, each batch in one transaction together with the progress."""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from contracts.catalog import ProductImportChange, SkuTaken
from contracts.failure import FieldError
from infra.database.postgres import Transaction
from services.catalog.deps import CatalogDeps
from services.catalog.domain.product_file_formats import ProductCsv
from services.catalog.domain.shopify.notices import Notices
from services.catalog.domain.shopify.product_reader import FileProduct
from services.catalog.domain.shopify.sku_claims import FileClaims, SkuOwners
from services.catalog.store import imports, products
from services.catalog.store.imports import MAX_CHANGES, ImportClaim, ImportProgress
from services.catalog.workers.dry_run_changes import describe_change
from services.catalog.workers.imported_product_writer import import_products


@dataclass(slots=True)
class ImportEntry:
    """The product that some rows describe, if they are valid, with their warnings and errors.

    `rows_done` counts the rows of the file up to the last of them.
    """

    rows_done: int
    product: FileProduct | None
    notices: Notices

    @property
    def skus(self) -> list[str]:
        """The SKUs of the product."""
        return [item.variant.sku for item in self.product.variants] if self.product else []


@dataclass(slots=True)
class ImportRun:
    """An import that this process runs. `tried_skus` are those of the products that a dry run has tried."""

    deps: CatalogDeps
    job: ImportClaim
    file: ProductCsv
    tried_skus: set[str] = field(default_factory=set)
    changes_told: int = 0
    _claims: FileClaims | None = None

    async def claims(self) -> FileClaims:
        """Which product of the file states a SKU first. Looks through the whole file, the first time."""
        if self._claims is None:
            self._claims = await asyncio.to_thread(lambda: FileClaims.of(self.file.groups()))
        return self._claims

    async def find_sku_owners(self, product: FileProduct) -> SkuOwners:
        """The stored products that have SKUs of the product now."""
        async with self.deps.db.connection() as connection:
            by_sku = await products.find_sku_owners(connection, [item.variant.sku for item in product.variants])
            return SkuOwners(by_sku, bool(await products.lock_by_handles(connection, [product.handle])))

    async def write(self, entries: Sequence[ImportEntry]) -> None:
        """Writes the products of the entries and the progress in one transaction; in a dry run only the progress."""
        if self.job.dry_run:
            await self._try_out(entries)
            return
        async with self.deps.db.transaction() as tx:
            progress = await self._import(tx, entries)
            await imports.advance(tx.connection, self.job, progress)

    async def _try_out(self, entries: Sequence[ImportEntry]) -> None:
        """Writes the products, takes that back, and reports what it was.

        The products before them are not there, so a SKU that one of those has is refused here.
        """
        skus = [sku for entry in entries for sku in entry.skus]
        if taken := self.tried_skus.intersection(skus):
            raise SkuTaken(errors=[FieldError(pointer=sku, detail="Another product has it.") for sku in sorted(taken)])
        progress = ImportProgress(0)
        with contextlib.suppress(_RolledBackError):
            async with self.deps.db.transaction() as tx:
                progress = await self._import(tx, entries)
                raise _RolledBackError
        async with self.deps.db.transaction() as tx:
            await imports.advance(tx.connection, self.job, progress)
        self.tried_skus.update(skus)
        self.changes_told += len(progress.changes)

    async def _import(self, tx: Transaction, entries: Sequence[ImportEntry]) -> ImportProgress:
        progress = ImportProgress(entries[-1].rows_done)
        for entry in entries:
            progress.errors += entry.notices.errors
            progress.warnings += entry.notices.warnings
        shop = self.deps.shop_facts()
        batch = [entry.product for entry in entries if entry.product is not None]
        results = await import_products(tx, batch, self.job.who, shop) if batch else []
        for product, imported in zip(batch, results, strict=True):
            if imported.outcome is not None:
                progress.outcomes[imported.outcome] += 1
                progress.variants += len(product.variants)
            if self.job.dry_run and imported.outcome in {"created", "updated"} and self._tells_more(progress.changes):
                progress.changes.append(await describe_change(tx.connection, product, imported, shop))
        return progress

    def _tells_more(self, changes: Sequence[ProductImportChange]) -> bool:
        return self.changes_told + len(changes) < MAX_CHANGES


class _RolledBackError(Exception):
    """Undoes the transaction of a dry run."""
