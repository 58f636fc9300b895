"""An import job at work: product by product, each in a transaction of its own together with the job's progress.

A runner that dies leaves the job where the last product came in; whoever takes it up goes on from there.
"""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from contracts.catalog import ImportFault, ImportStatus, SkuTaken, StockReserved
from contracts.failure import Fail
from infra.database.postgres import Connection, Transaction
from infra.foundation.failpoints import crash_point
from infra.foundation.ids import new_id, now
from services.catalog.content.html_sanitizer import sanitised
from services.catalog.deps import Shop
from services.catalog.domain.product_changes import Wanted
from services.catalog.domain.shopify.products import FileProduct, made, merged, product_of
from services.catalog.domain.shopify.rows import Group, groups_of, rows_of
from services.catalog.domain.slugs import slug_of
from services.catalog.handlers import product_writer as saving
from services.catalog.handlers.product_writer import Named
from services.catalog.store import categories, imports, products, stock
from services.catalog.store.imports import MOST_ATTEMPTS, Claim, Overtaken, Progress
from services.catalog.store.stock import Author


async def run_next(shop: Shop) -> bool:
    """Takes a job that waits, or was left, to its end. Whether there was one."""
    async with shop.db.connection() as connection:
        job = await imports.claim(connection, shop.settings.import_patience)
    if job is None:
        return False
    crash_point("catalog.import_claimed")
    if job.attempts > MOST_ATTEMPTS:
        await _end(shop, job, ImportStatus.FAILED)
        return True
    try:
        await _run(shop, job)
    except Overtaken:
        return True
    crash_point("catalog.file_imported")
    await _end(shop, job, ImportStatus.DONE)
    return True


async def _run(shop: Shop, job: Claim) -> None:
    async with shop.db.connection() as connection:
        content = await imports.content(connection, job.id)
    for group in groups_of(rows_of(content)):
        if group.last > job.rows:
            await _take(shop, job, group)
            crash_point("catalog.product_imported")


async def _end(shop: Shop, job: Claim, status: ImportStatus) -> None:
    async with shop.db.connection() as connection:
        await imports.finish(connection, job, status)


async def _take(shop: Shop, job: Claim, group: Group) -> None:
    """Brings one product in, without those of its variants that cannot be, and says of each what is wrong."""
    product, faults = product_of(group, shop.currency)
    while product is not None:
        try:
            async with shop.db.transaction() as tx:
                outcome = await _bring_in(shop, tx, product, job.who)
                done = Progress(group.last, len(product.variants) if outcome else 0, outcome, faults)
                await imports.advance(tx.connection, job, done)
        except Fail as fail:
            product, more = _without_cause(product, fail)
            faults = [*faults, *more]
        else:
            return
    async with shop.db.transaction() as tx:
        await imports.advance(tx.connection, job, Progress(group.last, faults=faults))


def _without_cause(product: FileProduct, fail: Fail) -> tuple[FileProduct | None, list[ImportFault]]:
    """What is left to try of a product that was refused, and why the rest is not."""
    skus = [error.pointer for error in fail.errors]
    faults = [
        ImportFault(line=product.line_of(error.pointer), detail=f"{fail.title()}: {error.detail}")
        for error in fail.errors
    ]
    if isinstance(fail, SkuTaken) and skus:
        return product.without(skus), faults
    if isinstance(fail, StockReserved) and skus:
        return product.without_quantities(skus), faults
    return None, faults or [ImportFault(line=product.line, detail=fail.detail)]


async def _bring_in(shop: Shop, tx: Transaction, product: FileProduct, who: UUID | None) -> str | None:
    """`created`, `updated` or `unchanged`; None when there is nothing to make a product of."""
    product = replace(product, description=sanitised(product.description))
    author = Author("imported", who)
    skus = [one.variant.sku for one in product.variants]
    named = Named(sku={sku: sku for sku in skus}, stock={sku: sku for sku in skus})
    before = await products.locked_by_handle(tx.connection, product.handle, product.slug)
    if before is None and not skus:
        return None
    category = await _category(tx.connection, product.kind)
    if before is None:
        wanted = Wanted(made(product, new_id(), category, now()), product.quantities)
        await saving.create(shop, tx, wanted, author, named, own_slug=False)
        await stock.set_imported(tx.connection, product.quantities)
        return "created"
    counted = await _counted_anew(tx.connection, product, skus)
    after = merged(before, product, category, now())
    if after is before and not counted:
        return "unchanged"
    if after is before:
        after = replace(before, version=before.version + 1, updated_at=now())
    await saving.update(shop, tx, before, Wanted(after, counted), author, named)
    await stock.set_imported(tx.connection, counted)
    return "updated"


async def _counted_anew(connection: Connection, product: FileProduct, skus: Sequence[str]) -> dict[str, int]:
    """Quantities that differ from the last file's. The same again would put back what has been sold since."""
    known = await stock.imported(connection, skus)
    return {sku: quantity for sku, quantity in product.quantities.items() if known.get(sku) != quantity}


async def _category(connection: Connection, kind: str) -> UUID | None:
    """The category that a file calls `kind`; made if there is none of that slug."""
    slug = slug_of(kind)
    if not slug:
        return None
    if found := await categories.by_slug(connection, slug):
        return found
    made_now = await categories.insert(connection, new_id(), slug, kind[:100], None)
    return made_now.id if made_now else await categories.by_slug(connection, slug)
