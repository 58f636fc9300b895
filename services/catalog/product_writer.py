"""Writes products. Requests, product files and new images all write a product through these functions."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from contracts.catalog import (
    Product,
    ProductCreated,
    ProductDeactivated,
    ProductUpdated,
    SkuTaken,
    SlugTaken,
    StockAdjusted,
)
from contracts.failure import FieldError, InvalidRequest
from contracts.size_limits import MAX_DOCUMENT_BYTES, MAX_SNAPSHOT_BYTES
from infra.database.postgres import Transaction
from services.catalog.content.html_sanitizer import sanitize_html
from services.catalog.domain.product_changes import ProductChange
from services.catalog.domain.product_records import ProductRecord, for_administrators
from services.catalog.domain.slugs import make_unique
from services.catalog.domain.stock import StockChange, StockRecord, plan_levels
from services.catalog.price_plan_updates import changes_prices, plan_products
from services.catalog.store import price_plans, product_documents, products, stock
from services.catalog.store.stock import StockChangeSource

MAX_DESCRIPTION_LENGTH = 20_000


@dataclass(frozen=True, slots=True)
class FieldPointers:
    """Where the request has the SKU and the stock of each variant, by SKU, for the errors about them."""

    sku: Mapping[str, str] = field(default_factory=dict)
    stock: Mapping[str, str] = field(default_factory=dict)


async def create_product(
    tx: Transaction,
    change: ProductChange,
    source: StockChangeSource,
    pointers: FieldPointers,
    *,
    currency: str,
    slug_requested: bool,
) -> ProductRecord:
    """Writes a new product. A slug that is taken is refused if the request asked for it, else made unique."""
    product = _sanitize(change.product)
    if not await products.insert(tx.connection, product, _document(product, currency)):
        if slug_requested:
            raise SlugTaken(errors=[FieldError(pointer="/slug", detail="Another product has this slug.")])
        product = replace(product, slug=make_unique(product.slug, product.id))
        if not await products.insert(tx.connection, product, _document(product, currency)):
            raise SlugTaken
    tx.publish(ProductCreated(product_id=product.id))
    await _write_variants(tx, product, change.stock, (), source, pointers, currency)
    await price_plans.record_first(tx.connection, [product.id], currency)
    return product


async def create_products(
    tx: Transaction, changes: Sequence[ProductChange], source: StockChangeSource, *, currency: str
) -> None:
    """Writes new products in a few round trips, as `create_product` does one after another.

    Raises `SlugTaken` or `SkuTaken` when one of them meets another product, also where `create_product` would not.
    """
    new = [replace(change, product=_sanitize(change.product)) for change in changes]
    documents = [(change.product, _document(change.product, currency)) for change in new]
    if await products.insert_all(tx.connection, documents) < len(new):
        raise SlugTaken
    tx.publish(*(ProductCreated(product_id=change.product.id) for change in new))
    await _write_variants_together(tx, new, source, currency)
    await price_plans.record_first(tx.connection, [change.product.id for change in new], currency)


async def update_products(
    tx: Transaction,
    updates: Sequence[tuple[ProductRecord, ProductChange]],
    source: StockChangeSource,
    *,
    currency: str,
) -> None:
    """Writes locked products in a few round trips, as `update_product` does one after another.

    They are on sale before and after, keep their slugs, and lose no SKU. Raises `SkuTaken` when one of them meets
    another product.
    """
    changes = [replace(change, product=_sanitize(change.product)) for _, change in updates]
    documents = [(change.product, _document(change.product, currency)) for change in changes]
    await products.update_all(tx.connection, documents)
    tx.publish(*(ProductUpdated(product_id=change.product.id) for change in changes))
    await _write_variants_together(tx, changes, source, currency)
    priced = [change.product.id for before, change in updates if changes_prices(before, change.product)]
    if priced:
        await plan_products(tx.connection, priced, currency)


async def update_product(
    tx: Transaction,
    before: ProductRecord,
    change: ProductChange,
    source: StockChangeSource,
    pointers: FieldPointers,
    *,
    currency: str,
) -> ProductRecord:
    """Writes a product whose row the transaction has locked."""
    product = _sanitize(change.product)
    await products.update(tx.connection, product, _document(product, currency))
    if product.slug != before.slug:
        await products.keep_old_slug(tx.connection, product.id, before.slug, product.slug)
    removed = sorted(set(before.skus) - set(product.skus))
    if removed:
        removed = await products.delete_variants(tx.connection, product.id, removed)
    was_deactivated = before.is_active and not product.is_active
    event_type = ProductDeactivated if was_deactivated else ProductUpdated
    tx.publish(event_type(product_id=product.id))
    await _write_variants(tx, product, change.stock, removed, source, pointers, currency)
    if changes_prices(before, product):
        await plan_products(tx.connection, [product.id], currency)
    return product


async def read_back(tx: Transaction, product: ProductRecord, currency: str) -> Product:
    """The product as the transaction leaves it and as administrators see it, in the contract's form."""
    document = await product_documents.read_product(tx.connection, product.id)
    assert document is not None, "the transaction has written it"
    return for_administrators(Product.model_validate_json(document), product.admin_amounts, currency)


