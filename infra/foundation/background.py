"""Work that a service does by itself: woken when there is something, looked after by a slow poll, never ending."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from infra.foundation import trace

MAX_BACKOFF_SECONDS = 5.0


class MinInterval:
    """Lets rounds follow one another at a distance: the first after a rest begins at once, a busy one gathers more."""

    def __init__(self, interval_seconds: float) -> None:
        self.interval_seconds = interval_seconds
        self._next = 0.0

    async def wait(self) -> None:
        now = time.monotonic()
        if now < self._next:
            await asyncio.sleep(self._next - now)
        self._next = max(now, self._next) + self.interval_seconds


class BackgroundTask(Protocol):
    """Something that goes on for as long as the process does."""

    name: str

    async def run(self) -> None: ...


class PeriodicTask:
    """Runs `work` when woken and at least every `every` seconds, again at once while it says that there is more.

    `work` does one bounded piece in a transaction of its own and returns whether there may be more. If it raises, it is
    tried again after a growing pause.
    """

    def __init__(self, name: str, action: Callable[[], Awaitable[bool]], *, interval_seconds: float) -> None:
        self.name = name
        self.action = action
        self.interval_seconds = interval_seconds
        self.failures = 0
        self._woken = asyncio.Event()

    def wake(self) -> None:
        self._woken.set()

    async def run(self) -> None:
        while True:
            self._woken.clear()
            with trace.activate(trace.start()):
                pause = await self._once()
            if pause > 0:
                await self._rest(pause)

    async def _once(self) -> float:
        try:
            more = await self.action()
        except Exception:
            self.failures += 1
            logging.getLogger("souk.worker").exception("%s failed", self.name)
            return float(min(0.1 * 2**self.failures, MAX_BACKOFF_SECONDS))
        self.failures = 0
        return 0.0 if more else self.interval_seconds

    async def _rest(self, seconds: float) -> None:
        if self.failures:
            await asyncio.sleep(seconds)
            return
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            pass
