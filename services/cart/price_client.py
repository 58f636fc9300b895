"""Asks the catalog for current prices, for many carts in one request.

A cart that is read, and a change that is refused, always get the quotes of their own time. A change that is accepted
may use quotes that are up to a second old: they decide what its reply shows, and never what an order costs.
"""

import time
from collections import OrderedDict
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from contracts import catalog
from contracts.catalog import QuoteRequest, SkuQuote
from infra.foundation.batching import BatchLoader
from infra.messaging.rpc_client import RpcClient
from services.cart.domain.carts import QuotesBySku

MAX_SKUS_PER_REQUEST = 100
"""The quotes of so many SKUs fit into one reply, however long their options are."""
CACHE_SECONDS = 1.0
REFRESH_AFTER_SECONDS = 0.75
"""Before a quote ends it is asked for again, so that few end while a change waits for its group."""
MAX_CACHED_QUOTES = 2_000
"""SKUs; the oldest quote is dropped first."""


@dataclass(frozen=True, slots=True)
class _CachedQuote:
    quote: SkuQuote | None
    """None for a SKU that is not on sale."""
    asked_at: float
    """When it was asked for, by `time.monotonic()`: the catalog has read it later."""

    def is_valid(self, oldest: float) -> bool:
        """Whether it was asked for at that time or later, and its prices have not changed by time since."""
        lasts = self.quote.valid_seconds if self.quote is not None else None
        return self.asked_at >= oldest and (lasts is None or time.monotonic() < self.asked_at + lasts)


class PriceClient:
    """Client of the catalog's `quote` operation."""

    def __init__(self, rpc: RpcClient) -> None:
        self._rpc = rpc
        self._loader: BatchLoader[str, SkuQuote] = BatchLoader(self._fetch, max_batch_size=MAX_SKUS_PER_REQUEST)
        self._cache: OrderedDict[str, _CachedQuote] = OrderedDict()

    async def quotes_for(self, skus: Iterable[str]) -> QuotesBySku:
        """Quotes of the SKUs that are on sale, by SKU, as of now; it may hold quotes of other SKUs too."""
        return await self._loader.load_many(set(skus))

    async def cache_quotes(self, skus: Iterable[str]) -> None:
        """Fetches the quotes that are missing, or about to end."""
        oldest = time.monotonic() - REFRESH_AFTER_SECONDS
        await self._loader.load_many({sku for sku in skus if not self._is_cached(sku, oldest)})

    def cached_quotes(self, skus: Iterable[str]) -> QuotesBySku | None:
        """Quotes of the SKUs that are on sale, at most `CACHE_SECONDS` old; None when one of the SKUs has none."""
        oldest = time.monotonic() - CACHE_SECONDS
        found: dict[str, SkuQuote] = {}
        for sku in skus:
            if not self._is_cached(sku, oldest):
                return None
            if (quote := self._cache[sku].quote) is not None:
                found[sku] = quote
        return found

    def _is_cached(self, sku: str, oldest: float) -> bool:
        entry = self._cache.get(sku)
        return entry is not None and entry.is_valid(oldest)

    async def _fetch(self, skus: Collection[str]) -> QuotesBySku:
        asked_at = time.monotonic()
        reply = await self._rpc.request(catalog.QUOTE, QuoteRequest(skus=sorted(skus)))
        quotes = {quote.sku: quote for quote in reply.items}
        for sku in skus:
            self._store(sku, _CachedQuote(quotes.get(sku), asked_at))
        return quotes

    def _store(self, sku: str, entry: _CachedQuote) -> None:
        if self._is_cached(sku, entry.asked_at):
            return  # a later request has got its reply first
        self._cache[sku] = entry
        self._cache.move_to_end(sku)
        if len(self._cache) > MAX_CACHED_QUOTES:
            self._cache.popitem(last=False)
