"""Products made and changed by administrators."""

from typing import Any

from contracts.catalog import ChangeProduct, NewProduct, NewVariant, Product, ProductOf, ReplaceProduct
from contracts.failure import NotFound, PreconditionFailed
from contracts.model import Empty
from contracts.money import Money
from infra.database.postgres import Transaction
from infra.foundation.ids import new_id, now
from infra.messaging.rpc import Answer, Ask
from services.catalog.deps import Shop
from services.catalog.domain.product_changes import Wanted, changed, new_product, pointer_of, replaced, variants_of
from services.catalog.domain.product_records import Article
from services.catalog.handlers import product_writer as saving
from services.catalog.handlers.product_writer import Named
from services.catalog.store import products
from services.catalog.store.stock import Author


async def create_product(shop: Shop, ask: Ask[NewProduct]) -> Answer[Product]:
    body = ask.body
    wanted = new_product(body, new_id(), now(), shop.currency)
    named = _named(variants_of(body), single=body.variants is None)
    async with shop.db.transaction(ask) as tx:
        author = Author("created with the product", ask.who.user_id)
        article = await saving.create(shop, tx, wanted, author, named, own_slug=body.slug is not None)
        return tx.answer(await saving.served(tx, article), version=article.version)


async def replace_product(shop: Shop, ask: Ask[ReplaceProduct]) -> Answer[Product]:
    body = ask.body
    async with shop.db.transaction(ask) as tx:
        before = await current(tx, ask)
        wanted = replaced(before, body, now(), shop.currency)
        return await _update(shop, tx, ask, before, wanted, _named(variants_of(body), single=body.variants is None))


async def change_product(shop: Shop, ask: Ask[ChangeProduct]) -> Answer[Product]:
    body = ask.body
    async with shop.db.transaction(ask) as tx:
        before = await current(tx, ask)
        wanted = changed(before, body, now(), shop.currency)
        return await _update(shop, tx, ask, before, wanted, _named(body.variants or [], single=False))


async def deactivate_product(shop: Shop, ask: Ask[ProductOf]) -> Answer[Empty]:
    async with shop.db.transaction(ask) as tx:
        before = await current(tx, ask)
        if before.is_active:
            tx.detail(before=_seen(shop, before), after={"is_active": False})
            wanted = changed(before, ChangeProduct(id=before.id, is_active=False), now(), shop.currency)
            await saving.update(shop, tx, before, wanted, _author(ask), Named())
        return tx.answer(Empty())


async def current(tx: Transaction, ask: Ask[ReplaceProduct] | Ask[ChangeProduct] | Ask[ProductOf]) -> Article:
    """The product, locked, if it is still the version that the asker has seen."""
    article = await products.locked(tx.connection, ask.body.id)
    if article is None:
        raise NotFound
    if ask.if_match is not None and ask.if_match != article.version:
        raise PreconditionFailed
    return article


async def _update(
    shop: Shop,
    tx: Transaction,
    ask: Ask[ReplaceProduct] | Ask[ChangeProduct],
    before: Article,
    wanted: Wanted,
    named: Named,
) -> Answer[Product]:
    tx.detail(before=_seen(shop, before))
    article = await saving.update(shop, tx, before, wanted, _author(ask), named)
    return tx.answer(await saving.served(tx, article), version=article.version)


def _seen(shop: Shop, article: Article) -> dict[str, Any]:
    """What the audit trail tells of a product before it is changed."""
    prices = [
        NewVariant(sku=one.sku, price=Money(amount=one.price, currency=shop.currency)) for one in article.variants
    ]
    return {"is_active": article.is_active, "category_id": article.category_id, "variants": prices}


def _author(ask: Ask[ReplaceProduct] | Ask[ChangeProduct] | Ask[ProductOf]) -> Author:
    return Author("changed with the product", ask.who.user_id)


def _named(variants: list[NewVariant], *, single: bool) -> Named:
    return Named(
        sku={variant.sku: pointer_of(index, "sku", single=single) for index, variant in enumerate(variants)},
        stock={variant.sku: pointer_of(index, "stock", single=single) for index, variant in enumerate(variants)},
    )
