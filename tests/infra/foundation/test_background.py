"""Periodic tasks: woken, repeated while there is more work, and retried after failures."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from infra.foundation.background import PeriodicTask
from tests.support.eventually import eventually


@asynccontextmanager
async def running(action: Callable[[], Awaitable[bool]], interval_seconds: float) -> AsyncIterator[PeriodicTask]:
    periodic = PeriodicTask("test", action, interval_seconds=interval_seconds)
    task = asyncio.create_task(periodic.run())
    try:
        yield periodic
    finally:
        task.cancel()


class Backlog:
    """Work for some runs, after some failures."""

    def __init__(self, runs: int = 0, failures: int = 0) -> None:
        self.runs = runs
        self.failures = failures
        self.calls = 0

    async def run(self) -> bool:
        self.calls += 1
        if self.failures:
            self.failures -= 1
            raise ConnectionResetError
        self.runs -= self.runs > 0
        return self.runs > 0


async def test_runs_again_while_there_is_more() -> None:
    backlog = Backlog(runs=5)
    async with running(backlog.run, interval_seconds=3600):
        await eventually(lambda: backlog.calls == 5)


async def test_wake_starts_a_run() -> None:
    backlog = Backlog()
    async with running(backlog.run, interval_seconds=3600) as periodic:
        await eventually(lambda: backlog.calls == 1)
        periodic.wake()
        await eventually(lambda: backlog.calls == 2)


async def test_runs_periodically() -> None:
    backlog = Backlog()
    async with running(backlog.run, interval_seconds=0.01):
        await eventually(lambda: backlog.calls > 3)


async def test_failed_run_is_retried() -> None:
    backlog = Backlog(failures=2)
    async with running(backlog.run, interval_seconds=3600) as periodic:
        await eventually(lambda: backlog.calls == 3)
        assert periodic.failures == 0
