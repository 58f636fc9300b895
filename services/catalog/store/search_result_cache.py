"""Caches facets, pages and all matches of searches with more than 1,000 matches, and serves them only while exact.

Reading 20,000 matches takes 100 milliseconds. Before a batch of searches, `ProductChangeWatch` tells what has changed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from contracts.catalog import ListProducts, ProductSort
from infra.database.postgres import Connection
from services.catalog.domain.matched_products import MatchedProducts
from services.catalog.store.facet_counts import Counted
from services.catalog.store.product_change_watch import ProductChangeWatch

MAX_RESULTS = 1_000
MAX_PAGES = 8
"""Of one result. The oldest entry is dropped first, of results and of pages."""
MAX_MATCHED_PRODUCTS = 500_000
"""In all `MatchedProducts` together, each some 100 bytes. Those of the oldest request are dropped first."""

PageKey = tuple[ProductSort, str | None, int]


@dataclass(frozen=True, slots=True)
class CachedPage:
    """The products of a page with their sort keys; one more than fit if the page goes on."""

    ids: Sequence[UUID]
    keys: Sequence[Sequence[Any]]


@dataclass(slots=True)
class LargeResult:
    """What is known of a result: counts of facets by their keys, and pages. Perhaps only that it was large."""

    counts: dict[str, Counted] = field(default_factory=dict)
    """Some of them are shared by requests with other filters."""
    facets: str = ""
    """All facets of the request, as the members of a JSON object; empty until they are counted."""
    corrections: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The words that its mistyped words stand for."""
    pages: dict[PageKey, CachedPage] = field(default_factory=dict)
    matches: MatchedProducts | None = None
    """All products of a request that has no filter by a facet."""
    has_matches: bool = True
    """Whether it is not known that they cannot be read."""
    was_counted: bool = False
    """Whether the database has counted facets of a request that differs only by filters."""

    def add_page(self, body: ListProducts, sort: ProductSort, page: CachedPage) -> None:
        """Caches a page."""
        self.pages[sort, body.after, body.limit] = page
        if len(self.pages) > MAX_PAGES:
            del self.pages[next(iter(self.pages))]

    def find_page(self, body: ListProducts, sort: ProductSort) -> CachedPage | None:
        """The cached page of the request."""
        return self.pages.get((sort, body.after, body.limit))


class LargeResultCache:
    """Results by the filters of their requests."""

    def __init__(self) -> None:
        self._results: dict[tuple[Any, ...], LargeResult] = {}
        self._watch = ProductChangeWatch()
        self.synonyms_version = 0
        """Of the synonyms at the last `refresh`."""

    async def refresh(self, connection: Connection) -> None:
        """Forgets what has changed, so that the rest is exact at this moment.

        A result that is being counted meanwhile stays with its caller, because it is no longer in the cache.
        """
        changes = await self._watch.find_changes(connection)
        self.synonyms_version = changes.synonyms_version
        if changes.products or changes.stock:
            for key in [key for key in self._results if changes.products or _depends_on_stock(key)]:
                if self._results[key].corrections:
                    del self._results[key]  # whether it still needs them, only a new search shows
                else:
                    self._results[key] = LargeResult()

    def find(self, body: ListProducts) -> LargeResult | None:
        """The result of the request's filters, if it was large."""
        return self._results.get(_key(body))

    def find_matches(self, body: ListProducts) -> MatchedProducts | None:
        """The matches of the request without its filters by facets, if they have been read."""
        key = _unfiltered_key(body)
        found = self._results.get(key)
        if found is None or found.matches is None:
            return None
        self._results[key] = self._results.pop(key)
        return found.matches

    def add_matches(self, large: LargeResult, matches: MatchedProducts | None) -> None:
        """Caches the matches of a request without filters by facets, or that they cannot be read."""
        large.matches, large.has_matches = matches, matches is not None
        products = sum(one.matches.size for one in self._results.values() if one.matches)
        for one in self._results.values():
            if products <= MAX_MATCHED_PRODUCTS:
                break
            if one.matches and one is not large:
                products -= one.matches.size
                one.matches = None

    def find_or_add(self, body: ListProducts) -> LargeResult:
        """The result of the request's filters, to add to what is counted after a `refresh`."""
        result = self._results.setdefault(_key(body), LargeResult())
        if len(self._results) > MAX_RESULTS:
            del self._results[next(iter(self._results))]
        return result


def _key(body: ListProducts) -> tuple[Any, ...]:
    filters = (body.q, body.category, body.min_price, body.max_price, body.min_rating, body.tag, body.status)
    return body.in_stock, *filters, tuple(body.attribute.items()), tuple(body.option.items())


def _unfiltered_key(body: ListProducts) -> tuple[Any, ...]:
    """The key of `unfiltered_request`."""
    return body.in_stock, body.q, (), None, None, None, (), body.status, (), ()


def unfiltered_request(body: ListProducts) -> ListProducts:
    """The request without its filters by facets: with its text, its status, and whether products are in stock."""
    return ListProducts(q=body.q, in_stock=body.in_stock, status=body.status)


def _depends_on_stock(key: tuple[Any, ...]) -> bool:
    return key[0] is not None
