"""Reads products and list pages for many concurrent requests in one go."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from uuid import UUID

from contracts.catalog import ListProducts, ProductSort
from infra.database.postgres import Connection
from infra.foundation.pagination import count_fitting
from services.catalog.domain.search import effective_sort
from services.catalog.store import list_cursor, product_documents, product_queries, product_search
from services.catalog.store.database import CatalogDatabase
from services.catalog.store.facet_value_cache import FacetValueCache
from services.catalog.store.product_documents import ProductDocument, ProductDocumentCache
from services.catalog.store.search_result_cache import CachedPage, LargeResult, LargeResultCache
from services.catalog.store.search_vocabulary import MIN_MATCHES, VocabularyCache


@dataclass(frozen=True, slots=True)
class ProductSources:
    """Where products are read from: the database, and what this process keeps of it."""

    db: CatalogDatabase
    documents: ProductDocumentCache = field(default_factory=ProductDocumentCache)
    large_results: LargeResultCache = field(default_factory=LargeResultCache)
    category_lists: LargeResultCache = field(default_factory=LargeResultCache)
    """Their pages, which are merged from those of all categories below."""
    vocabulary: VocabularyCache = field(default_factory=VocabularyCache)
    facet_values: FacetValueCache = field(default_factory=FacetValueCache)


@dataclass(frozen=True, slots=True)
class LoadedPage:
    """The JSON of a page or of its members, and how long the prices on it last if one of them changes by time."""

    body: bytes
    valid_seconds: float | None


async def load_products(sources: ProductSources, keys: Collection[str]) -> dict[str, ProductDocument]:
    """Products by key; each key is an id or a slug."""
    ids = [product_id for key in keys if (product_id := parse_id(key))]
    async with sources.db.connection() as connection:
        return await sources.documents.find(connection, ids, list(keys))


async def load_pages(sources: ProductSources, requests: Collection[ListProducts]) -> dict[ListProducts, LoadedPage]:
    """The JSON members `items` and `next` of each page; equal requests share one page."""
    pages: dict[ListProducts, LoadedPage] = {}
    async with sources.db.connection() as connection:
        await refresh_large_results(connection, sources, requests)
        if any(sources.category_lists.find(request) for request in requests):
            await sources.category_lists.refresh(connection)
        for request in requests:
            page = await _load_quickly(connection, sources, request)
            if page is not None:
                pages[request] = page
    others = [request for request in requests if request not in pages]
    if others:
        async with sources.db.list_connection() as connection:
            searches = [request for request in others if request.q]
            large = await refresh_to_add(connection, sources, searches) if searches else {}
            for request in others:
                pages[request] = await load_page(connection, sources, request, large.get(request))
    return pages


async def refresh_to_add(
    connection: Connection, sources: ProductSources, requests: Collection[ListProducts]
) -> dict[ListProducts, LargeResult]:
    """The large results of the requests, without what has changed, to add to. What they were corrected to stays."""
    before = {request: sources.large_results.find(request) for request in requests}
    await sources.large_results.refresh(connection)
    await sources.vocabulary.refresh(connection, sources.large_results.synonyms_version)
    found = {request: sources.large_results.find_or_add(request) for request in requests}
    for request, large in before.items():
        if large is not None:
            found[request].corrections = large.corrections
    return found


def parse_id(key: str) -> UUID | None:
    """The key as a product id; None when it can only be a slug."""
    try:
        return UUID(key)
    except ValueError:
        return None


async def refresh_large_results(
    connection: Connection, sources: ProductSources, requests: Collection[ListProducts]
) -> None:
    """Forgets large results that have changed, if any of these requests has one."""
    known = sources.large_results
    if any(known.find(request) or known.find_matches(request) for request in requests):
        await known.refresh(connection)


async def _load_quickly(connection: Connection, sources: ProductSources, request: ListProducts) -> LoadedPage | None:
    """A page that is cached, or whose statement needs no plan of its own; None for others."""
    sort = effective_sort(request)
    if product_queries.is_plain(request):
        return await _load_plain(connection, sources, request, sort)
    if not request.q:
        return None
    large = sources.large_results.find(request)
    if large is not None:
        cached = large.find_page(request, sort)
        return await render_cached(connection, sources, request, cached) if cached else None
    result = await search(connection, sources, request, with_facets=False)
    return await render(connection, sources, request, result.rows) if result is not None else None


async def _load_plain(
    connection: Connection, sources: ProductSources, request: ListProducts, sort: ProductSort
) -> LoadedPage:
    """A page without a filter, or of a category. The latter is cached when it is requested again."""
    known = sources.category_lists.find(request) if request.category else None
    cached = known.find_page(request, sort) if known is not None else None
    if cached is not None:
        return await render_cached(connection, sources, request, cached)
    rows = await product_queries.list_page(connection, request, sort, await _after(connection, request, sort))
    if known is not None:
        known.add_page(request, sort, _to_cached(rows, sort))
    elif request.category:
        sources.category_lists.find_or_add(request)  # so that the next request finds what has changed before it reads
    return await render(connection, sources, request, rows)


async def search(
    connection: Connection, sources: ProductSources, request: ListProducts, *, with_facets: bool = True
) -> product_search.SearchResult | None:
    """The result if it is not large. With few matches, mistyped words find what they may stand for, on each page."""
    sort = effective_sort(request)
    after = await _after(connection, request, sort)
    if product_queries.names_oldest_ranked(sort, after):
        return None
    find = partial(product_search.search, connection, request, sort, after, with_facets=with_facets)
    result = await find(sources.vocabulary.current)
    if result is None or not request.q:
        return result
    if await sources.vocabulary.refresh(connection, result.synonyms_version):
        result = await find(sources.vocabulary.current)
    if result is None or result.matches >= MIN_MATCHES:
        return result
    corrections = await sources.vocabulary.find_corrections(connection, request.q)
    if not corrections:
        return result
    corrected = await find(replace(sources.vocabulary.current, corrections=corrections))
    if corrected is None:
        sources.large_results.find_or_add(request).corrections = corrections
    return corrected


async def load_page(
    connection: Connection, sources: ProductSources, request: ListProducts, large: LargeResult | None = None
) -> LoadedPage:
    """The page; its products are cached if the result is."""
    sort = effective_sort(request)
    after = await _after(connection, request, sort)
    corrections = {} if large is None else large.corrections
    vocabulary = replace(sources.vocabulary.current, corrections=corrections)
    rows = await product_queries.list_page(connection, request, sort, after, vocabulary)
    if large is not None:
        large.add_page(request, sort, _to_cached(rows, sort))
    return await render(connection, sources, request, rows)


async def _after(connection: Connection, request: ListProducts, sort: ProductSort) -> Sequence[Any] | None:
    """The sort key that the page starts after."""
    after = list_cursor.decode(sort, request.after) if request.after else None
    if after is not None and after[0] == list_cursor.UNNAMED:
        after = (await product_queries.find_name(connection, after[-1]), after[-1])
    return after


async def render(
    connection: Connection, sources: ProductSources, request: ListProducts, rows: Sequence[Any]
) -> LoadedPage:
    """The JSON members of the page with these rows."""
    sort = effective_sort(request)
    documents = await sources.documents.render(connection, rows[: request.limit])
    page = _page(documents, len(rows), lambda place: product_queries.page_key(rows[place], sort), sort)
    return LoadedPage(page, product_documents.valid_seconds(rows))


async def render_cached(
    connection: Connection, sources: ProductSources, request: ListProducts, page: CachedPage
) -> LoadedPage:
    """The JSON members of a page whose products are known, with their values of this moment."""
    rows = await product_documents.read_live_values(connection, page.ids[: request.limit])
    documents = await sources.documents.render(connection, rows)
    body = _page(documents, len(page.keys), page.keys.__getitem__, effective_sort(request))
    return LoadedPage(body, product_documents.valid_seconds(rows))


def _to_cached(rows: Sequence[Any], sort: ProductSort) -> CachedPage:
    return CachedPage([row["id"] for row in rows], [product_queries.page_key(row, sort) for row in rows])


def _page(documents: Sequence[str], found: int, key_of: Callable[[int], Sequence[Any]], sort: ProductSort) -> bytes:
    """The JSON members `items` and `next`: as many documents as fit. One more is found if the list goes on."""
    items = [document.encode() for document in documents]
    del items[count_fitting(map(len, items)) :]
    cursor = b"null"
    if found > len(items):
        cursor = b'"%b"' % list_cursor.encode(sort, key_of(len(items) - 1)).encode()
    return b'"items":[%b],"next":%b' % (b",".join(items), cursor)
