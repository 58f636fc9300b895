"""Periodic tasks: woken, repeated while there is more work, retried after failures, and ended; and their pauses."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from infra.foundation.background import AdaptivePause, PeriodicTask, end_tasks
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


async def test_postponed_work_starts_a_run_when_it_is_due() -> None:
    backlog = Backlog()
    async with running(backlog.run, interval_seconds=3600) as periodic:
        await eventually(lambda: backlog.calls == 1)
        periodic.wake_after(0.05)
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


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def run_round(pause: AdaptivePause, clock: Clock, seconds: float) -> None:
    async with pause:
        clock.now += seconds


async def test_a_pause_is_as_long_as_the_round_before_it() -> None:
    clock = Clock()
    pause = AdaptivePause(10, clock)
    assert pause.seconds_left == 0
    await run_round(pause, clock, 0.25)
    assert pause.seconds_left == pytest.approx(0.25)
    clock.now += 0.2
    assert pause.seconds_left == pytest.approx(0.05)
    clock.now += 0.2
    assert pause.seconds_left == 0


async def test_a_pause_has_a_limit() -> None:
    clock = Clock()
    pause = AdaptivePause(0.04, clock)
    await run_round(pause, clock, 3)
    assert pause.seconds_left == pytest.approx(0.04)


async def test_a_round_that_fails_is_followed_by_a_pause_too() -> None:
    clock = Clock()
    pause = AdaptivePause(10, clock)

    async def fail() -> None:
        async with pause:
            clock.now += 0.5
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert pause.seconds_left == pytest.approx(0.5)


async def test_a_task_that_loses_a_cancellation_is_ended() -> None:
    async def work() -> None:
        with suppress(asyncio.CancelledError):  # as `asyncio.wait_for` does when what it waits for arrives then
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    tasks = [asyncio.create_task(work()) for _ in range(2)]
    await asyncio.sleep(0)
    await end_tasks(tasks, cancel_again_seconds=0.01)
    assert all(task.cancelled() for task in tasks)


async def test_a_task_may_finish_what_it_has_begun_before_it_is_cancelled_again() -> None:
    may_finish, finished = asyncio.Event(), []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await may_finish.wait()
            finished.append(True)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(0.01, may_finish.set)
    await end_tasks([task], cancel_again_seconds=10)
    assert finished


async def test_ending_no_task_returns_at_once() -> None:
    await end_tasks([], cancel_again_seconds=10)
