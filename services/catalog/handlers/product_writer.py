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
from contracts.failure import FieldError, InvalidRequest
from infra.database.postgres import Transaction
from services.catalog.content.html_sanitizer import sanitize_html
from services.catalog.deps import CatalogDeps
from services.catalog.domain import stock as rules
from services.catalog.domain.product_changes import ProductChange
from services.catalog.domain.product_records import ProductRecord
from services.catalog.domain.slugs import make_unique
from services.catalog.store import product_documents as documents
from services.catalog.store import products, stock
from services.catalog.store.stock import StockChangeSource

MAX_DESCRIPTION_LENGTH = 20_000


@dataclass(frozen=True, slots=True)
class FieldPointers:
    """Where the request has the SKUs and stock of variants, for what may be wrong with them."""

    sku: Mapping[str, str] = field(default_factory=dict)
    stock: Mapping[str, str] = field(default_factory=dict)


async def create_product(
    shop: CatalogDeps,
    tx: Transaction,
    change: ProductChange,
    author: StockChangeSource,
    pointers: FieldPointers,
    *,
    slug_requested: bool,
) -> ProductRecord:
    """Writes a new product. `own_slug` is one that was asked for, and is refused when it is another's."""
    article = _safe(change.product)
    if not await products.insert(tx.connection, article, article.document_template(shop.currency)):
        if slug_requested:
            raise SlugTaken(errors=[FieldError(pointer="/slug", detail="belongs to another product")])
        article = replace(article, slug=make_unique(article.slug, article.id))
        if not await products.insert(tx.connection, article, article.document_template(shop.currency)):
            raise SlugTaken
    tx.publish(ProductCreated(product_id=article.id))
    await _put(shop, tx, article, change.stock, (), author, pointers)
    return article


async def update_product(
    shop: CatalogDeps,
    tx: Transaction,
    before: ProductRecord,
    change: ProductChange,
    author: StockChangeSource,
    pointers: FieldPointers,
) -> ProductRecord:
    """Writes a product that the transaction has locked."""
    article = _safe(change.product)
    await products.update(tx.connection, article, article.document_template(shop.currency))
    gone = sorted(set(before.skus) - set(article.skus))
    if gone:
        await products.delete_variants(tx.connection, article.id, gone)
    left = before.is_active and not article.is_active
    tx.publish(ProductDeactivated(product_id=article.id) if left else ProductUpdated(product_id=article.id))
    await _put(shop, tx, article, change.stock, gone, author, pointers)
    return article


async def read_back(tx: Transaction, article: ProductRecord) -> Product:
    """The product as the transaction leaves it."""
    document = await documents.read_product(tx.connection, article.id)
    assert document is not None, "the transaction has written it"
    return Product.model_validate_json(document)


async def _put(
    shop: CatalogDeps,
    tx: Transaction,
    article: ProductRecord,
    wanted: Mapping[str, int],
    gone: Sequence[str],
    author: StockChangeSource,
    named: FieldPointers,
) -> None:
    cards = [article.line_snapshot(variant, shop.currency) for variant in article.variants]
    if taken := await products.upsert_variants(tx.connection, article, cards):
        raise SkuTaken(
            errors=[
                FieldError(pointer=named.sku.get(sku, "/variants"), detail=f"{sku} belongs to another product")
                for sku in article.skus
                if sku in taken
            ]
        )
    levels = await stock.assign_skus(tx.connection, article.id, article.skus, gone)
    changes = rules.plan_on_hand(levels, wanted, named.stock, gone)
    if changes:
        await stock.set_on_hand(tx.connection, changes, author)
    for sku, on_hand in changes.items():
        tx.publish(StockAdjusted(product_id=article.id, sku=sku, on_hand=on_hand, reserved=levels[sku].reserved))


def _safe(article: ProductRecord) -> ProductRecord:
    description = sanitize_html(article.description)
    if len(description) > MAX_DESCRIPTION_LENGTH:
        raise InvalidRequest(errors=[FieldError(pointer="/description", detail="is too long once it is made safe")])
    return replace(article, description=description)
