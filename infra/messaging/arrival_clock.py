"""When a message can have come: what a process knows of time that passed while it was not looking.

A process that was stopped, or that lags, finds messages that have waited for it, and nothing says for how long. So the
loop's heart beats, and a message counts as come at the last beat that was surely before it. Only this process's own
monotonic clock is read: no two clocks are ever compared.
"""

import asyncio
import time
from collections.abc import Callable

BEAT = 0.05
LATE = 4 * BEAT
"""Between two beats so far apart the loop did not look."""
CATCHING_UP = 0.5
"""Seconds after a pause in which what is read may have waited through it."""


class Heart:
    """Beats on the running loop from `start` to `stop`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = self._before = clock()
        self._until = 0.0
        self._next: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._next = asyncio.get_running_loop().call_later(BEAT, self._tick)

    def stop(self) -> None:
        if self._next is not None:
            self._next.cancel()

    def _tick(self) -> None:
        self.beat()
        self.start()

    def beat(self) -> None:
        """After a pause the beat before it stays for a while: what has gathered meanwhile is still being read."""
        at = self._clock()
        if at >= self._until:
            self._before = self._last
            if at - self._last > LATE:
                self._until = at + CATCHING_UP
        self._last = at

    def earliest(self) -> float:
        """The earliest moment at which a message that is read now can have come, by `time.monotonic()`."""
        if self._clock() - self._last > LATE:
            self.beat()
        return self._before
