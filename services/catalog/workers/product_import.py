"""Writes one product of a file: creates it, updates it, or leaves it as it is."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from infra.database.postgres import Connection, Transaction
from infra.foundation.ids import new_id, now
from services.catalog import product_writer
from services.catalog.content.html_sanitizer import sanitize_html
from services.catalog.domain.product_changes import ProductChange
from services.catalog.domain.product_records import ProductRecord
from services.catalog.domain.shopify.notices import Notices
from services.catalog.domain.shopify.product_files import ExportedProduct, ShopFacts, read_back
from services.catalog.domain.shopify.products import FileProduct, build_product, keep_stored, merge_into
from services.catalog.domain.slugs import make_unique, slugify
from services.catalog.product_writer import MAX_DESCRIPTION_LENGTH, FieldPointers
from services.catalog.store import categories, products, stock
from services.catalog.store.stock import StockChangeSource


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


async def import_product(tx: Transaction, product: FileProduct, who: UUID | None, shop: ShopFacts) -> str | None:
    """Returns `created`, `updated` or `unchanged`; None when a new product would have no variant.

    The pointers of a failure are SKUs.
    """
    source = StockChangeSource("imported", who)
    skus, currency = [item.variant.sku for item in product.variants], shop.currency
    before = await products.lock_by_handle(tx.connection, product.handle)
    if before is None and not skus:
        return None
    category_id = await _find_or_create_category(tx.connection, product.product_type)
    if before is None:
        change = ProductChange(build_product(product, new_id(), category_id, now()), product.quantities)
        pointers = _pointers(skus)
        await product_writer.create_product(tx, change, source, pointers, currency=currency, slug_requested=False)
        await stock.set_imported(tx.connection, product.quantities)
        return "created"
    last = await stock.find_imported(tx.connection, before.id, skus)
    stated, quantities = _changed_quantities(product, last)
    after = merge_into(before, product, category_id, now())
    if after is not before:
        after = keep_stored(before, after, product, await _read_export(tx.connection, before, product.handle, shop))
    if after is before and not quantities:
        await _store_what_the_file_said(tx.connection, before, product, stated)
        return "unchanged"
    if await _must_change_slug(tx.connection, before, after):
        after = replace(after, slug=make_unique(after.slug, after.id))
    if after is before:
        after = replace(before, version=before.version + 1, updated_at=now())
    change = ProductChange(after, quantities)
    await product_writer.update_product(tx, before, change, source, _pointers([*skus, *before.skus]), currency=currency)
    await stock.set_imported(tx.connection, stated)
    return "updated"


async def _read_export(
    connection: Connection, before: ProductRecord, handle: str, shop: ShopFacts
) -> FileProduct | None:
    """The stored product as an import reads it from an export."""
    category = await categories.get(connection, before.category_id) if before.category_id else None
    exported, notices = read_back(ExportedProduct(before, handle, category.name if category else ""), shop)
    return fit_description(exported, notices) if exported else None


async def _store_what_the_file_said(
    connection: Connection, before: ProductRecord, product: FileProduct, quantities: Mapping[str, int]
) -> None:
    """Stores what the next file is compared with. None of it is served."""
    if before.handle is None:
        await products.set_handle(connection, before.id, product.handle)
    if quantities:
        await stock.set_imported(connection, quantities)


async def _must_change_slug(connection: Connection, before: ProductRecord, after: ProductRecord) -> bool:
    """Whether the product comes back on sale, and another one has its slug by now."""
    comes_back = after.is_active and not before.is_active
    return comes_back and await products.is_slug_in_use(connection, after.slug, after.id)


def _pointers(skus: Sequence[str]) -> FieldPointers:
    return FieldPointers(sku={sku: sku for sku in skus}, stock={sku: sku for sku in skus})


def _changed_quantities(
    product: FileProduct, last: Mapping[str, tuple[int | None, int | None]]
) -> tuple[dict[str, int], dict[str, int]]:
    """Quantities that differ from the last file's, and those of them that are not on hand already.

    Setting the same ones again would undo the sales since then.
    """
    before = {sku: last.get(sku, (None, None)) for sku in product.quantities}
    stated = {sku: units for sku, units in product.quantities.items() if units != before[sku][0]}
    return stated, {sku: units for sku, units in stated.items() if units != before[sku][1]}


async def _find_or_create_category(connection: Connection, name: str) -> UUID | None:
    """The category of that name, in any case; None without a name.

    One that was renamed is still known by its slug, if the slug is exactly the name.
    """
    if not name:
        return None
    if found := await _find_category(connection, name):
        return found
    await categories.lock_tree(connection)
    if found := await _find_category(connection, name):
        return found
    category_id, slug = new_id(), slugify(name, "category")
    if await categories.insert(connection, category_id, slug, name, None):
        return category_id
    await categories.insert(connection, category_id, make_unique(slug, category_id), name, None)
    return category_id


async def _find_category(connection: Connection, name: str) -> UUID | None:
    found = await categories.find_by_name(connection, name)
    exact_slug = "-".join(name.lower().split())
    return found or (await categories.find_by_slug(connection, exact_slug) if slugify(name) == exact_slug else None)
