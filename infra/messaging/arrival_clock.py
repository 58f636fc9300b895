"""When a message can have come: what a process knows of time that passed while it was not looking.

A process that was stopped, or that lags, finds messages that have waited for it, and nothing says for how long. So the
loop's heart beats, and a message counts as come at the last beat that was surely before it. Only this process's own
monotonic clock is read: no two clocks are ever compared.
"""

import asyncio
import time
from collections.abc import Callable

TICK_SECONDS = 0.05
STALL_SECONDS = 4 * TICK_SECONDS
"""Between two beats so far apart the loop did not look."""
CATCH_UP_SECONDS = 0.5
"""Seconds after a pause in which what is read may have waited through it."""


class ArrivalClock:
    """Beats on the running loop from `start` to `stop`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last_tick = self._safe_tick = clock()
        self._catching_up_until = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(TICK_SECONDS, self._on_timer)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _on_timer(self) -> None:
        self.record_tick()
        self.start()

    def record_tick(self) -> None:
        """After a pause the beat before it stays for a while: what has gathered meanwhile is still being read."""
        at = self._clock()
        if at >= self._catching_up_until:
            self._safe_tick = self._last_tick
            if at - self._last_tick > STALL_SECONDS:
                self._catching_up_until = at + CATCH_UP_SECONDS
        self._last_tick = at

    def earliest_arrival(self) -> float:
        """The earliest moment at which a message that is read now can have come, by `time.monotonic()`."""
        if self._clock() - self._last_tick > STALL_SECONDS:
            self.record_tick()
        return self._safe_tick
