"""Products read, listed and searched. The replies are put together from JSON that was written with the products."""

from collections.abc import Collection
from uuid import UUID

import orjson

from contracts.catalog import (
    ListProducts,
    Product,
    ProductByKey,
    QuoteOf,
    Quotes,
    SearchResult,
    Suggest,
    Suggestions,
)
from contracts.failure import NotFound
from contracts.model import Listing
from infra.database.postgres import Connection, Database
from infra.messaging.rpc import Answer, Ask
from services.catalog.deps import Shop
from services.catalog.domain.search import sort_of
from services.catalog.handlers import list_cursor as paging
from services.catalog.store import product_documents as documents
from services.catalog.store import product_queries as listing
from services.catalog.store.product_documents import Document, Documents


async def get_product(shop: Shop, ask: Ask[ProductByKey]) -> Answer[Product]:
    document = await _find(shop, ask.body.key)
    if document is None or not (document.is_active or (ask.identity is not None and ask.identity.is_admin)):
        raise NotFound
    return Answer(document.body.encode(), version=document.version)


async def list_products(shop: Shop, ask: Ask[ListProducts]) -> Answer[Listing[Product]]:
    return Answer(b"{" + await _page(shop, ask.body) + b"}")


async def search_products(shop: Shop, ask: Ask[ListProducts]) -> Answer[SearchResult]:
    page = await _page(shop, ask.body)
    async with shop.db.connection() as connection:
        facets = await listing.facets(connection, ask.body)
    counted = {name: [facet.model_dump() for facet in found] for name, found in facets.items()}
    return Answer(b"{" + page + b',"facets":' + orjson.dumps(counted) + b"}")


async def suggest(shop: Shop, ask: Ask[Suggest]) -> Suggestions:
    async with shop.db.connection() as connection:
        return Suggestions(items=await listing.names(connection, ask.body.q, ask.body.limit))


async def quote(shop: Shop, ask: Ask[QuoteOf]) -> Answer[Quotes]:
    async with shop.db.connection() as connection:
        return Answer(await documents.quotes(connection, ask.body.skus))


async def _find(shop: Shop, key: str) -> Document | None:
    """By id, where the key is one; else by slug."""
    product_id = _id(key)
    return await shop.found.one(key if product_id is None else str(product_id))


async def _page(shop: Shop, body: ListProducts) -> bytes:
    """The members `items` and `next` of a page."""
    if body.after:
        paging.decode(sort_of(body), body.after)  # a bad cursor is its sender's trouble, not that of who asks beside
    page = await shop.pages.one(body)
    assert page is not None, "every page is answered for"
    return page


def _id(key: str) -> UUID | None:
    try:
        return UUID(key)
    except ValueError:
        return None


async def find(db: Database, documents: Documents, keys: Collection[str]) -> dict[str, Document]:
    """Products by id or slug, whatever each key is."""
    ids = [found for key in keys if (found := _id(key))]
    async with db.connection() as connection:
        return await documents.find(connection, ids, list(keys))


async def turn(db: Database, documents: Documents, wanted: Collection[ListProducts]) -> dict[ListProducts, bytes]:
    """Pages, each put together once for all who want the same."""
    async with db.connection() as connection:
        return {body: await _read_page(connection, documents, body) for body in wanted}


async def _read_page(connection: Connection, documents: Documents, body: ListProducts) -> bytes:
    sort = sort_of(body)
    after = paging.decode(sort, body.after) if body.after else None
    rows = await listing.page(connection, body, sort, after)
    shown = rows[: body.limit]
    items = await documents.filled(connection, shown)
    cursor = f'"{paging.encode(sort, listing.key(shown[-1], sort))}"' if len(rows) > body.limit else "null"
    return f'"items":[{",".join(items)}],"next":{cursor}'.encode()
