"""A token bucket that limits the mails per second: an order matters more than the mail about it."""

from collections.abc import Callable

BURST_SECONDS = 1.0
MIN_BATCH_SECONDS = 0.2
"""Smallest share handed out, in seconds' worth of tokens: under load mails go in batches, not one by one."""


class TokenBucket:
    """Tokens that grow with time, up to one second's worth. A caller that gets none tries again later."""

    def __init__(self, rate_per_second: float, clock: Callable[[], float]) -> None:
        self.rate_per_second = rate_per_second
        self.clock = clock
        self.capacity = max(rate_per_second * BURST_SECONDS, 1.0)
        self._tokens = self.capacity
        self._updated_at = clock()

    def take(self, limit: int) -> int:
        """Takes up to `limit` tokens; none while there are too few for a batch."""
        now = self.clock()
        self._tokens = min(self._tokens + (now - self._updated_at) * self.rate_per_second, self.capacity)
        self._updated_at = now
        if self._tokens < max(self.rate_per_second * MIN_BATCH_SECONDS, 1.0):
            return 0
        taken = min(int(self._tokens), limit)
        self._tokens -= taken
        return taken

    def give_back(self, unused: int) -> None:
        """Returns tokens that were not used."""
        self._tokens = min(self._tokens + unused, self.capacity)
