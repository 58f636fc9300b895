"""Writes products of a file: creates them, updates them, or leaves them as they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from uuid import UUID

from contracts.catalog import SlugTaken
from infra.database.postgres import Connection, Transaction
from infra.foundation.ids import new_id, now
from services.catalog import product_writer
from services.catalog.content.html_sanitizer import sanitize_html
from services.catalog.domain.product_changes import ProductChange
from services.catalog.domain.product_records import ProductRecord
from services.catalog.domain.shopify.notices import Notices
from services.catalog.domain.shopify.product_reader import FileProduct, build_product, keep_stored, merge_into
from services.catalog.domain.shopify.row_writer import ExportedProduct, ShopFacts, read_back
from services.catalog.domain.shopify.unknown_columns import NO_CELLS, KeptCells
from services.catalog.domain.slugs import make_unique
from services.catalog.domain.stock import NO_CHANGE, StockChange, StockRecord
from services.catalog.product_writer import MAX_DESCRIPTION_LENGTH, FieldPointers
from services.catalog.store import products, stock, unknown_columns
from services.catalog.store.stock import ImportedStock, StockChangeSource
from services.catalog.workers.category_import import CategoryFinder
from services.catalog.workers.imported_sku_swaps import release_skus


def fit_description(product: FileProduct, notices: Notices) -> FileProduct:
    """The product with a harmless description that is not too long."""
    if product.description is None:
        return product
    description = sanitize_html(product.description)
    length = len(product.description)
    while len(description) > MAX_DESCRIPTION_LENGTH:
        length = min(length * MAX_DESCRIPTION_LENGTH // len(description), length - 1)
        description = sanitize_html(product.description[:length])
    if length < len(product.description):
        notices.warn(product.row, "Body (HTML)", f"This was cut to {MAX_DESCRIPTION_LENGTH} characters.")
    return replace(product, description=description)


StockLevels = Mapping[str, StockRecord]


@dataclass(frozen=True, slots=True)
class ImportedProduct:
    """What became of a product: `created`, `updated` or `unchanged`; None when it would have had no variant.

    `before` is the stored product, and `after` the one that was written, if any. `stock`, by SKU, and `kept_cells` are
    those before and after.
    """

    outcome: str | None
    before: ProductRecord | None = None
    after: ProductRecord | None = None
    stock: tuple[StockLevels, StockLevels] = (MappingProxyType({}), MappingProxyType({}))
    kept_cells: tuple[KeptCells, KeptCells] = (NO_CELLS, NO_CELLS)


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """What is to be done for a product: a change to write, if any, and the quantities that its file has stated anew."""

    imported: ImportedProduct
    change: ProductChange | None = None
    stated: Mapping[str, int] = field(default_factory=dict)

    @property
    def before(self) -> ProductRecord | None:
        """The stored product."""
        return self.imported.before


async def import_products(
    tx: Transaction, batch: Sequence[FileProduct], who: UUID | None, shop: ShopFacts
) -> list[ImportedProduct]:
    """Creates the products, updates them or leaves them as they are. The pointers of a failure are SKUs.

    The products of a batch are written together, which is refused where one of them meets another product: imported
    alone, it gets what is free.
    """
    connection, source = tx.connection, StockChangeSource("imported", who)
    stored = await _lock_products(connection, batch)
    for product in batch:
        if product.claimed_skus:
            await release_skus(tx, product, source, shop.currency)
    found = [record.id for record in stored if record is not None]
    last = await stock.find_imported(connection, found)
    cells = await unknown_columns.find(connection, found) if found and batch[0].row.format.kept_columns else {}
    tree = CategoryFinder(connection)
    plans = []
    for product, before in zip(batch, stored, strict=True):
        if before is None and not product.variants:
            plans.append(ImportPlan(ImportedProduct(None)))
            continue
        category_id = await tree.find_or_create(product.category_parents, product.product_type)
        if before is None:
            plans.append(_plan_creation(product, category_id))
        else:
            category = await tree.read_name(before.category_id)
            plan = _plan_update(before, product, category_id, category, last.get(before.id, {}), shop)
            plans.append(await _with_free_slug(connection, before, plan))
    await _write(tx, batch, plans, source, shop.currency)
    await _store_what_the_file_said(connection, batch, plans)
    return await _store_kept_cells(connection, batch, [plan.imported for plan in plans], cells)


async def _lock_products(connection: Connection, batch: Sequence[FileProduct]) -> list[ProductRecord | None]:
    """The stored products. Raises `SlugTaken` if two products of the batch are the same stored one."""
    by_handle = await products.lock_by_handles(connection, [one.handle for one in batch if one.renamed_from is None])
    stored = [
        by_handle.get(one.handle) if one.renamed_from is None else await products.lock(connection, one.renamed_from)
        for one in batch
    ]
    ids = [record.id for record in stored if record is not None]
    if len(set(ids)) < len(ids):
        raise SlugTaken
    return stored


def _plan_creation(product: FileProduct, category_id: UUID | None) -> ImportPlan:
    record = build_product(product, new_id(), category_id, now())
    change = ProductChange(record, _changed_stock(product, product.quantities, {}))
    return ImportPlan(ImportedProduct("created", None, record), change, product.quantities)


def _plan_update(
    before: ProductRecord,
    product: FileProduct,
    category_id: UUID | None,
    category: str,
    last: Mapping[str, ImportedStock],
    shop: ShopFacts,
) -> ImportPlan:
    """What becomes of a stored product; `category` is the name of its category now."""
    stated, quantities = _changed_quantities(product, last)
    stock_changes = _changed_stock(product, quantities, last)
    after = merge_into(before, product, category_id, now())
    if after is not before:
        after = keep_stored(before, after, product, _read_export(before, product.handle, category, shop))
    if after is before and not stock_changes:
        is_renamed = before.handle not in {None, product.handle}
        return ImportPlan(ImportedProduct("updated" if is_renamed else "unchanged", before), None, stated)
    if after is before:
        after = replace(before, version=before.version + 1, updated_at=now())
    levels = {
        sku: StockRecord(one.on_hand or 0, 0, is_tracked=one.is_tracked, backorder=one.backorder)
        for sku, one in last.items()
    }
    changed = {sku: one.apply(levels.get(sku, StockRecord(0, 0))) for sku, one in stock_changes.items()}
    imported = ImportedProduct("updated", before, after, (levels, levels | changed))
    return ImportPlan(imported, ProductChange(after, stock_changes), stated)


async def _with_free_slug(connection: Connection, before: ProductRecord, plan: ImportPlan) -> ImportPlan:
    """The plan with another slug if the product comes back on sale, and another one has its slug by now."""
    if plan.change is None or before.is_active or not plan.change.product.is_active:
        return plan
    after = plan.change.product
    if not await products.is_slug_in_use(connection, after.slug, after.id):
        return plan
    return replace(plan, change=replace(plan.change, product=replace(after, slug=make_unique(after.slug, after.id))))


async def _write(
    tx: Transaction,
    batch: Sequence[FileProduct],
    plans: Sequence[ImportPlan],
    source: StockChangeSource,
    currency: str,
) -> None:
    """Writes the changes: together where that is possible, because a round trip costs as much as a row."""
    created = [plan.change for plan in plans if plan.change and plan.before is None]
    updated = [(plan.before, plan.change) for plan in plans if plan.change and plan.before]
    together = [(before, change) for before, change in updated if len(batch) > 1 and _keeps_its_place(before, change)]
    if len(batch) > 1 and created:
        await product_writer.create_products(tx, created, source, currency=currency)
    elif created:
        pointers = _pointers(created[0].product.skus)
        await product_writer.create_product(tx, created[0], source, pointers, currency=currency, slug_requested=False)
    if together:
        await product_writer.update_products(tx, together, source, currency=currency)
    for before, change in updated:
        if (before, change) not in together:
            pointers = _pointers([*change.product.skus, *before.skus])
            await product_writer.update_product(tx, before, change, source, pointers, currency=currency)


def _keeps_its_place(before: ProductRecord, change: ProductChange) -> bool:
    """Whether the product stays on sale under its slug, and loses no SKU."""
    after = change.product
    stays = before.is_active and after.is_active and after.slug == before.slug
    return stays and set(before.skus) <= set(after.skus)


async def _store_kept_cells(
    connection: Connection,
    batch: Sequence[FileProduct],
    imported: Sequence[ImportedProduct],
    stored: Mapping[UUID, KeptCells],
) -> list[ImportedProduct]:
    """Writes the kept cells that have changed. A product of which nothing else has changed is updated by that."""
    changed: dict[UUID, KeptCells] = {}
    results = []
    for product, one in zip(batch, imported, strict=True):
        record, columns = one.after or one.before, product.row.format.kept_columns
        result = one
        if record is not None and columns:
            before = stored.get(record.id, NO_CELLS)
            after = before.merge(product.kept_cells, columns, record.skus)
            if after is not before:
                changed[record.id] = after
                outcome = "updated" if one.outcome == "unchanged" else one.outcome
                result = replace(one, outcome=outcome, kept_cells=(before, after))
        results.append(result)
    await unknown_columns.store(connection, changed)
    return results


def _read_export(before: ProductRecord, handle: str, category: str, shop: ShopFacts) -> FileProduct | None:
    """The stored product as an import reads it from an export."""
    exported, notices = read_back(ExportedProduct(before, handle, category), shop)
    return fit_description(exported, notices) if exported else None


async def _store_what_the_file_said(
    connection: Connection, batch: Sequence[FileProduct], plans: Sequence[ImportPlan]
) -> None:
    """Stores what the next file is compared with. None of it is served."""
    for product, plan in zip(batch, plans, strict=True):
        if plan.change is None and plan.before and plan.before.handle != product.handle:
            await products.set_handle(connection, plan.before.id, product.handle)
    stated = {sku: units for plan in plans for sku, units in plan.stated.items()}
    if stated:
        await stock.set_imported(connection, stated)


def _pointers(skus: Sequence[str]) -> FieldPointers:
    return FieldPointers(sku={sku: sku for sku in skus}, stock={sku: sku for sku in skus})


def _changed_quantities(
    product: FileProduct, last: Mapping[str, ImportedStock]
) -> tuple[dict[str, int], dict[str, int]]:
    """Quantities that differ from the last file's, and those of them that are not on hand already.

    Setting the same ones again would undo the sales since then.
    """
    before = {sku: last.get(sku, ImportedStock()) for sku in product.quantities}
    stated = {sku: units for sku, units in product.quantities.items() if units != before[sku].quantity}
    return stated, {sku: units for sku, units in stated.items() if units != before[sku].on_hand}


def _changed_stock(
    product: FileProduct, quantities: Mapping[str, int], last: Mapping[str, ImportedStock]
) -> dict[str, StockChange]:
    """The quantities to set, and how the SKUs are sold where the file says that it is in another way."""
    changes = {}
    for item in product.variants:
        sku = item.variant.sku
        before = last.get(sku, ImportedStock())
        change = StockChange(
            quantities.get(sku),
            None if item.is_tracked == before.is_tracked else item.is_tracked,
            None if item.backorder == before.backorder else item.backorder,
        )
        if change != NO_CHANGE:
            changes[sku] = change
    return changes
