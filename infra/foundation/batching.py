"""Batching of concurrent lookups: requests for single keys share one fetch.

Keys that arrive while fetches are running are fetched together in the next one. Nothing is cached: every fetch starts
after its keys were requested, so it returns the current state. An idle service fetches at once; a busy one fetches
seldom and in larger batches.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from infra.foundation import trace

KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")


@dataclass(slots=True)
class _Batch(Generic[KeyT, ValueT]):
    """Keys that are fetched together."""

    keys: set[KeyT] = field(default_factory=set)
    waiters: list["asyncio.Future[Mapping[KeyT, ValueT]]"] = field(default_factory=list)
    """One for each caller, so that a caller that gives up ends neither the fetch nor the wait of others."""


class BatchLoader(Generic[KeyT, ValueT]):
    """Loads values by key through `fetch`, which takes a collection of keys and returns the values it found.

    A batch has at most `max_batch_size` keys, unless one `load_many` asks for more. At most `max_concurrent` fetches
    run at the same time.
    """

    def __init__(
        self,
        fetch: Callable[[Collection[KeyT]], Awaitable[Mapping[KeyT, ValueT]]],
        *,
        max_batch_size: int,
        max_concurrent: int = 4,
    ) -> None:
        self._fetch = fetch
        self._max_batch_size = max_batch_size
        self._slots = asyncio.Semaphore(max_concurrent)
        self._pending: _Batch[KeyT, ValueT] | None = None
        self._fetching: set[asyncio.Task[None]] = set()

    async def load(self, key: KeyT) -> ValueT | None:
        """Returns the value of one key, or None if there is none."""
        return (await self.load_many({key})).get(key)

    async def load_many(self, keys: set[KeyT]) -> Mapping[KeyT, ValueT]:
        """Returns the values found, possibly including those of other callers' keys in the same batch."""
        if not keys:
            return {}
        batch = self._pending
        if batch is None or len(batch.keys | keys) > self._max_batch_size:
            batch = self._pending = _Batch()
            task = asyncio.create_task(self._fetch_batch(batch))
            self._fetching.add(task)
            task.add_done_callback(self._fetching.discard)
        batch.keys |= keys
        waiter: asyncio.Future[Mapping[KeyT, ValueT]] = asyncio.get_running_loop().create_future()
        batch.waiters.append(waiter)
        return await waiter

    async def _fetch_batch(self, batch: _Batch[KeyT, ValueT]) -> None:
        try:
            async with self._slots:
                if self._pending is batch:
                    self._pending = None
                # The deadline of the first caller must not end the fetch for callers that wait longer.
                with trace.activate(replace(trace.current(), deadline=None)):
                    values = await self._fetch(batch.keys)
        except Exception as error:  # noqa: BLE001 - it belongs to the callers
            for waiter in batch.waiters:
                if not waiter.done():
                    waiter.set_exception(error)
        else:
            for waiter in batch.waiters:
                if not waiter.done():
                    waiter.set_result(values)
        finally:
            for waiter in batch.waiters:
                waiter.cancel()  # only if this task was cancelled
