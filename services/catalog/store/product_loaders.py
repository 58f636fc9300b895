"""Reads products, list pages and searches for many concurrent requests in one go."""

from collections.abc import Collection, Sequence
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
from services.catalog.store.facet_counts import Counted, join_counts, plan_counts
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
        await _refresh_large_results(connection, sources, requests)
        for request in requests:
            page = await _load_quickly(connection, sources, request)
            if page is not None:
                pages[request] = page
    others = [request for request in requests if request not in pages]
    if others:
        async with sources.db.list_connection() as connection:
            searches = [request for request in others if request.q]
            large = await _refresh_to_add(connection, sources, searches) if searches else {}
            for request in others:
                pages[request] = await _load_page(connection, sources, request, large.get(request))
    return pages


async def load_searches(sources: ProductSources, requests: Collection[ListProducts]) -> dict[ListProducts, LoadedPage]:
    """The JSON of pages with facets, without the searches that `load_large_searches` has to count."""
    found: dict[ListProducts, LoadedPage] = {}
    new = []
    async with sources.db.connection() as connection:
        await _refresh_large_results(connection, sources, requests)
        for request in requests:
            large = sources.large_results.find(request)
            if large is None and not request.q:
                new.append(request)
            else:
                await _add_search(connection, sources, request, large, found)
    if new:
        async with sources.db.list_connection() as connection:
            for request in new:
                await _add_search(connection, sources, request, None, found)
    return found


async def _add_search(
    connection: Connection,
    sources: ProductSources,
    request: ListProducts,
    large: LargeResult | None,
    found: dict[ListProducts, LoadedPage],
) -> None:
    """Adds the result if it is not large, or if all of it is cached."""
    if large is None:
        result = await _search(connection, sources, request)
        if result is not None:
            page = await _render(connection, sources, request, result.rows)
            found[request] = _search_result(page, await sources.facet_values.render(connection, result.facets))
    elif large.facets and (cached := large.find_page(request, effective_sort(request))):
        page = await _render_cached(connection, sources, request, cached)
        found[request] = _search_result(page, large.facets)


async def load_large_searches(
    sources: ProductSources, requests: Collection[ListProducts]
) -> dict[ListProducts, LoadedPage]:
    """The JSON of pages with facets, of searches with more than 1,000 matches."""
    found: dict[ListProducts, LoadedPage] = {}
    async with sources.db.list_connection() as connection:
        large = await _refresh_to_add(connection, sources, requests)
        for request in requests:
            facets = await _count_facets(connection, sources, request, large[request])
            page = await _load_page(connection, sources, request, large[request])
            found[request] = _search_result(page, facets)
    return found


