"""Work at the gateways as it flows: taken up in batches, done side by side, settled in batches.

A slow gateway holds up nobody else's payment: what has its outcome is settled with whatever else has, by then. Results
wait in memory while the database is away; should the process die, the lease of the work ends and another takes it up
under the same key.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from infra.foundation.background import PeriodicTask

JobT = TypeVar("JobT")
ResultT = TypeVar("ResultT")

BATCH_SIZE = 100
POLL_SECONDS = 0.5
SHUTDOWN_TIMEOUT_SECONDS = 5.0
MIN_INTERVAL_SECONDS = 0.02
"""Seconds between two batches at the least. Under load a batch then holds a few and costs little more than one."""

log = logging.getLogger("souk.payment")


class Debouncer:
    """Wakes a worker at once, and then not again before `PACE` is over, however often it is rung meanwhile."""

    def __init__(self, worker: PeriodicTask) -> None:
        self._worker = worker
        self._quiet_until = 0.0
        self._ringing: asyncio.TimerHandle | None = None

    def trigger(self) -> None:
        if self._ringing is None:
            loop = asyncio.get_running_loop()
            self._ringing = loop.call_at(max(loop.time(), self._quiet_until), self._wake, loop)

    def _wake(self, loop: asyncio.AbstractEventLoop) -> None:
        self._ringing = None
        self._quiet_until = loop.time() + MIN_INTERVAL_SECONDS
        self._worker.wake()


class BatchWorker(Generic[JobT, ResultT]):
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
        unavailable_errors: tuple[type[Exception], ...],
        concurrency: int,
    ) -> None:
        self.name = name
        self._claim = claim
        self._perform = perform
        self._settle = settle
        self._away = unavailable_errors
        self._limit = concurrency
        self._taker = PeriodicTask(name, self._claim_jobs, interval_seconds=POLL_SECONDS)
        self._settler = PeriodicTask(f"{name} settlement", self._settle_results, interval_seconds=10 * POLL_SECONDS)
        self._take_more = Debouncer(self._taker)
        self._settle_more = Debouncer(self._settler)
        self._at_work: set[asyncio.Task[None]] = set()
        self._results: list[ResultT] = []

    def wake(self) -> None:
        self._take_more.trigger()

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._taker.run())
                group.create_task(self._settler.run())
        finally:
            await self._finish()

    async def _claim_jobs(self) -> bool:
        room = min(self._limit - len(self._at_work) - len(self._results), BATCH_SIZE)
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
            self._settle_more.trigger()

    def _done(self, task: asyncio.Task[None]) -> None:
        full = len(self._at_work) + len(self._results) >= self._limit
        self._at_work.discard(task)
        if full:
            self._take_more.trigger()

    async def _settle_results(self) -> bool:
        """What has gathered while the last batch was settled is the next one."""
        batch = self._results[:BATCH_SIZE]
        if batch:
            await self._settle_batch(batch)
            del self._results[: len(batch)]
            if len(self._at_work) + len(self._results) + len(batch) >= self._limit:
                self._take_more.trigger()
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
            await asyncio.wait(self._at_work, timeout=SHUTDOWN_TIMEOUT_SECONDS)
        for task in self._at_work:
            task.cancel()
        while self._results:
            await self._settle_results()
