"""Asks the catalog for prices, for many carts at once; never kept, so that a quote says what is so now."""

from collections.abc import Collection, Iterable

from contracts import catalog
from contracts.catalog import Quote
from infra.foundation.batching import Together
from infra.messaging.rpc import Asker
from services.cart.domain.carts import Quotes

MOST_SKUS = 200


class PriceDesk:
    """Where handlers ask what SKUs cost now."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker
        self._quotes: Together[str, Quote] = Together(self._ask, most=MOST_SKUS)

    async def of(self, skus: Iterable[str]) -> Quotes:
        return await self._quotes.many(set(skus))

    async def _ask(self, skus: Collection[str]) -> Quotes:
        found = await self._asker.ask(catalog.QUOTE, catalog.QuoteOf(skus=sorted(skus)))
        return {quote.sku: quote for quote in found.items}
