"""How work flows: side by side, settled together, and nobody is held up by the slow, the broken or the spoilt."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from services.payment.workers.batch_worker import BatchWorker
from tests.support.eventually import eventually


class RecordedWork:
    """Jobs are numbers; their results are the same numbers, settled in batches."""

    def __init__(self, jobs: int, *, limit: int = 10) -> None:
        self.jobs = list(range(jobs))
        self.limit = limit
        self.gates: dict[int, asyncio.Event] = {}
        self.broken: set[int] = set()
        self.spoilt: set[int] = set()
        self.away = 0
        self.at_work = self.most_at_work = 0
        self.settled: list[list[int]] = []
        self.pipeline: BatchWorker[int, int] = BatchWorker(
            "numbers", self.claim, self.perform, self.settle, unavailable_errors=(ConnectionError,), concurrency=limit
        )

    async def claim(self, limit: int) -> list[int]:
        taken, self.jobs = self.jobs[:limit], self.jobs[limit:]
        return taken

    async def perform(self, job: int) -> int:
        self.at_work += 1
        self.most_at_work = max(self.most_at_work, self.at_work)
        try:
            await self.gates.get(job, _open()).wait()
            if job in self.broken:
                raise LookupError
            return job
        finally:
            self.at_work -= 1

    async def settle(self, results: list[int]) -> None:
        if self.away:
            self.away -= 1
            raise ConnectionError
        if self.spoilt & set(results):
            raise LookupError
        self.settled.append(results)

    @property
    def done(self) -> list[int]:
        return sorted(number for batch in self.settled for number in batch)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["RecordedWork"]:
        task = asyncio.create_task(self.pipeline.run())
        yield self
        task.cancel()
        await asyncio.wait([task])


def _open() -> asyncio.Event:
    gate = asyncio.Event()
    gate.set()
    return gate


async def test_everything_is_done_within_the_limit() -> None:
    async with RecordedWork(95).running() as work:
        await eventually(lambda: work.done == list(range(95)))
    assert work.most_at_work <= work.limit
    assert len(work.settled) < 95


async def test_the_slow_hold_up_nobody() -> None:
    work = RecordedWork(30)
    work.gates[3] = asyncio.Event()
    async with work.running():
        await eventually(lambda: len(work.done) == 29)
        work.gates[3].set()
        await eventually(lambda: 3 in work.done)


async def test_the_broken_are_left_for_another_time() -> None:
    work = RecordedWork(20)
    work.broken = {4, 5}
    async with work.running():
        await eventually(lambda: len(work.done) == 18)


async def test_a_spoilt_result_is_left_and_the_others_are_settled() -> None:
    work = RecordedWork(20)
    work.spoilt = {7}
    async with work.running():
        await eventually(lambda: len(work.done) == 19)
    assert 7 not in work.done


async def test_results_wait_for_a_store_that_is_away() -> None:
    work = RecordedWork(20)
    work.away = 2
    async with work.running():
        await eventually(lambda: work.done == list(range(20)))


@pytest.mark.parametrize("away", [0, 1])
async def test_what_is_at_work_at_the_end_is_finished(away: int) -> None:
    work = RecordedWork(5)
    work.gates = {job: asyncio.Event() for job in range(5)}
    async with work.running():
        await eventually(lambda: work.at_work == 5)
        work.away = away
        for gate in work.gates.values():
            gate.set()
    assert work.done == ([] if away else [0, 1, 2, 3, 4])
