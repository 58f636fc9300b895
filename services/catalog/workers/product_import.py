"""Writes one product of a file: creates it, updates it, or leaves it as it is."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from infra.database.postgres import Connection, Transaction
from infra.foundation.ids import new_id, now
from services.catalog import product_writer
from services.catalog.content.html_sanitizer import sanitize_html
from services.catalog.domain.product_changes import ProductChange
from services.catalog.domain.shopify.notices import Notices
from services.catalog.domain.shopify.products import FileProduct, build_product, merge_into
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


async def import_product(tx: Transaction, product: FileProduct, who: UUID | None, currency: str) -> str | None:
    """Returns `created`, `updated` or `unchanged`; None when a new product would have no variant.

    The pointers of a failure are SKUs.
    """
    source = StockChangeSource("imported", who)
    skus = [item.variant.sku for item in product.variants]
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
    quantities = await _changed_quantities(tx.connection, before.id, product, skus)
    after = merge_into(before, product, category_id, now())
    if after is before and not quantities:
        return "unchanged"
    if after is before:
        after = replace(before, version=before.version + 1, updated_at=now())
    change = ProductChange(after, quantities)
    await product_writer.update_product(tx, before, change, source, _pointers([*skus, *before.skus]), currency=currency)
    await stock.set_imported(tx.connection, quantities)
    return "updated"


def _pointers(skus: Sequence[str]) -> FieldPointers:
    return FieldPointers(sku={sku: sku for sku in skus}, stock={sku: sku for sku in skus})


async def _changed_quantities(
    connection: Connection, product_id: UUID, product: FileProduct, skus: Sequence[str]
) -> dict[str, int]:
    """Quantities that differ from the last file's. Setting the same ones again would undo the sales since then."""
    last = await stock.find_imported(connection, product_id, skus)
    return {sku: quantity for sku, quantity in product.quantities.items() if last.get(sku) != quantity}


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
