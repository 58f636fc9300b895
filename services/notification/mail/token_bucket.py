"""So many mails a second and no more: an order matters more than the mail about it."""

from collections.abc import Callable

BURST_SECONDS = 1.0
SMALLEST_SHARE = 0.2
"""Seconds' worth that are handed out at the least: under load mails go in batches, not one by one."""


class Pace:
    """Permits that grow with time, up to a second's worth. Nobody sleeps: who gets none comes back later."""

    def __init__(self, rate: float, clock: Callable[[], float]) -> None:
        self.rate = rate
        self.clock = clock
        self.most = max(rate * BURST_SECONDS, 1.0)
        self._permits = self.most
        self._counted = clock()

    def take(self, most: int) -> int:
        """Up to `most` permits; none while there are too few to be worth a batch."""
        now = self.clock()
        self._permits = min(self._permits + (now - self._counted) * self.rate, self.most)
        self._counted = now
        if self._permits < max(self.rate * SMALLEST_SHARE, 1.0):
            return 0
        taken = min(int(self._permits), most)
        self._permits -= taken
        return taken

    def give_back(self, unused: int) -> None:
        self._permits = min(self._permits + unused, self.most)
