"""Products made and changed by administrators."""

from typing import Any

from contracts.catalog import ChangeProduct, CreateProduct, Product, ProductRef, ReplaceProduct, VariantInput
from contracts.failure import NotFound, PreconditionFailed
from contracts.model import Empty
from contracts.money import Money
from infra.database.postgres import Transaction
from infra.foundation.ids import new_id, now
from infra.messaging.rpc import Reply, Request
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
from services.catalog.handlers import product_writer as saving
from services.catalog.handlers.product_writer import FieldPointers
from services.catalog.store import products
from services.catalog.store.stock import StockChangeSource


async def create_product(shop: CatalogDeps, ask: Request[CreateProduct]) -> Reply[Product]:
    body = ask.body
    wanted = plan_creation(body, new_id(), now(), shop.currency)
    named = _named(requested_variants(body), single=body.variants is None)
    async with shop.db.transaction(ask) as tx:
        author = StockChangeSource("created with the product", ask.user.user_id)
        article = await saving.create_product(shop, tx, wanted, author, named, slug_requested=body.slug is not None)
        return tx.reply(await saving.read_back(tx, article), version=article.version)


async def replace_product(shop: CatalogDeps, ask: Request[ReplaceProduct]) -> Reply[Product]:
    body = ask.body
    async with shop.db.transaction(ask) as tx:
        before = await lock_current(tx, ask)
        wanted = plan_replacement(before, body, now(), shop.currency)
        return await _update(
            shop, tx, ask, before, wanted, _named(requested_variants(body), single=body.variants is None)
        )


async def change_product(shop: CatalogDeps, ask: Request[ChangeProduct]) -> Reply[Product]:
    body = ask.body
    async with shop.db.transaction(ask) as tx:
        before = await lock_current(tx, ask)
        wanted = plan_update(before, body, now(), shop.currency)
        return await _update(shop, tx, ask, before, wanted, _named(body.variants or [], single=False))


async def deactivate_product(shop: CatalogDeps, ask: Request[ProductRef]) -> Reply[Empty]:
    async with shop.db.transaction(ask) as tx:
        before = await lock_current(tx, ask)
        if before.is_active:
            tx.audit_changes(before=_seen(shop, before), after={"is_active": False})
            wanted = plan_update(before, ChangeProduct(id=before.id, is_active=False), now(), shop.currency)
            await saving.update_product(shop, tx, before, wanted, _author(ask), FieldPointers())
        return tx.reply(Empty())


async def lock_current(
    tx: Transaction, ask: Request[ReplaceProduct] | Request[ChangeProduct] | Request[ProductRef]
) -> ProductRecord:
    """The product, locked, if it is still the version that the asker has seen."""
    article = await products.lock(tx.connection, ask.body.id)
    if article is None:
        raise NotFound
    if ask.if_match is not None and ask.if_match != article.version:
        raise PreconditionFailed
    return article


async def _update(
    shop: CatalogDeps,
    tx: Transaction,
    ask: Request[ReplaceProduct] | Request[ChangeProduct],
    before: ProductRecord,
    wanted: ProductChange,
    named: FieldPointers,
) -> Reply[Product]:
    tx.audit_changes(before=_seen(shop, before))
    article = await saving.update_product(shop, tx, before, wanted, _author(ask), named)
    return tx.reply(await saving.read_back(tx, article), version=article.version)


def _seen(shop: CatalogDeps, article: ProductRecord) -> dict[str, Any]:
    """What the audit trail tells of a product before it is changed."""
    prices = [
        VariantInput(sku=one.sku, price=Money(amount=one.price, currency=shop.currency)) for one in article.variants
    ]
    return {"is_active": article.is_active, "category_id": article.category_id, "variants": prices}


def _author(ask: Request[ReplaceProduct] | Request[ChangeProduct] | Request[ProductRef]) -> StockChangeSource:
    return StockChangeSource("changed with the product", ask.user.user_id)


def _named(variants: list[VariantInput], *, single: bool) -> FieldPointers:
    return FieldPointers(
        sku={variant.sku: variant_pointer(index, "sku", single=single) for index, variant in enumerate(variants)},
        stock={variant.sku: variant_pointer(index, "stock", single=single) for index, variant in enumerate(variants)},
    )