async def _refresh_to_add(
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


async def _count_facets(
    connection: Connection, sources: ProductSources, request: ListProducts, large: LargeResult
) -> str:
    """The facets of a large result. Each is counted without its own filter, so other requests share the count."""
    if large.facets:
        return large.facets
    vocabulary = replace(sources.vocabulary.current, corrections=large.corrections)
    counts: dict[str, Counted] = {}
    for counted_request, facets in plan_counts(request).items():
        is_shared = counted_request != request and not large.corrections
        result = sources.large_results.find_or_add(counted_request) if is_shared else large
        missing = [counted for counted in facets if counted.key not in result.counts]
        if missing:
            result.counts |= await product_search.count_facets(connection, counted_request, missing, vocabulary)
        counts |= {counted.key: result.counts[counted.key] for counted in facets}
    large.facets = await sources.facet_values.render(connection, join_counts(counts))
    return large.facets


def parse_id(key: str) -> UUID | None:
    """The key as a product id; None when it can only be a slug."""
    try:
        return UUID(key)
    except ValueError:
        return None


async def _refresh_large_results(
    connection: Connection, sources: ProductSources, requests: Collection[ListProducts]
) -> None:
    """Forgets large results that have changed, if any of these requests has one."""
    if any(sources.large_results.find(request) for request in requests):
        await sources.large_results.refresh(connection)


async def _load_quickly(connection: Connection, sources: ProductSources, request: ListProducts) -> LoadedPage | None:
    """A page that is cached, or whose statement needs no plan of its own; None for others."""
    sort = effective_sort(request)
    if product_queries.is_plain(request):
        rows = await product_queries.list_page(connection, request, sort, await _after(connection, request, sort))
        return await _render(connection, sources, request, rows)
    if not request.q:
        return None
    large = sources.large_results.find(request)
    if large is not None:
        cached = large.find_page(request, sort)
        return await _render_cached(connection, sources, request, cached) if cached else None
    result = await _search(connection, sources, request, with_facets=False)
    return await _render(connection, sources, request, result.rows) if result is not None else None


async def _search(
    connection: Connection, sources: ProductSources, request: ListProducts, *, with_facets: bool = True
) -> product_search.SearchResult | None:
    """The result if it is not large. With few matches, mistyped words find what they may stand for, on each page."""
    sort = effective_sort(request)
    after = await _after(connection, request, sort)
    if product_queries.names_oldest_ranked(sort, after):
        return None
    search = partial(product_search.search, connection, request, sort, after, with_facets=with_facets)
    result = await search(sources.vocabulary.current)
    if result is None or not request.q:
        return result
    if await sources.vocabulary.refresh(connection, result.synonyms_version):
        result = await search(sources.vocabulary.current)
    if result is None or result.matches >= MIN_MATCHES:
        return result
    corrections = await sources.vocabulary.find_corrections(connection, request.q)
    if not corrections:
        return result
    corrected = await search(replace(sources.vocabulary.current, corrections=corrections))
    if corrected is None:
        sources.large_results.find_or_add(request).corrections = corrections
    return corrected


async def _load_page(
    connection: Connection, sources: ProductSources, request: ListProducts, large: LargeResult | None = None
) -> LoadedPage:
    """The page; its products are cached if the result is."""
    sort = effective_sort(request)
    after = await _after(connection, request, sort)
    corrections = {} if large is None else large.corrections
    vocabulary = replace(sources.vocabulary.current, corrections=corrections)
    rows = await product_queries.list_page(connection, request, sort, after, vocabulary)
    if large is not None:
        keys = [product_queries.page_key(row, sort) for row in rows]
        large.add_page(request, sort, CachedPage([row["id"] for row in rows], keys))
    return await _render(connection, sources, request, rows)


async def _after(connection: Connection, request: ListProducts, sort: ProductSort) -> Sequence[Any] | None:
    """The sort key that the page starts after."""
    after = list_cursor.decode(sort, request.after) if request.after else None
    if after is not None and after[0] == list_cursor.UNNAMED:
        after = (await product_queries.find_name(connection, after[-1]), after[-1])
    return after


async def _render(
    connection: Connection, sources: ProductSources, request: ListProducts, rows: Sequence[Any]
) -> LoadedPage:
    """The JSON members of the page with these rows."""
    sort = effective_sort(request)
    keys = [product_queries.page_key(row, sort) for row in rows]
    documents = await sources.documents.render(connection, rows[: request.limit])
    return LoadedPage(_page(documents, keys, sort), product_documents.valid_seconds(rows))


async def _render_cached(
    connection: Connection, sources: ProductSources, request: ListProducts, page: CachedPage
) -> LoadedPage:
    """The JSON members of a page whose products are known, with their values of this moment."""
    rows = await product_documents.read_live_values(connection, page.ids[: request.limit])
    documents = await sources.documents.render(connection, rows)
    return LoadedPage(_page(documents, page.keys, effective_sort(request)), product_documents.valid_seconds(rows))


def _page(documents: Sequence[str], keys: Sequence[Sequence[Any]], sort: ProductSort) -> bytes:
    """The JSON members `items` and `next`: as many documents as fit. There is a key more if the list goes on."""
    items = [document.encode() for document in documents]
    del items[count_fitting(map(len, items)) :]
    cursor = b"null"
    if len(keys) > len(items):
        cursor = b'"%b"' % list_cursor.encode(sort, keys[len(items) - 1]).encode()
    return b'"items":[%b],"next":%b' % (b",".join(items), cursor)


def _search_result(page: LoadedPage, facets: str) -> LoadedPage:
    return replace(page, body=b'{%b,"facets":{%b}}' % (page.body, facets.encode()))
