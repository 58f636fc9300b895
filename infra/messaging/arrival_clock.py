"""An estimate of when a message arrived, for processes that were stopped or that lag.

A process that did not run for a while finds messages that waited for it, and nothing says for how long. A timer
therefore records a tick every 50 ms, and a message counts as arrived at the last tick that was certainly before it.
While no messages come, the timer is slower, so that an idle process sleeps; the first message then counts as up to
0.3 s older than it is. Only the monotonic clock of this process is read, so clocks of different machines are never
compared.
"""

import asyncio
import time
from collections.abc import Callable

TICK_SECONDS = 0.05
IDLE_TICK_SECONDS = 0.25
IDLE_AFTER_SECONDS = 1.0
"""Seconds without a message after which the ticks become slower."""
MAX_LATENESS_SECONDS = 3 * TICK_SECONDS
"""A tick that is later than this means that the event loop was stalled."""
CATCH_UP_SECONDS = 0.5
"""Seconds after a stall during which messages may have waited through it."""


class ArrivalClock:
    """Records ticks on the running event loop from `start` to `stop`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.interval_seconds = TICK_SECONDS
        """Seconds to the next tick."""
        self._clock = clock
        self._last_tick = self._safe_tick = clock()
        self._catching_up_until = self._busy_until = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Starts the timer on the running event loop."""
        self._timer = asyncio.get_running_loop().call_later(self.interval_seconds, self._on_timer)

    def stop(self) -> None:
        """Stops the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timer(self) -> None:
        self.record_tick()
        self.interval_seconds = TICK_SECONDS if self._last_tick < self._busy_until else IDLE_TICK_SECONDS
        self.start()

    def record_tick(self) -> None:
        """Records a tick. After a stall, the tick before the stall stays valid while waiting messages are read."""
        now = self._clock()
        if now >= self._catching_up_until:
            self._safe_tick = self._last_tick
            if self._is_stalled(now):
                self._catching_up_until = now + CATCH_UP_SECONDS
        self._last_tick = now

    def earliest_arrival(self) -> float:
        """Returns the earliest time, by `time.monotonic()`, at which a message read now can have arrived."""
        now = self._clock()
        is_idle = self.interval_seconds > TICK_SECONDS
        if self._is_stalled(now) or (is_idle and now - self._last_tick > TICK_SECONDS):
            self.record_tick()
        self._busy_until = now + IDLE_AFTER_SECONDS
        if is_idle:
            self._end_idling()
        return self._safe_tick

    def _is_stalled(self, now: float) -> bool:
        return now - self._last_tick > self.interval_seconds + MAX_LATENESS_SECONDS

    def _end_idling(self) -> None:
        self.interval_seconds = TICK_SECONDS
        if self._timer is not None:
            self.stop()
            self.start()
