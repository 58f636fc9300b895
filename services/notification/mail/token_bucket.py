"""So many mails a second and no more: an order matters more than the mail about it."""

from collections.abc import Callable

BURST_SECONDS = 1.0
MIN_BATCH_SECONDS = 0.2
"""Seconds' worth that are handed out at the least: under load mails go in batches, not one by one."""


class TokenBucket:
    """Permits that grow with time, up to a second's worth. Nobody sleeps: who gets none comes back later."""

    def __init__(self, rate_per_second: float, clock: Callable[[], float]) -> None:
        self.rate_per_second = rate_per_second
        self.clock = clock
        self.capacity = max(rate_per_second * BURST_SECONDS, 1.0)
        self._permits = self.capacity
        self._counted = clock()

    def take(self, limit: int) -> int:
        """Up to `most` permits; none while there are too few to be worth a batch."""
        now = self.clock()
        self._permits = min(self._permits + (now - self._counted) * self.rate_per_second, self.capacity)
        self._counted = now
        if self._permits < max(self.rate_per_second * MIN_BATCH_SECONDS, 1.0):
            return 0
        taken = min(int(self._permits), limit)
        self._permits -= taken
        return taken

    def give_back(self, unused: int) -> None:
        self._permits = min(self._permits + unused, self.capacity)
