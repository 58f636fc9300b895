"""Work in the background: woken, repeated while there is more, and stubborn."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from infra.foundation.background import PeriodicTask
from tests.support.eventually import eventually


@asynccontextmanager
async def running(work: Callable[[], Awaitable[bool]], every: float) -> AsyncIterator[PeriodicTask]:
    worker = PeriodicTask("test", work, interval_seconds=every)
    task = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        task.cancel()


class Backlog:
    """Work for some rounds."""

    def __init__(self, rounds: int = 0, failures: int = 0) -> None:
        self.rounds = rounds
        self.failures = failures
        self.calls = 0

    async def work(self) -> bool:
        self.calls += 1
        if self.failures:
            self.failures -= 1
            raise ConnectionResetError
        self.rounds -= self.rounds > 0
        return self.rounds > 0


async def test_goes_on_while_there_is_more() -> None:
    pile = Backlog(rounds=5)
    async with running(pile.work, every=3600):
        await eventually(lambda: pile.calls == 5)


async def test_wakes_when_called() -> None:
    pile = Backlog()
    async with running(pile.work, every=3600) as worker:
        await eventually(lambda: pile.calls == 1)
        worker.wake()
        await eventually(lambda: pile.calls == 2)


async def test_looks_by_itself() -> None:
    pile = Backlog()
    async with running(pile.work, every=0.01):
        await eventually(lambda: pile.calls > 3)


async def test_tries_again_after_a_failure() -> None:
    pile = Backlog(failures=2)
    async with running(pile.work, every=3600) as worker:
        await eventually(lambda: pile.calls == 3)
        assert worker.failures == 0
