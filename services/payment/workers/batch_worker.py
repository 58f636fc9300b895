"""Runs gateway work: claims jobs in batches, performs them concurrently, settles the results in batches.

A slow gateway delays no other payment: each result is settled together with all others finished by then. Results
wait in memory while the database is unavailable. If the process dies, the leases of its jobs expire, and another
process claims them and calls the gateway under the same keys.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from infra.foundation.background import AdaptivePause, PeriodicTask
from infra.foundation.telemetry import get_logger

JobT = TypeVar("JobT")
ResultT = TypeVar("ResultT")

BATCH_SIZE = 100
POLL_SECONDS = 1.0
"""Interval of the search for jobs that are due again, or that another process has left."""
SETTLE_POLL_SECONDS = 5.0
SHUTDOWN_TIMEOUT_SECONDS = 5.0
MAX_PAUSE_SECONDS = 0.02
"""The longest pause between two batches. Under load a batch then holds several jobs and costs little more than one."""

log = get_logger("souk.payment")


class BatchWorker(Generic[JobT, ResultT]):
    """Repeats `claim`, `perform` and `settle`, with at most `concurrency` jobs at once.

    `claim` returns at most as many jobs as it is asked for. `perform` does one job, outside any transaction. `settle`
    stores results; when it raises one of `unavailable_errors`, the results wait.
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
        self._unavailable_errors = unavailable_errors
        self._concurrency = concurrency
        self._claim_task = PeriodicTask(name, self._claim_jobs, interval_seconds=POLL_SECONDS)
        self._settle_task = PeriodicTask(
            f"{name} settlement", self._settle_results, interval_seconds=SETTLE_POLL_SECONDS
        )
        self._claim_pause, self._settle_pause = AdaptivePause(MAX_PAUSE_SECONDS), AdaptivePause(MAX_PAUSE_SECONDS)
        self._running: set[asyncio.Task[None]] = set()
        self._results: list[ResultT] = []

    def wake(self) -> None:
        """Claims jobs soon: there is new work."""
        self._claim_task.wake()

    def wake_after(self, seconds: float) -> None:
        """Claims jobs when one is due again that was postponed here."""
        self._claim_task.wake_after(seconds)

    async def run(self) -> None:
        """Works until it is cancelled, then finishes what it has begun."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._claim_task.run())
                group.create_task(self._settle_task.run())
        finally:
            await self._finish()

    async def _claim_jobs(self) -> bool:
        async with self._claim_pause:
            return await self._claim_batch()

    async def _claim_batch(self) -> bool:
        limit = min(self._concurrency - len(self._running) - len(self._results), BATCH_SIZE)
        if limit <= 0:
            return False
        jobs = await self._claim(limit)
        for job in jobs:
            task = asyncio.create_task(self._run_job(job))
            self._running.add(task)
            task.add_done_callback(self._on_done)
        return len(jobs) == limit

    async def _run_job(self, job: JobT) -> None:
        try:
            result = await self._perform(job)
        except Exception:
            log.exception("%s: job failed and will be claimed again after its lease", self.name)
        else:
            self._results.append(result)
            self._settle_task.wake()

    def _on_done(self, task: asyncio.Task[None]) -> None:
        was_full = len(self._running) + len(self._results) >= self._concurrency
        self._running.discard(task)
        if was_full:
            self._claim_task.wake()

    async def _settle_results(self) -> bool:
        """Settles one batch. What finishes meanwhile is the next batch."""
        async with self._settle_pause:
            batch = self._results[:BATCH_SIZE]
            await self._settle_batch(batch)
        if batch:
            del self._results[: len(batch)]
            if len(self._running) + len(self._results) + len(batch) >= self._concurrency:
                self._claim_task.wake()
        return bool(self._results)

    async def _settle_batch(self, batch: list[ResultT]) -> None:
        """Settles all results together; if that fails, each by itself, so that one bad result blocks no other."""
        if not batch:
            return
        try:
            await self._settle(batch)
        except self._unavailable_errors:
            raise
        except Exception:
            log.exception("%s: batch of %d results not settled", self.name, len(batch))
            if len(batch) > 1:
                for result in batch:
                    await self._settle_batch([result])

    async def _finish(self) -> None:
        """Lets running jobs end and settles their results, so that no other process has to wait for their leases."""
        if self._running:
            await asyncio.wait(self._running, timeout=SHUTDOWN_TIMEOUT_SECONDS)
        for task in self._running:
            task.cancel()
        while self._results:
            await self._settle_results()
