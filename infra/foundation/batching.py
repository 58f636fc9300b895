"""One question for many who ask at once.

What is wanted while questions are under way goes together into the next one. Nothing is kept: every answer was asked
for after it was wanted, so it says what is so now. An idle service asks at once; a busy one asks seldom.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from infra.foundation import trace

KeyT = TypeVar("KeyT")
FoundT = TypeVar("FoundT")


@dataclass(slots=True)
class _Batch(Generic[KeyT, FoundT]):
    """Keys that will be asked for together."""

    keys: set[KeyT] = field(default_factory=set)
    answer: asyncio.Task[Mapping[KeyT, FoundT]] | None = None


class BatchLoader(Generic[KeyT, FoundT]):
    """`fetch` answers for a collection of keys; a key it does not answer for has nothing."""

    def __init__(
        self,
        fetch: Callable[[Collection[KeyT]], Awaitable[Mapping[KeyT, FoundT]]],
        *,
        max_batch_size: int,
        max_concurrent: int = 4,
    ) -> None:
        self._fetch = fetch
        self._max_batch_size = max_batch_size
        self._slots = asyncio.Semaphore(max_concurrent)
        self._pending: _Batch[KeyT, FoundT] | None = None

    async def load(self, key: KeyT) -> FoundT | None:
        return (await self.load_many({key})).get(key)

    async def load_many(self, keys: set[KeyT]) -> Mapping[KeyT, FoundT]:
        """What is found of the keys, and perhaps of others' keys."""
        if not keys:
            return {}
        batch = self._pending
        if batch is None or batch.answer is None or len(batch.keys | keys) > self._max_batch_size:
            batch = self._pending = _Batch()
            batch.answer = asyncio.create_task(self._fetch_batch(batch))
        assert batch.answer is not None
        batch.keys |= keys
        return await asyncio.shield(batch.answer)

    async def _fetch_batch(self, batch: _Batch[KeyT, FoundT]) -> Mapping[KeyT, FoundT]:
        async with self._slots:
            if self._pending is batch:
                self._pending = None
            with trace.activate(replace(trace.current(), deadline=None)):  # it is the first one's; others wait longer
                return await self._fetch(batch.keys)
