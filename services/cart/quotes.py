"""Asks the catalog for prices. What is wanted while asks are under way goes together into the next one.

A quote is asked for after it was wanted, never kept, so it says what is so now; a busy cart service still asks seldom.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import replace

from contracts import catalog
from infra import trace
from infra.rpc import Asker
from services.cart.domain import Quotes

MOST_SKUS = 200
AT_ONCE = 4


class _Batch:
    """SKUs that will be asked for together."""

    def __init__(self) -> None:
        self.skus: set[str] = set()
        self.quotes: asyncio.Task[Quotes] | None = None


class PriceDesk:
    """Where handlers ask what SKUs cost now."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._gathering: _Batch | None = None

    async def of(self, skus: Iterable[str]) -> Quotes:
        wanted = set(skus)
        if not wanted:
            return {}
        batch = self._gathering
        if batch is None or batch.quotes is None or len(batch.skus | wanted) > MOST_SKUS:
            batch = self._gathering = _Batch()
            batch.quotes = asyncio.create_task(self._ask(batch))
        batch.skus |= wanted
        return await asyncio.shield(batch.quotes)

    async def _ask(self, batch: _Batch) -> Quotes:
        async with self._turn:
            if self._gathering is batch:
                self._gathering = None
            with trace.within(replace(trace.current(), deadline=None)):  # it is the first one's; others wait longer
                found = await self._asker.ask(catalog.QUOTE, catalog.QuoteOf(skus=sorted(batch.skus)))
        return {quote.sku: quote for quote in found.items}
