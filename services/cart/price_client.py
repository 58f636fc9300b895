"""Asks the catalog for prices, for many carts at once; never kept, so that a quote says what is so now."""

from collections.abc import Collection, Iterable

from contracts import catalog
from contracts.catalog import SkuQuote
from infra.foundation.batching import BatchLoader
from infra.messaging.rpc import RpcClient
from services.cart.domain.carts import QuotesBySku

MAX_SKUS_PER_REQUEST = 200


class PriceClient:
    """Where handlers ask what SKUs cost now."""

    def __init__(self, rpc: RpcClient) -> None:
        self._asker = rpc
        self._quotes: BatchLoader[str, SkuQuote] = BatchLoader(self._ask, max_batch_size=MAX_SKUS_PER_REQUEST)

    async def quotes_for(self, skus: Iterable[str]) -> QuotesBySku:
        return await self._quotes.load_many(set(skus))

    async def _ask(self, skus: Collection[str]) -> QuotesBySku:
        found = await self._asker.request(catalog.QUOTE, catalog.QuoteRequest(skus=sorted(skus)))
        return {quote.sku: quote for quote in found.items}
