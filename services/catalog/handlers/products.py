"""Creates and changes products."""

from typing import Any

from contracts.catalog import ChangeProduct, CreateProduct, Product, ProductRef, ReplaceProduct, VariantInput
from contracts.failure import NotFound, PreconditionFailed
from contracts.model import Empty
from contracts.money import Money
from infra.database.postgres import Transaction
from infra.foundation.ids import new_id, now
from infra.messaging.rpc_client import Reply, Request
from services.catalog import product_writer
from services.catalog.deps import CatalogDeps
from services.catalog.domain.product_changes import (
    ProductChange,
    plan_creation,
    plan_replacement,
    plan_update,
    requested_variants,
    variant_pointer,
)
from services.catalog.domain.product_records import ProductRecord
from services.catalog.product_writer import FieldPointers
from services.catalog.store import products
from services.catalog.store.stock import StockChangeSource

AnyChange = Request[ReplaceProduct] | Request[ChangeProduct] | Request[ProductRef]


async def create_product(deps: CatalogDeps, request: Request[CreateProduct]) -> Reply[Product]:
    """Creates a product with its variants and their stock."""
    body = request.body
    change = plan_creation(body, new_id(), now(), deps.currency)
    pointers = _field_pointers(requested_variants(body), single=body.variants is None)
    source = StockChangeSource("created with the product", request.user.user_id)
    has_slug = body.slug is not None
    async with deps.db.transaction(request) as tx:
        product = await product_writer.create_product(
            tx, change, source, pointers, currency=deps.currency, slug_requested=has_slug
        )
        return tx.reply(await product_writer.read_back(tx, product, deps.currency), version=product.version)


async def replace_product(deps: CatalogDeps, request: Request[ReplaceProduct]) -> Reply[Product]:
    """Replaces all fields and variants of a product."""
    body = request.body
    pointers = _field_pointers(requested_variants(body), single=body.variants is None)
    async with deps.db.transaction(request) as tx:
        before = await lock_current(tx, request)
        change = plan_replacement(before, body, now(), deps.currency)
        return await _update(deps, tx, request, before, change, pointers)


async def change_product(deps: CatalogDeps, request: Request[ChangeProduct]) -> Reply[Product]:
    """Changes the fields of a product that the request has."""
    body = request.body
    pointers = _field_pointers(body.variants or [], single=False)
    async with deps.db.transaction(request) as tx:
        before = await lock_current(tx, request)
        if body.variants is None:
            pointers = FieldPointers(stock=dict.fromkeys(before.skus, "/stock"))
        change = plan_update(before, body, now(), deps.currency)
        return await _update(deps, tx, request, before, change, pointers)


async def deactivate_product(deps: CatalogDeps, request: Request[ProductRef]) -> Reply[Empty]:
    """Takes a product off sale. A product that is off sale already stays as it is."""
    async with deps.db.transaction(request) as tx:
        before = await lock_current(tx, request)
        if before.is_active:
            tx.audit_changes(before=_audited_values(deps, before), after={"is_active": False})
            change = plan_update(before, ChangeProduct(id=before.id, is_active=False), now(), deps.currency)
            await product_writer.update_product(
                tx, before, change, _change_source(request), FieldPointers(), currency=deps.currency
            )
        return tx.reply(Empty())


async def lock_current(tx: Transaction, request: AnyChange) -> ProductRecord:
    """Locks the product; raises `PreconditionFailed` when `If-Match` names another version."""
    product = await products.lock(tx.connection, request.body.id)
    if product is None:
        raise NotFound
    if request.if_match is not None and product.version not in request.if_match:
        raise PreconditionFailed
    return product


async def _update(
    deps: CatalogDeps,
    tx: Transaction,
    request: AnyChange,
    before: ProductRecord,
    change: ProductChange,
    pointers: FieldPointers,
) -> Reply[Product]:
    tx.audit_changes(before=_audited_values(deps, before))
    product = await product_writer.update_product(
        tx, before, change, _change_source(request), pointers, currency=deps.currency
    )
    return tx.reply(await product_writer.read_back(tx, product, deps.currency), version=product.version)


def _audited_values(deps: CatalogDeps, product: ProductRecord) -> dict[str, Any]:
    """What the audit log records about a product before it is changed."""
    variants = [
        VariantInput(
            sku=variant.sku,
            price=Money(amount=variant.price, currency=deps.currency),
            cost=None if variant.cost is None else Money(amount=variant.cost, currency=deps.currency),
        )
        for variant in product.variants
    ]
    return {"is_active": product.is_active, "category_id": product.category_id, "variants": variants}


def _change_source(request: AnyChange) -> StockChangeSource:
    return StockChangeSource("changed with the product", request.user.user_id)


def _field_pointers(variants: list[VariantInput], *, single: bool) -> FieldPointers:
    return FieldPointers(
        sku={variant.sku: variant_pointer(index, "sku", single=single) for index, variant in enumerate(variants)},
        stock={variant.sku: variant_pointer(index, "stock", single=single) for index, variant in enumerate(variants)},
    )
