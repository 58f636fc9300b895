"""Reads, lists and searches products, and quotes prices.

Replies are assembled from JSON that was written together with the products.
"""

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
from infra.messaging.rpc import Reply, Request
from services.catalog.deps import CatalogDeps
from services.catalog.domain.search import effective_sort
from services.catalog.store import list_cursor, product_documents, product_queries
from services.catalog.store.product_loaders import parse_id


async def get_product(deps: CatalogDeps, request: Request[ProductLookup]) -> Reply[Product]:
    """Reads a product by id or slug. Only administrators see one that is off sale."""
    key = request.body.key
    product_id = parse_id(key)
    document = await deps.product_loader.load(key if product_id is None else str(product_id))
    is_admin = request.identity is not None and request.identity.is_admin
    if document is None or not (document.is_active or is_admin):
        raise NotFound
    return Reply(document.body.encode(), version=document.version)


async def list_products(deps: CatalogDeps, request: Request[ListProducts]) -> Reply[ListPage[Product]]:
    """Lists products by filter and sort."""
    return Reply(b"{" + await _load_page(deps, request.body) + b"}")


async def search_products(deps: CatalogDeps, request: Request[ListProducts]) -> Reply[ProductSearchResult]:
    """Lists products, with the facets of all that match."""
    page = await _load_page(deps, request.body)
    async with deps.db.connection() as connection:
        facets = await product_queries.count_facets(connection, request.body)
    counts = {name: [facet.model_dump() for facet in found] for name, found in facets.items()}
    return Reply(b"{" + page + b',"facets":' + orjson.dumps(counts) + b"}")


async def suggest(deps: CatalogDeps, request: Request[SuggestProducts]) -> ProductSuggestions:
    """Suggests product names for an unfinished search text."""
    async with deps.db.connection() as connection:
        names = await product_queries.suggest_names(connection, request.body.q, request.body.limit)
    return ProductSuggestions(items=names)


async def quote(deps: CatalogDeps, request: Request[QuoteRequest]) -> Reply[SkuQuoteList]:
    """Returns the current price and stock of SKUs that are on sale."""
    async with deps.db.connection() as connection:
        return Reply(await product_documents.read_quotes(connection, request.body.skus))


async def _load_page(deps: CatalogDeps, body: ListProducts) -> bytes:
    """The JSON members `items` and `next` of a page."""
    if body.after:  # checked here, because an invalid cursor must not fail the other requests of a batch
        list_cursor.decode(effective_sort(body), body.after)
    page = await deps.page_loader.load(body)
    assert page is not None, "every requested page is loaded"
    return page
