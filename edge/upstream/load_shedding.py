"""Refuses requests that the shop cannot answer in time, so that the accepted ones are answered in time.

The limit on requests in flight adapts to latency (as AIMD does, with factors both ways): it falls while more than a few
responses take longer than the target, and rises while they do not and the room is used. Writes that finish something a
customer has begun (an order, a payment) may fill the whole limit. All other requests stop earlier, so that under load
few customers with a full cart are refused at checkout.

A service that answers nothing hangs: it is not busy. Requests that wait for it count against the fixed bounds only, so
that it does not block the other services. Requests that are slow by design, such as hashing a password, have a
bulkhead of their own: a flood of logins fills that alone, and its latency does not change the limit.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge

from contracts.failure import Overloaded
from edge.settings import EdgeSettings

INITIAL_LIMIT = 160.0
MIN_LIMIT = 32.0
NORMAL_PRIORITY_SHARE = 0.6
"""Share of the limit that requests without priority may fill."""
SLOW_RESPONSE_SHARE = 0.1
"""Share of the responses that may exceed the latency target before the limit falls."""
DECREASE_FACTOR, INCREASE_FACTOR, RECOVERY_FACTOR = 0.8, 1.1, 1.02
UNRESPONSIVE_TARGETS = 2
"""A service hangs when it has answered nothing for this many latency targets."""
MAX_SERVICE_SHARE = 0.5
"""Share of `edge_max_in_flight` that one service may fill."""
ISOLATED_SHARE = 0.125
"""Share of `edge_max_in_flight` that requests which are slow by design may fill, beside the rest."""


class LoadShedder:
    """Counts requests in flight. `acquire` returns a ticket that the caller gives back to `release`."""

    def __init__(
        self, settings: EdgeSettings, registry: CollectorRegistry, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.limit = min(INITIAL_LIMIT, settings.edge_max_in_flight)
        self._max_in_flight = settings.edge_max_in_flight
        self._target_seconds = settings.edge_latency_target
        self._clock = clock
        self._last_ticket = 0
        self._started_at: dict[int, float] = {}
        self._isolated: set[int] = set()
        self._services: dict[str, _ServiceLoad] = {}
        self._window = _Window(clock())
        self._shed = Counter("souk_edge_shed_total", "Requests refused as overload.", ("reason",), registry=registry)
        Gauge("souk_edge_limit", "Requests that may be in flight.", registry=registry).set_function(lambda: self.limit)
        Gauge("souk_edge_in_flight", "Requests in flight.", registry=registry).set_function(
            lambda: len(self._started_at) + len(self._isolated)
        )

    def acquire(self, service: str, *, has_priority: bool, is_isolated: bool = False) -> int:
        """Accepts a request and returns its ticket, or raises Overloaded."""
        if is_isolated:
            return self._acquire_isolated()
        load = self._services.setdefault(service, _ServiceLoad())
        in_flight, now = len(self._started_at), self._clock()
        if in_flight >= self._max_in_flight or load.in_flight >= max(self._max_in_flight * MAX_SERVICE_SHARE, 1):
            self._refuse("max_in_flight")
        limit = self.limit if has_priority else self.limit * NORMAL_PRIORITY_SHARE
        if in_flight >= limit and in_flight - self._waiting_for_hanging_services(now) >= limit:
            self._refuse("limit")
        ticket = self._next_ticket()
        self._started_at[ticket] = now
        if not load.in_flight:
            load.last_response_at = now
        load.in_flight += 1
        self._window.peak = max(self._window.peak, in_flight + 1)
        return ticket

    def _acquire_isolated(self) -> int:
        if len(self._isolated) >= max(self._max_in_flight * ISOLATED_SHARE, 1):
            self._refuse("isolated")
        ticket = self._next_ticket()
        self._isolated.add(ticket)
        return ticket

    def _next_ticket(self) -> int:
        self._last_ticket += 1
        return self._last_ticket

    def release(self, ticket: int, service: str, *, has_responded: bool, is_latency_sample: bool) -> None:
        """Ends a request. `is_latency_sample`: its duration says how busy the shop is."""
        if ticket in self._isolated:
            self._isolated.remove(ticket)
            return
        now, load = self._clock(), self._services[service]
        duration = now - self._started_at.pop(ticket)
        load.in_flight -= 1
        if has_responded:
            load.last_response_at = now
        if is_latency_sample and (has_responded or not self._is_hanging(load, now)):
            self._window.responses += 1
            self._window.slow_responses += duration > self._target_seconds
        if now - self._window.started_at > self._target_seconds:
            self._adjust_limit(now)

    def _refuse(self, reason: str) -> None:
        self._shed.labels(reason).inc()
        raise Overloaded(retry_after=1)

    def _waiting_for_hanging_services(self, now: float) -> int:
        return sum(load.in_flight for load in self._services.values() if self._is_hanging(load, now))

    def _is_hanging(self, load: "_ServiceLoad", now: float) -> bool:
        return now - load.last_response_at > UNRESPONSIVE_TARGETS * self._target_seconds

    def _adjust_limit(self, now: float) -> None:
        window, self._window = self._window, _Window(now)
        if window.slow_responses > window.responses * SLOW_RESPONSE_SHARE:
            self.limit = max(self.limit * DECREASE_FACTOR, min(MIN_LIMIT, self._max_in_flight))
        elif window.peak > self.limit * NORMAL_PRIORITY_SHARE / 2:
            self.limit = min(self.limit * INCREASE_FACTOR, self._max_in_flight)
        elif self.limit < INITIAL_LIMIT:
            self.limit = min(self.limit * RECOVERY_FACTOR, INITIAL_LIMIT, self._max_in_flight)


@dataclass(slots=True)
class _ServiceLoad:
    """Requests in flight to one service. `last_response_at` is the time of the first request until one is answered."""

    in_flight: int = 0
    last_response_at: float = 0.0


class _Window:
    """What has been observed since the limit was last adjusted."""

    def __init__(self, started_at: float) -> None:
        self.started_at = started_at
        self.responses = 0
        self.slow_responses = 0
        self.peak = 0
