"""Products read, listed and searched. The replies are put together from JSON that was written with the products."""

from collections.abc import Collection
from uuid import UUID

import orjson

from contracts.catalog import (
    ListProducts,
    Product,
    ProductLookup,
    ProductSearchResult,
    ProductSuggestions,
    QuoteRequest,
    SkuQuoteList,
    SuggestProducts,
)
from contracts.failure import NotFound
from contracts.model import ListPage
from infra.database.postgres import Connection, Database
from infra.messaging.rpc import Reply, Request
from services.catalog.deps import CatalogDeps
from services.catalog.domain.search import effective_sort
from services.catalog.handlers import list_cursor as paging
from services.catalog.store import product_documents as documents
from services.catalog.store import product_queries as listing
from services.catalog.store.product_documents import ProductDocument, ProductDocumentCache


async def get_product(shop: CatalogDeps, ask: Request[ProductLookup]) -> Reply[Product]:
    document = await _find(shop, ask.body.key)
    if document is None or not (document.is_active or (ask.identity is not None and ask.identity.is_admin)):
        raise NotFound
    return Reply(document.body.encode(), version=document.version)


async def list_products(shop: CatalogDeps, ask: Request[ListProducts]) -> Reply[ListPage[Product]]:
    return Reply(b"{" + await _page(shop, ask.body) + b"}")


async def search_products(shop: CatalogDeps, ask: Request[ListProducts]) -> Reply[ProductSearchResult]:
    page = await _page(shop, ask.body)
    async with shop.db.connection() as connection:
        facets = await listing.count_facets(connection, ask.body)
    counted = {name: [facet.model_dump() for facet in found] for name, found in facets.items()}
    return Reply(b"{" + page + b',"facets":' + orjson.dumps(counted) + b"}")


async def suggest(shop: CatalogDeps, ask: Request[SuggestProducts]) -> ProductSuggestions:
    async with shop.db.connection() as connection:
        return ProductSuggestions(items=await listing.suggest_names(connection, ask.body.q, ask.body.limit))


async def quote(shop: CatalogDeps, ask: Request[QuoteRequest]) -> Reply[SkuQuoteList]:
    async with shop.db.connection() as connection:
        return Reply(await documents.read_quotes(connection, ask.body.skus))


async def _find(shop: CatalogDeps, key: str) -> ProductDocument | None:
    """By id, where the key is one; else by slug."""
    product_id = _id(key)
    return await shop.product_loader.load(key if product_id is None else str(product_id))


async def _page(shop: CatalogDeps, body: ListProducts) -> bytes:
    """The members `items` and `next` of a page."""
    if body.after:
        paging.decode(
            effective_sort(body), body.after
        )  # a bad cursor is its sender's trouble, not that of who asks beside
    page = await shop.page_loader.load(body)
    assert page is not None, "every page is answered for"
    return page


def _id(key: str) -> UUID | None:
    try:
        return UUID(key)
    except ValueError:
        return None


async def load_products(
    db: Database, documents: ProductDocumentCache, keys: Collection[str]
) -> dict[str, ProductDocument]:
    """Products by id or slug, whatever each key is."""
    ids = [found for key in keys if (found := _id(key))]
    async with db.connection() as connection:
        return await documents.find(connection, ids, list(keys))


async def load_pages(
    db: Database, documents: ProductDocumentCache, requests: Collection[ListProducts]
) -> dict[ListProducts, bytes]:
    """Pages, each put together once for all who want the same."""
    async with db.connection() as connection:
        return {body: await _read_page(connection, documents, body) for body in requests}


async def _read_page(connection: Connection, documents: ProductDocumentCache, body: ListProducts) -> bytes:
    sort = effective_sort(body)
    after = paging.decode(sort, body.after) if body.after else None
    rows = await listing.list_page(connection, body, sort, after)
    shown = rows[: body.limit]
    items = await documents.render(connection, shown)
    cursor = f'"{paging.encode(sort, listing.page_key(shown[-1], sort))}"' if len(rows) > body.limit else "null"
    return f'"items":[{",".join(items)}],"next":{cursor}'.encode()
