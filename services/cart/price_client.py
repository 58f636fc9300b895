"""Asks the catalog for current prices, for many carts in one request.

Quotes are never cached: each one states the price and the stock at the time of the request.
"""

from collections.abc import Collection, Iterable

from contracts import catalog
from contracts.catalog import QuoteRequest, SkuQuote
from infra.foundation.batching import BatchLoader
from infra.messaging.rpc import RpcClient
from services.cart.domain.carts import QuotesBySku

MAX_SKUS_PER_REQUEST = 100
"""The quotes of so many SKUs fit into one reply, however long their options are."""


class PriceClient:
    """Client of the catalog's `quote` operation."""

    def __init__(self, rpc: RpcClient) -> None:
        self._rpc = rpc
        self._loader: BatchLoader[str, SkuQuote] = BatchLoader(self._fetch, max_batch_size=MAX_SKUS_PER_REQUEST)

    async def quotes_for(self, skus: Iterable[str]) -> QuotesBySku:
        """Quotes of the SKUs that are on sale, by SKU; it may hold quotes of other SKUs too."""
        return await self._loader.load_many(set(skus))

    async def _fetch(self, skus: Collection[str]) -> QuotesBySku:
        reply = await self._rpc.request(catalog.QUOTE, QuoteRequest(skus=sorted(skus)))
        return {quote.sku: quote for quote in reply.items}
