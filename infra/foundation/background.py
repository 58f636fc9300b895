"""Background work of a process: tasks that run periodically and as soon as they are woken."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from typing import Any, Protocol

from infra.foundation import trace
from infra.foundation.telemetry import get_logger

MAX_BACKOFF_SECONDS = 5.0
"""The longest pause after failed runs."""

log = get_logger("souk.background")


class MinInterval:
    """Keeps a minimum interval between rounds of work.

    The first round after a quiet time starts at once. Under load, each round waits and therefore handles more.
    """

    def __init__(self, interval_seconds: float) -> None:
        self.interval_seconds = interval_seconds
        self._next = 0.0

    async def wait(self) -> None:
        """Waits until the next round may start."""
        now = time.monotonic()
        if now < self._next:
            await asyncio.sleep(self._next - now)
        self._next = max(now, self._next) + self.interval_seconds


class AdaptivePause:
    """Pauses between rounds of work, each as long as the round before it took, and at most `max_seconds`.

    So an idle process starts every round at once, and a busy one, whose rounds take longer, handles more in each: a
    round costs the same two or three statements for one row as for many. Each round is an `async with` block.
    """

    def __init__(self, max_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.max_seconds = max_seconds
        self._clock = clock
        self._next = self._started = 0.0

    @property
    def seconds_left(self) -> float:
        """How long the next round has to wait."""
        return max(self._next - self._clock(), 0.0)

    async def __aenter__(self) -> None:
        """Waits until the next round may start."""
        if (seconds := self.seconds_left) > 0:
            await asyncio.sleep(seconds)
        self._started = self._clock()

    async def __aexit__(self, *_exception: object) -> None:
        """Sets the pause after this round, even if it has failed."""
        ended = self._clock()
        self._next = ended + min(ended - self._started, self.max_seconds)


async def end_tasks(tasks: Collection[asyncio.Task[Any]], *, cancel_again_seconds: float) -> None:
    """Cancels tasks and returns once all have ended. Their errors are logged by asyncio.

    A task that has not ended after `cancel_again_seconds` is cancelled again. Libraries lose a cancellation at times:
    `asyncio.wait_for` of Python 3.11 drops one that arrives together with what it waits for.
    """
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=cancel_again_seconds)


class BackgroundTask(Protocol):
    """Work that runs as long as the process does."""

    name: str

    async def run(self) -> None:
        """Runs until it is cancelled."""


class PeriodicTask:
    """Runs `action` when it is woken, and at least every `interval_seconds`.

    `action` does one bounded batch of work in its own transaction and returns whether more may be waiting; if so, it
    runs again at once. If it raises, it runs again after a growing pause.
    """

    def __init__(self, name: str, action: Callable[[], Awaitable[bool]], *, interval_seconds: float) -> None:
        self.name = name
        self.action = action
        self.interval_seconds = interval_seconds
        self.failures = 0
        self._wake_event = asyncio.Event()

    def wake(self) -> None:
        """Starts the next run now instead of at the end of the interval."""
        self._wake_event.set()

    def wake_after(self, seconds: float) -> None:
        """Starts a run when work is due that was postponed here."""
        asyncio.get_running_loop().call_later(seconds, self.wake)

    async def run(self) -> None:
        """Runs until it is cancelled, each run in its own trace."""
        while True:
            self._wake_event.clear()
            with trace.activate(trace.start()):
                pause_seconds = await self._run_once()
            if pause_seconds > 0:
                await self._pause(pause_seconds)

    async def _run_once(self) -> float:
        """Returns the seconds to pause before the next run."""
        try:
            has_more = await self.action()
        except Exception:
            self.failures += 1
            log.exception("background task failed: %s", self.name)
            return float(min(0.1 * 2**self.failures, MAX_BACKOFF_SECONDS))
        self.failures = 0
        return 0.0 if has_more else self.interval_seconds

    async def _pause(self, seconds: float) -> None:
        if self.failures:  # a wake-up does not shorten the pause after a failure
            await asyncio.sleep(seconds)
            return
        try:
            async with asyncio.timeout(seconds):
                await self._wake_event.wait()
        except TimeoutError:
            pass
