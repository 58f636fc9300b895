"""A circuit breaker per gateway: after repeated failures only a trial call goes through now and then.

Libraries wrap the call in the breaker. Here the caller asks first, because an attempt whose gateway is not called is
returned unused; and an outcome may come from a call that began before the breaker opened.
"""

import time
from collections.abc import Callable

from infra.foundation.telemetry import get_logger

log = get_logger("souk.payment")


class GatewayBreaker:
    """Opens after `failure_threshold` failures in a row. While open, it allows one call every `pause_seconds`."""

    def __init__(
        self,
        gateway: str,
        *,
        failure_threshold: int,
        pause_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.gateway = gateway
        self.is_open = False
        self.pause_seconds = pause_seconds
        self._failure_threshold = failure_threshold
        self._clock = clock
        self._failures = 0
        self._next_trial_at = 0.0

    def allow_call(self) -> bool:
        """Whether the gateway may be called now. While open, a True allows this one trial call."""
        if not self.is_open:
            return True
        now = self._clock()
        if now < self._next_trial_at:
            return False
        self._next_trial_at = now + self.pause_seconds
        return True

    def record_failure(self) -> None:
        """Counts a call without a valid answer, and opens the breaker at the threshold."""
        self._failures += 1
        if not self.is_open and self._failures >= self._failure_threshold:
            self._next_trial_at = self._clock() + self.pause_seconds
            self._set_open(is_open=True)

    def record_success(self) -> None:
        """Closes the breaker: any valid answer, a refusal too, shows that the gateway works."""
        self._failures = 0
        if self.is_open:
            self._set_open(is_open=False)

    def _set_open(self, *, is_open: bool) -> None:
        self.is_open = is_open
        log.warning("circuit breaker changed", gateway=self.gateway, breaker="open" if is_open else "closed")
