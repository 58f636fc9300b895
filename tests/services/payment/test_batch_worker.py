"""Batch processing: concurrent jobs, results settled together, and no job blocked by a slow or failing one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from services.payment.workers import batch_worker
from services.payment.workers.batch_worker import BatchWorker
from tests.support.eventually import eventually


class RecordedWork:
    """Jobs are numbers, and their results are the same numbers. Records what is running and settled."""

    def __init__(self, jobs: int, *, concurrency: int = 10) -> None:
        self.jobs = list(range(jobs))
        self.concurrency = concurrency
        self.gates: dict[int, asyncio.Event] = {}
        self.failing: set[int] = set()
        self.unsettleable: set[int] = set()
        self.store_failures = 0
        self.running_jobs = self.max_running_jobs = 0
        self.settled: list[list[int]] = []
        self.batch_worker: BatchWorker[int, int] = BatchWorker(
            "numbers",
            self.claim,
            self.perform,
            self.settle,
            unavailable_errors=(ConnectionError,),
            concurrency=concurrency,
        )

    async def claim(self, limit: int) -> list[int]:
        claimed, self.jobs = self.jobs[:limit], self.jobs[limit:]
        return claimed

    async def perform(self, job: int) -> int:
        self.running_jobs += 1
        self.max_running_jobs = max(self.max_running_jobs, self.running_jobs)
        try:
            await self.gates.get(job, _open()).wait()
            if job in self.failing:
                raise LookupError
            return job
        finally:
            self.running_jobs -= 1

    async def settle(self, results: list[int]) -> None:
        if self.store_failures:
            self.store_failures -= 1
            raise ConnectionError
        if self.unsettleable & set(results):
            raise LookupError
        self.settled.append(results)

    @property
    def done(self) -> list[int]:
        return sorted(number for batch in self.settled for number in batch)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["RecordedWork"]:
        task = asyncio.create_task(self.batch_worker.run())
        yield self
        task.cancel()
        await asyncio.wait([task])


def _open() -> asyncio.Event:
    gate = asyncio.Event()
    gate.set()
    return gate


async def test_all_jobs_are_done_within_the_concurrency_limit() -> None:
    async with RecordedWork(95).running() as work:
        await eventually(lambda: work.done == list(range(95)))
    assert work.max_running_jobs <= work.concurrency
    assert len(work.settled) < 95


async def test_a_slow_job_delays_no_other() -> None:
    work = RecordedWork(30)
    work.gates[3] = asyncio.Event()
    async with work.running():
        await eventually(lambda: len(work.done) == 29)
        work.gates[3].set()
        await eventually(lambda: 3 in work.done)


async def test_failed_jobs_are_left_for_another_claim() -> None:
    work = RecordedWork(20)
    work.failing = {4, 5}
    async with work.running():
        await eventually(lambda: len(work.done) == 18)


async def test_postponed_jobs_are_claimed_when_they_are_due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_worker, "POLL_SECONDS", 3600)
    async with RecordedWork(1).running() as work:
        await eventually(lambda: work.done == [0])
        work.jobs = [1]
        work.batch_worker.wake_after(0.05)
        await eventually(lambda: work.done == [0, 1])


async def test_a_result_that_cannot_be_settled_blocks_no_other() -> None:
    work = RecordedWork(20)
    work.unsettleable = {7}
    async with work.running():
        await eventually(lambda: len(work.done) == 19)
    assert 7 not in work.done


async def test_results_wait_while_the_store_is_unavailable() -> None:
    work = RecordedWork(20)
    work.store_failures = 2
    async with work.running():
        await eventually(lambda: work.done == list(range(20)))


@pytest.mark.parametrize("away", [0, 1])
async def test_running_jobs_are_finished_at_shutdown(away: int) -> None:
    work = RecordedWork(5)
    work.gates = {job: asyncio.Event() for job in range(5)}
    async with work.running():
        await eventually(lambda: work.running_jobs == 5)
        work.store_failures = away
        for gate in work.gates.values():
            gate.set()
    assert work.done == ([] if away else [0, 1, 2, 3, 4])
