"""A product is written in one way, whoever changes it: an administrator, a product file, a new picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from contracts.catalog import (
    Product,
    ProductCreated,
    ProductDeactivated,
    ProductUpdated,
    SkuTaken,
    SlugTaken,
    StockAdjusted,
)
from contracts.failure import FieldError, Invalid
from infra.database.postgres import Transaction
from services.catalog.content.html_sanitizer import sanitised
from services.catalog.deps import Shop
from services.catalog.domain import stock as rules
from services.catalog.domain.product_changes import Wanted
from services.catalog.domain.product_records import Article
from services.catalog.domain.slugs import told_apart
from services.catalog.store import product_documents as documents
from services.catalog.store import products, stock
from services.catalog.store.stock import Author

LONGEST_DESCRIPTION = 20_000


@dataclass(frozen=True, slots=True)
class Named:
    """Where the request has the SKUs and stock of variants, for what may be wrong with them."""

    sku: Mapping[str, str] = field(default_factory=dict)
    stock: Mapping[str, str] = field(default_factory=dict)


async def create(
    shop: Shop, tx: Transaction, wanted: Wanted, author: Author, named: Named, *, own_slug: bool
) -> Article:
    """Writes a new product. `own_slug` is one that was asked for, and is refused when it is another's."""
    article = _safe(wanted.article)
    if not await products.insert(tx.connection, article, article.document(shop.currency)):
        if own_slug:
            raise SlugTaken(errors=[FieldError(pointer="/slug", detail="belongs to another product")])
        article = replace(article, slug=told_apart(article.slug, article.id))
        if not await products.insert(tx.connection, article, article.document(shop.currency)):
            raise SlugTaken
    tx.say(ProductCreated(product_id=article.id))
    await _put(shop, tx, article, wanted.stock, (), author, named)
    return article


async def update(shop: Shop, tx: Transaction, before: Article, wanted: Wanted, author: Author, named: Named) -> Article:
    """Writes a product that the transaction has locked."""
    article = _safe(wanted.article)
    await products.update(tx.connection, article, article.document(shop.currency))
    gone = sorted(set(before.skus) - set(article.skus))
    if gone:
        await products.drop_variants(tx.connection, article.id, gone)
    left = before.is_active and not article.is_active
    tx.say(ProductDeactivated(product_id=article.id) if left else ProductUpdated(product_id=article.id))
    await _put(shop, tx, article, wanted.stock, gone, author, named)
    return article


async def served(tx: Transaction, article: Article) -> Product:
    """The product as the transaction leaves it."""
    document = await documents.afresh(tx.connection, article.id)
    assert document is not None, "the transaction has written it"
    return Product.model_validate_json(document)


async def _put(
    shop: Shop,
    tx: Transaction,
    article: Article,
    wanted: Mapping[str, int],
    gone: Sequence[str],
    author: Author,
    named: Named,
) -> None:
    cards = [article.card(variant, shop.currency) for variant in article.variants]
    if taken := await products.put_variants(tx.connection, article, cards):
        raise SkuTaken(
            errors=[
                FieldError(pointer=named.sku.get(sku, "/variants"), detail=f"{sku} belongs to another product")
                for sku in article.skus
                if sku in taken
            ]
        )
    levels = await stock.place(tx.connection, article.id, article.skus, gone)
    changes = rules.changes(levels, wanted, named.stock, gone)
    if changes:
        await stock.set_on_hand(tx.connection, changes, author)
    for sku, on_hand in changes.items():
        tx.say(StockAdjusted(product_id=article.id, sku=sku, on_hand=on_hand, reserved=levels[sku].reserved))


def _safe(article: Article) -> Article:
    description = sanitised(article.description)
    if len(description) > LONGEST_DESCRIPTION:
        raise Invalid(errors=[FieldError(pointer="/description", detail="is too long once it is made safe")])
    return replace(article, description=description)
