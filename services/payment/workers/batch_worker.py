"""Work at the gateways as it flows: taken up in batches, done side by side, settled in batches.

A slow gateway holds up nobody else's payment: what has its outcome is settled with whatever else has, by then. Results
wait in memory while the database is away; should the process die, the lease of the work ends and another takes it up
under the same key.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from infra.foundation.background import Worker

JobT = TypeVar("JobT")
ResultT = TypeVar("ResultT")

BATCH = 100
POLL = 0.5
FINISH_PATIENCE = 5.0
PACE = 0.02
"""Seconds between two batches at the least. Under load a batch then holds a few and costs little more than one."""

log = logging.getLogger("souk.payment")


class Bell:
    """Wakes a worker at once, and then not again before `PACE` is over, however often it is rung meanwhile."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._quiet_until = 0.0
        self._ringing: asyncio.TimerHandle | None = None

    def ring(self) -> None:
        if self._ringing is None:
            loop = asyncio.get_running_loop()
            self._ringing = loop.call_at(max(loop.time(), self._quiet_until), self._wake, loop)

    def _wake(self, loop: asyncio.AbstractEventLoop) -> None:
        self._ringing = None
        self._quiet_until = loop.time() + PACE
        self._worker.wake()


class Pipeline(Generic[JobT, ResultT]):
    """`claim` takes up to so many jobs, `perform` does one outside any transaction, `settle` writes results down.

    `away` is what `settle` raises while the store is away: then the results wait.
    """

    def __init__(
        self,
        name: str,
        claim: Callable[[int], Awaitable[list[JobT]]],
        perform: Callable[[JobT], Awaitable[ResultT]],
        settle: Callable[[list[ResultT]], Awaitable[None]],
        *,
        away: tuple[type[Exception], ...],
        limit: int,
    ) -> None:
        self.name = name
        self._claim = claim
        self._perform = perform
        self._settle = settle
        self._away = away
        self._limit = limit
        self._taker = Worker(name, self._take, every=POLL)
        self._settler = Worker(f"{name} settlement", self._settle_results, every=10 * POLL)
        self._take_more = Bell(self._taker)
        self._settle_more = Bell(self._settler)
        self._at_work: set[asyncio.Task[None]] = set()
        self._results: list[ResultT] = []

    def wake(self) -> None:
        self._take_more.ring()

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._taker.run())
                group.create_task(self._settler.run())
        finally:
            await self._finish()

    async def _take(self) -> bool:
        room = min(self._limit - len(self._at_work) - len(self._results), BATCH)
        if room <= 0:
            return False
        jobs = await self._claim(room)
        for job in jobs:
            task = asyncio.create_task(self._do(job))
            self._at_work.add(task)
            task.add_done_callback(self._done)
        return len(jobs) == room

    async def _do(self, job: JobT) -> None:
        try:
            result = await self._perform(job)
        except Exception:
            log.exception("%s: a job was left to be taken up again", self.name)
        else:
            self._results.append(result)
            self._settle_more.ring()

    def _done(self, task: asyncio.Task[None]) -> None:
        full = len(self._at_work) + len(self._results) >= self._limit
        self._at_work.discard(task)
        if full:
            self._take_more.ring()

    async def _settle_results(self) -> bool:
        """What has gathered while the last batch was settled is the next one."""
        batch = self._results[:BATCH]
        if batch:
            await self._settle_batch(batch)
            del self._results[: len(batch)]
            if len(self._at_work) + len(self._results) + len(batch) >= self._limit:
                self._take_more.ring()
        return bool(self._results)

    async def _settle_batch(self, batch: list[ResultT]) -> None:
        """All at once; if one spoils it, each by itself, so that it holds up nobody else."""
        try:
            await self._settle(batch)
        except self._away:
            raise
        except Exception:
            log.exception("%s: %d results cannot be settled together", self.name, len(batch))
            if len(batch) > 1:
                for result in batch:
                    await self._settle_batch([result])

    async def _finish(self) -> None:
        """Nothing new is taken up; what is at work may end, so that nobody has to wait for its lease."""
        if self._at_work:
            await asyncio.wait(self._at_work, timeout=FINISH_PATIENCE)
        for task in self._at_work:
            task.cancel()
        while self._results:
            await self._settle_results()