async def _write_variants(
    tx: Transaction,
    product: ProductRecord,
    wanted: Mapping[str, StockChange],
    removed: Sequence[str],
    source: StockChangeSource,
    pointers: FieldPointers,
    currency: str,
) -> None:
    """Writes the variants and the `wanted` stock, and sets the units of `removed` SKUs to 0."""
    snapshots = _line_snapshots(product, currency)
    taken = await _claim_skus(tx, product, snapshots)
    if taken and (product.is_active or not taken.isdisjoint(wanted)):
        raise _sku_taken(product, taken, pointers, "Another product has the SKU {sku}.")
    await products.replace_freed_variants(tx.connection, product, taken)
    own_skus = [sku for sku in product.skus if sku not in taken]
    levels = await stock.assign_skus(tx.connection, product.id, own_skus, removed)
    levels |= await _clear_foreign_units(tx, product, levels, source, pointers)
    changes = plan_levels(levels, wanted, pointers.stock, removed)
    if changes:
        await stock.set_levels(tx.connection, changes, source)
    tx.publish(*_stock_events(product.id, changes, levels))


async def _write_variants_together(
    tx: Transaction, changes: Sequence[ProductChange], source: StockChangeSource, currency: str
) -> None:
    """Writes the variants and the stock of several products, of which no other product may have a SKU."""
    records = [change.product for change in changes]
    snapshots = [(record, _line_snapshots(record, currency)) for record in records]
    written = await products.upsert_variants_of(tx.connection, snapshots)
    levels = await stock.assign_skus_of(tx.connection, [(record.id, record.skus) for record in records])
    owners = {sku: record.id for record in records for sku in record.skus}
    if written < sum(len(record.skus) for record in records) or any(level.is_foreign for level in levels.values()):
        raise SkuTaken
    wanted = {sku: stated for change in changes for sku, stated in change.stock.items()}
    changed = plan_levels(levels, wanted, {}, ())
    if changed:
        await stock.set_levels(tx.connection, changed, source)
    for sku, level in changed.items():
        tx.publish(*_stock_events(owners[sku], {sku: level}, levels))


def _stock_events(
    product_id: UUID, changes: Mapping[str, StockRecord], levels: Mapping[str, StockRecord]
) -> list[StockAdjusted]:
    """The events of the SKUs whose units on hand differ from those before."""
    return [
        StockAdjusted(product_id=product_id, sku=sku, on_hand=level.on_hand, reserved=level.reserved)
        for sku, level in changes.items()
        if level.on_hand != levels[sku].on_hand
    ]


async def _claim_skus(tx: Transaction, product: ProductRecord, snapshots: Sequence[str]) -> set[str]:
    """Writes the variants; returns the SKUs that others have. An active product takes those of products off sale."""
    taken = await products.upsert_variants(tx.connection, product, snapshots)
    if taken and product.is_active:
        await products.free_variants(tx.connection, product.id, sorted(taken))
        taken = await products.upsert_variants(tx.connection, product, snapshots)
    return taken


async def _clear_foreign_units(
    tx: Transaction,
    product: ProductRecord,
    levels: Mapping[str, StockRecord],
    source: StockChangeSource,
    pointers: FieldPointers,
) -> dict[str, StockRecord]:
    """Writes off what another product has left under its former SKUs: these are other goods.

    Refuses a SKU of which orders still hold units, because those units leave under that SKU. Until the product's own
    units are set, the SKU is not tracked: no event says that few units of it are left.
    """
    foreign = {sku: level for sku, level in levels.items() if level.is_foreign}
    if held := {sku for sku, level in foreign.items() if level.reserved}:
        detail = "Open orders hold {sku} of the product that had it before. Try again once they are paid or cancelled."
        raise _sku_taken(product, held, pointers, detail)
    cleared = {sku: StockRecord(0, 0, is_foreign=True, is_tracked=False) for sku in foreign}
    if cleared:
        reason = "units of the product that had this SKU before"
        await stock.set_levels(tx.connection, cleared, StockChangeSource(reason, source.actor_id))
    return cleared


def _sku_taken(product: ProductRecord, skus: Collection[str], pointers: FieldPointers, detail: str) -> SkuTaken:
    return SkuTaken(
        errors=[
            FieldError(pointer=pointers.sku.get(sku, "/variants"), detail=detail.format(sku=sku))
            for sku in product.skus
            if sku in skus
        ]
    )


def _document(product: ProductRecord, currency: str) -> str:
    """The product's document. A page of a list holds at least one, so it may not be larger than a page."""
    document = product.document_template(currency)
    if (size := len(document.encode())) > MAX_DOCUMENT_BYTES:
        limit = MAX_DOCUMENT_BYTES // 1024
        detail = f"The product takes {size // 1024} KiB; at most {limit} KiB are possible."
        raise InvalidRequest(errors=[FieldError(pointer="", detail=detail)])
    return document


def _line_snapshots(product: ProductRecord, currency: str) -> list[str]:
    """What order lines state of each variant. Raises `InvalidRequest` for one that is too large."""
    snapshots = [product.line_snapshot(variant, currency) for variant in product.variants]
    _check_snapshots(snapshots)
    return snapshots


def _check_snapshots(snapshots: Sequence[str]) -> None:
    limit = MAX_SNAPSHOT_BYTES // 1024
    too_large = [index for index, snapshot in enumerate(snapshots) if len(snapshot.encode()) > MAX_SNAPSHOT_BYTES]
    if too_large:
        detail = f"The name and the options of a variant may take at most {limit} KiB together. Shorten the options."
        raise InvalidRequest(
            errors=[FieldError(pointer=f"/variants/{index}/options", detail=detail) for index in too_large]
        )


def _sanitize(product: ProductRecord) -> ProductRecord:
    """The product with a harmless description. Sanitizing may lengthen it beyond the limit, which is an error."""
    description = sanitize_html(product.description)
    if len(description) > MAX_DESCRIPTION_LENGTH:
        detail = f"With its HTML escaped, the description has more than {MAX_DESCRIPTION_LENGTH} characters."
        raise InvalidRequest(errors=[FieldError(pointer="/description", detail=detail)])
    return replace(product, description=description)
