"""Work that a service does by itself: woken when there is something, looked after by a slow poll, never ending."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from infra.foundation import trace

LONGEST_PAUSE = 5.0


class Pace:
    """Lets rounds follow one another at a distance: the first after a rest begins at once, a busy one gathers more."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._next = 0.0

    async def keep(self) -> None:
        now = time.monotonic()
        if now < self._next:
            await asyncio.sleep(self._next - now)
        self._next = max(now, self._next) + self.seconds


class Background(Protocol):
    """Something that goes on for as long as the process does."""

    name: str

    async def run(self) -> None: ...


class Worker:
    """Runs `work` when woken and at least every `every` seconds, again at once while it says that there is more.

    `work` does one bounded piece in a transaction of its own and returns whether there may be more. If it raises, it is
    tried again after a growing pause.
    """

    def __init__(self, name: str, work: Callable[[], Awaitable[bool]], *, every: float) -> None:
        self.name = name
        self.work = work
        self.every = every
        self.failures = 0
        self._woken = asyncio.Event()

    def wake(self) -> None:
        self._woken.set()

    async def run(self) -> None:
        while True:
            self._woken.clear()
            with trace.within(trace.begin()):
                pause = await self._once()
            if pause > 0:
                await self._rest(pause)

    async def _once(self) -> float:
        try:
            more = await self.work()
        except Exception:
            self.failures += 1
            logging.getLogger("souk.worker").exception("%s failed", self.name)
            return float(min(0.1 * 2**self.failures, LONGEST_PAUSE))
        self.failures = 0
        return 0.0 if more else self.every

    async def _rest(self, seconds: float) -> None:
        if self.failures:
            await asyncio.sleep(seconds)
            return
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            pass
