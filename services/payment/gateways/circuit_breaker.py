"""A breaker a gateway: one that fails time after time is left alone, but for one call now and then, to try.

Libraries put the call into the breaker. Here it is the other way round: what is not asked is given back, so whoever is
about to ask wants to know beforehand, and an outcome may come from a call that began before the breaker opened.
"""

import logging
import time
from collections.abc import Callable

log = logging.getLogger("souk.payment")


class GatewayBreaker:
    """Opens after so many `failures` in a row; while it is open, one call goes through every `pause` seconds."""

    def __init__(
        self, gateway: str, *, failure_threshold: int, pause_seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.gateway = gateway
        self.is_open = False
        self.pause_seconds = pause_seconds
        self._enough = failure_threshold
        self._clock = clock
        self._failures = 0
        self._try_at = 0.0

    def allow_call(self) -> bool:
        """Whether the gateway is to be asked now."""
        if not self.is_open:
            return True
        now = self._clock()
        if now < self._try_at:
            return False
        self._try_at = now + self.pause_seconds
        return True

    def record_failure(self) -> None:
        """The gateway did not answer, or not with sense."""
        self._failures += 1
        if not self.is_open and self._failures >= self._enough:
            self._try_at = self._clock() + self.pause_seconds
            self._turn(open_=True)

    def record_success(self) -> None:
        """Whatever it said, it is there."""
        self._failures = 0
        if self.is_open:
            self._turn(open_=False)

    def _turn(self, *, open_: bool) -> None:
        self.is_open = open_
        fields = {"gateway": self.gateway, "breaker": "open" if open_ else "closed"}
        log.warning("a breaker has changed", extra={"fields": fields})
