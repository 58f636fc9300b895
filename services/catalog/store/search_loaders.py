"""Reads searches with their facets for many concurrent requests: small results at once, large ones a few at a time."""

from collections.abc import Collection
from dataclasses import replace

from contracts.catalog import ListProducts, ProductSort
from infra.database.postgres import Connection
from services.catalog.domain.matched_products import MatchedProducts, Selection
from services.catalog.domain.search import effective_sort
from services.catalog.store import matched_products, product_search
from services.catalog.store.facet_counts import Counted, join_counts, plan_counts
from services.catalog.store.product_loaders import (
    LoadedPage,
    ProductSources,
    load_page,
    refresh_large_results,
    refresh_to_add,
    render,
    render_cached,
    search,
)
from services.catalog.store.product_queries import EVERYTHING_RANKED, MAX_RANKED_PRODUCTS
from services.catalog.store.search_result_cache import CachedPage, LargeResult, unfiltered_request


async def load_searches(sources: ProductSources, requests: Collection[ListProducts]) -> dict[ListProducts, LoadedPage]:
    """The JSON of pages with facets, without the searches that `load_large_searches` has to count."""
    found: dict[ListProducts, LoadedPage] = {}
    new = []
    async with sources.db.connection() as connection:
        await refresh_large_results(connection, sources, requests)
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
    """Adds the result if it is not large, or if all of it is cached, or can be made from the matches of its text."""
    if large is not None and large.facets and (cached := large.find_page(request, effective_sort(request))):
        page = await render_cached(connection, sources, request, cached)
        found[request] = _search_result(page, large.facets)
        return
    is_corrected = large is not None and bool(large.corrections)
    matches = None if is_corrected else sources.large_results.find_matches(request)
    selection = None if matches is None else matches.select(request)
    if large is None and (selection is None or selection.candidates <= MAX_RANKED_PRODUCTS):
        result = await search(connection, sources, request)
        if result is not None:
            page = await render(connection, sources, request, result.rows)
            found[request] = _search_result(page, await sources.facet_values.render(connection, result.facets))
    elif selection is not None and _is_first_by_rank(request):
        large = sources.large_results.find_or_add(request)
        found[request] = await _search_matches(connection, sources, request, large, selection)


async def _search_matches(
    connection: Connection, sources: ProductSources, request: ListProducts, large: LargeResult, selection: Selection
) -> LoadedPage:
    """The first page of the selected matches by their rank, with the facets. Both are added to the large result."""
    sort, matches = effective_sort(request), selection.matches
    if not large.facets:
        large.facets = await sources.facet_values.render(connection, selection.count())
    page = large.find_page(request, sort)
    if page is None:
        newest = selection.newest(MAX_RANKED_PRODUCTS)
        ranked = list(dict.fromkeys([*newest, *selection.exact()]))
        await matched_products.rank(connection, request, matches, ranked, sources.vocabulary.current)
        oldest = matches.id_of(newest[-1]) if len(newest) == MAX_RANKED_PRODUCTS else EVERYTHING_RANKED
        best = matches.best(ranked, request.limit + 1)
        ids = [matches.id_of(place) for place in best]
        keys = [(matches.ranks[place], id_, oldest) for place, id_ in zip(best, ids, strict=True)]
        page = CachedPage(ids, keys)
        large.add_page(request, sort, page)
    return _search_result(await render_cached(connection, sources, request, page), large.facets)


def _is_first_by_rank(request: ListProducts) -> bool:
    """Whether the request is for the first page of a search in the order of relevance."""
    return effective_sort(request) is ProductSort.RELEVANCE and request.after is None


async def load_large_searches(
    sources: ProductSources, requests: Collection[ListProducts]
) -> dict[ListProducts, LoadedPage]:
    """The JSON of pages with facets, of searches with more than 1,000 matches."""
    found: dict[ListProducts, LoadedPage] = {}
    async with sources.db.list_connection() as connection:
        large = await refresh_to_add(connection, sources, requests)
        for request in requests:
            known = large[request]
            matches = await _read_matches(connection, sources, request, known)
            if matches is not None and _is_first_by_rank(request):
                found[request] = await _search_matches(connection, sources, request, known, matches.select(request))
                continue
            facets = await _count_facets(connection, sources, request, known, matches)
            found[request] = _search_result(await load_page(connection, sources, request, known), facets)
    return found


async def _read_matches(
    connection: Connection, sources: ProductSources, request: ListProducts, large: LargeResult
) -> MatchedProducts | None:
    """All products of the request without its filters by facets, which are read once for all filters.

    None if its words were corrected, or if there are too many. Those without a text, which may be the whole catalog,
    are read when a second request needs them.
    """
    if large.corrections:
        return None
    body = unfiltered_request(request)
    all_matches = sources.large_results.find_or_add(body)
    if all_matches.matches is None and all_matches.has_matches and not all_matches.corrections:
        if request.q or all_matches.was_counted:
            matches = await matched_products.read_matches(connection, body, sources.vocabulary.current)
            sources.large_results.add_matches(all_matches, matches)
        all_matches.was_counted = True
    return all_matches.matches


async def _count_facets(
    connection: Connection,
    sources: ProductSources,
    request: ListProducts,
    large: LargeResult,
    matches: MatchedProducts | None,
) -> str:
    """The facets of a large result. Each is counted without its own filter, so other requests share the count."""
    if large.facets:
        return large.facets
    if matches is not None:
        large.facets = await sources.facet_values.render(connection, matches.select(request).count())
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


def _search_result(page: LoadedPage, facets: str) -> LoadedPage:
    return replace(page, body=b'{%b,"facets":{%b}}' % (page.body, facets.encode()))
