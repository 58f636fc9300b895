"""Caches facets and pages of searches with more than 1,000 matches, and serves them only while they are exact.

Counting 20,000 matches takes 100 milliseconds. The table `product_change` has the transactions that changed a product,
a category, or whether a SKU is in stock. What was counted is exact until one of them is visible that was not visible
then, or until a product is published by its time. Each batch of searches asks once, in 60 microseconds.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from contracts.catalog import ListProducts, ProductSort
from infra.database.postgres import Connection
from services.catalog.store.facet_counts import Counted

MAX_RESULTS = 1_000
MAX_PAGES = 8
"""Of one result. The oldest entry is dropped first, of results and of pages."""
MAX_IDLE_SECONDS = 3600.0
"""Much less than the retention of changes."""
RETENTION = "1 day"
_FIND_CHANGES = """
SELECT pg_current_snapshot()::text AS snapshot, now() AS at,
       (SELECT version FROM synonyms WHERE only_row) AS synonyms_version,
       coalesce(bool_or(is_stock), false) AS stock,
       coalesce(bool_or(NOT is_stock), false)
           OR EXISTS (SELECT FROM product WHERE publish_at > $2 AND publish_at <= now()) AS products
FROM product_change
WHERE transaction_id >= pg_snapshot_xmin($1::text::pg_snapshot)
    AND NOT pg_visible_in_snapshot(transaction_id, $1::text::pg_snapshot)
"""
_PRUNE = f"""
DELETE FROM product_change WHERE changed_at < now() - interval '{RETENTION}' AND transaction_id = ANY (ARRAY(
    SELECT transaction_id FROM product_change ORDER BY transaction_id LIMIT 100
))
"""  # noqa: S608 - constants
_EVERYTHING_CHANGED = "1:1:"

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
        self._snapshot = _EVERYTHING_CHANGED
        self._published_to = datetime.max.replace(tzinfo=UTC)
        """The products that were published until then, by the database's clock, are in the results."""
        self._checked_at = 0.0
        self.synonyms_version = 0
        """Of the synonyms at the last `refresh`."""

    async def refresh(self, connection: Connection) -> None:
        """Forgets what has changed, so that the rest is exact at this moment.

        A result that is being counted meanwhile stays with its caller, because it is no longer in the cache.
        """
        snapshot = self._snapshot
        if time.monotonic() - self._checked_at > MAX_IDLE_SECONDS:
            snapshot = _EVERYTHING_CHANGED
        changes = await connection.fetchrow(_FIND_CHANGES, snapshot, self._published_to)
        assert changes is not None, "an aggregate always has a row"
        if changes["products"] or changes["stock"]:
            for key in [key for key in self._results if changes["products"] or _depends_on_stock(key)]:
                if self._results[key].corrections:
                    del self._results[key]  # whether it still needs them, only a new search shows
                else:
                    self._results[key] = LargeResult()
        self._snapshot, self._checked_at = changes["snapshot"], time.monotonic()
        self._published_to, self.synonyms_version = changes["at"], changes["synonyms_version"]

    def find(self, body: ListProducts) -> LargeResult | None:
        """The result of the request's filters, if it was large."""
        return self._results.get(_key(body))

    def find_or_add(self, body: ListProducts) -> LargeResult:
        """The result of the request's filters, to add to what is counted after a `refresh`."""
        result = self._results.setdefault(_key(body), LargeResult())
        if len(self._results) > MAX_RESULTS:
            del self._results[next(iter(self._results))]
        return result


async def prune_changes(connection: Connection) -> None:
    """Deletes changes that are older than anything cached."""
    await connection.execute(_PRUNE)


def _key(body: ListProducts) -> tuple[Any, ...]:
    filters = (body.q, body.category, body.min_price, body.max_price, body.min_rating, body.tag, body.status)
    return body.in_stock, *filters, tuple(body.attribute.items()), tuple(body.option.items())


def _depends_on_stock(key: tuple[Any, ...]) -> bool:
    return key[0] is not None
