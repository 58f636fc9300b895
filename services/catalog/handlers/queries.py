"""Reads, lists and searches products, and quotes prices.

Replies are assembled from JSON that was written together with the products.
"""

from typing import Any, TypeGuard

import orjson

from contracts.catalog import (
    GetProducts,
    ListProducts,
    Product,
    ProductLookup,
    ProductResults,
    ProductSearchResult,
    ProductSuggestions,
    QuoteRequest,
    SkuQuoteList,
    SuggestProducts,
)
from contracts.failure import Forbidden, NotFound
from contracts.identity import Identity
from contracts.model import ListPage
from infra.foundation.pagination import count_fitting
from infra.messaging.rpc_client import Reply, Request
from services.catalog.deps import CatalogDeps
from services.catalog.domain.product_records import for_administrators
from services.catalog.domain.search import effective_sort
from services.catalog.store import list_cursor, product_documents, product_queries
from services.catalog.store.product_documents import ProductDocument
from services.catalog.store.product_loaders import parse_id
from services.catalog.store.search_vocabulary import MIN_MATCHES

_NOT_FOUND = NotFound().to_problem().model_dump(exclude_none=True)


async def get_product(deps: CatalogDeps, request: Request[ProductLookup]) -> Reply[Product]:
    """Reads a product by id or slug, also by an old slug.

    Only administrators see one that is not on sale, and what its variants cost the shop.
    """
    document = await deps.product_loader.load(_loader_key(request.body))
    if not _is_visible(document, request.identity):
        raise NotFound
    content: Product | bytes = document.body.encode()
    if _is_admin(request.identity):
        content = await _for_administrators(deps, document)
    return Reply(content, version=document.version, moved_to=document.moved_to, valid_seconds=document.valid_seconds)


async def _for_administrators(deps: CatalogDeps, document: ProductDocument) -> Product:
    product = Product.model_validate_json(document.body)
    async with deps.db.connection() as connection:
        amounts = await product_documents.read_admin_amounts(connection, product.id)
    return for_administrators(product, amounts, deps.currency)


async def get_products(deps: CatalogDeps, request: Request[GetProducts]) -> Reply[ProductResults]:
    """Reads several products in one request: a product that is missing leaves the others as they are."""
    keys = [_loader_key(lookup) for lookup in request.body.items]
    found = await deps.product_loader.load_many(set(keys))
    items = [orjson.dumps(_result(found.get(key), request.identity)) for key in keys]
    del items[count_fitting(map(len, items)) :]
    return Reply(b'{"items":[%b]}' % b",".join(items))


def _loader_key(lookup: ProductLookup) -> str:
    product_id = parse_id(lookup.key)
    return lookup.key if product_id is None else str(product_id)


def _is_visible(document: ProductDocument | None, identity: Identity | None) -> TypeGuard[ProductDocument]:
    return document is not None and (document.is_on_sale or _is_admin(identity))


def _is_admin(identity: Identity | None) -> bool:
    return identity is not None and identity.is_admin


def _result(document: ProductDocument | None, identity: Identity | None) -> dict[str, Any]:
    if not _is_visible(document, identity):
        return {"version": None, "product": None, "failure": _NOT_FOUND}
    return {
        "version": document.version,
        "product": document.body,
        "failure": None,
        "moved_to": document.moved_to,
        "valid_seconds": document.valid_seconds,
    }


async def list_products(deps: CatalogDeps, request: Request[ListProducts]) -> Reply[ListPage[Product]]:
    """Lists products by filter and sort."""
    _check(request)
    page = await deps.page_loader.load(request.body)
    assert page is not None, "every requested page is loaded"
    return Reply(b"{%b}" % page.body, valid_seconds=page.valid_seconds)


async def search_products(deps: CatalogDeps, request: Request[ListProducts]) -> Reply[ProductSearchResult]:
    """Lists products, with the facets of all that match."""
    _check(request)
    found = await deps.search_loader.load(request.body) or await deps.large_search_loader.load(request.body)
    assert found is not None, "every requested search is loaded"
    return Reply(found.body, valid_seconds=found.valid_seconds)


async def suggest(deps: CatalogDeps, request: Request[SuggestProducts]) -> ProductSuggestions:
    """Suggests product names for an unfinished search text; if there are few, also for what it may be a typo of."""
    q, limit = request.body.q, request.body.limit
    async with deps.db.connection() as connection:
        names = await deps.suggestions.suggest(connection, q, limit)
        if len(names) < MIN_MATCHES and (corrections := await deps.vocabulary.find_corrections(connection, q)):
            corrected = await product_queries.suggest_names(connection, q, limit, corrections)
            names = list(dict.fromkeys([*names, *corrected]))[:limit]
    return ProductSuggestions(items=names)


async def quote(deps: CatalogDeps, request: Request[QuoteRequest]) -> Reply[SkuQuoteList]:
    """Returns the current price and stock of SKUs that are on sale."""
    async with deps.db.connection() as connection:
        return Reply(await product_documents.read_quotes(connection, request.body.skus, deps.currency))


def _check(request: Request[ListProducts]) -> None:
    """Refuses products off sale to all but administrators.

    Checks the cursor before the batch, where an invalid one would fail the other requests.
    """
    body, identity = request.body, request.identity
    if body.status is not None and (identity is None or not identity.is_admin):
        raise Forbidden("Only administrators may list products by `status`.")
    if body.after:
        list_cursor.decode(effective_sort(body), body.after)
