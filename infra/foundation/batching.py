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


class Together(Generic[KeyT, FoundT]):
    """`fetch` answers for a collection of keys; a key it does not answer for has nothing."""

    def __init__(
        self, fetch: Callable[[Collection[KeyT]], Awaitable[Mapping[KeyT, FoundT]]], *, most: int, at_once: int = 4
    ) -> None:
        self._fetch = fetch
        self._most = most
        self._turn = asyncio.Semaphore(at_once)
        self._gathering: _Batch[KeyT, FoundT] | None = None

    async def one(self, key: KeyT) -> FoundT | None:
        return (await self.many({key})).get(key)

    async def many(self, wanted: set[KeyT]) -> Mapping[KeyT, FoundT]:
        """What is found of the keys, and perhaps of others' keys."""
        if not wanted:
            return {}
        batch = self._gathering
        if batch is None or batch.answer is None or len(batch.keys | wanted) > self._most:
            batch = self._gathering = _Batch()
            batch.answer = asyncio.create_task(self._ask(batch))
        assert batch.answer is not None
        batch.keys |= wanted
        return await asyncio.shield(batch.answer)

    async def _ask(self, batch: _Batch[KeyT, FoundT]) -> Mapping[KeyT, FoundT]:
        async with self._turn:
            if self._gathering is batch:
                self._gathering = None
            with trace.within(replace(trace.current(), deadline=None)):  # it is the first one's; others wait longer
                return await self._fetch(batch.keys)
