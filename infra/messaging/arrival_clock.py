"""An estimate of when a message arrived, for processes that were stopped or that lag.

A process that did not run for a while finds messages that waited for it, and nothing says for how long. A timer
therefore records a tick every 50 ms, and a message counts as arrived at the last tick that was certainly before it.
Only the monotonic clock of this process is read, so clocks of different machines are never compared.
"""

import asyncio
import time
from collections.abc import Callable

TICK_SECONDS = 0.05
STALL_SECONDS = 4 * TICK_SECONDS
"""A longer gap between two ticks means that the event loop was stalled."""
CATCH_UP_SECONDS = 0.5
"""Seconds after a stall during which messages may have waited through it."""


class ArrivalClock:
    """Records ticks on the running event loop from `start` to `stop`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last_tick = self._safe_tick = clock()
        self._catching_up_until = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Starts the timer on the running event loop."""
        self._timer = asyncio.get_running_loop().call_later(TICK_SECONDS, self._on_timer)

    def stop(self) -> None:
        """Stops the timer."""
        if self._timer is not None:
            self._timer.cancel()

    def _on_timer(self) -> None:
        self.record_tick()
        self.start()

    def record_tick(self) -> None:
        """Records a tick. After a stall, the tick before the stall stays valid while waiting messages are read."""
        now = self._clock()
        if now >= self._catching_up_until:
            self._safe_tick = self._last_tick
            if now - self._last_tick > STALL_SECONDS:
                self._catching_up_until = now + CATCH_UP_SECONDS
        self._last_tick = now

    def earliest_arrival(self) -> float:
        """Returns the earliest time, by `time.monotonic()`, at which a message read now can have arrived."""
        if self._clock() - self._last_tick > STALL_SECONDS:
            self.record_tick()
        return self._safe_tick
