"""How much is taken in: what is more than the shop can do is refused at once, so that what is taken is done in time.

How much that is shows in how long answers take. While more than a few of them take longer than the target, less is
taken; while they do not and there is a use for it, more (additive increase, multiplicative decrease). What finishes
something already begun - an order, a payment - may fill the whole limit; the rest stops earlier, so that under load few
who have filled a cart are turned away at the till.

What has been under way for longer than the target does not queue, it is stuck behind something that does not answer. It
counts against the outer bounds alone, so that a service that hangs does not close the others' doors.
"""

import time
from collections.abc import Callable
from itertools import takewhile

from prometheus_client import CollectorRegistry, Counter, Gauge

from contracts.failure import Overloaded
from edge.settings import EdgeSettings

START = 160.0
LEAST = 32.0
ORDINARY_SHARE = 0.6
"""How much of the limit is for what finishes nothing."""
SLOW_SHARE = 0.1
"""How many of the answers may be slower than the target."""
CUT, GROWTH, RECOVERY = 0.8, 1.1, 1.02
ONE_SERVICE = 0.5
"""How much of the outer bound one service may fill."""


class Admission:
    """Counts what is under way. `enter` gives a ticket that has to come back to `leave`."""

    def __init__(
        self, settings: EdgeSettings, registry: CollectorRegistry, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.limit = min(START, settings.edge_max_in_flight)
        self._most = settings.edge_max_in_flight
        self._target = settings.edge_latency_target
        self._clock = clock
        self._tickets = 0
        self._begun: dict[int, float] = {}
        self._of: dict[str, int] = {}
        self._window = _Window(clock())
        self._shed = Counter("souk_edge_shed_total", "Requests refused as overload.", ("why",), registry=registry)
        Gauge("souk_edge_limit", "Requests that may be at work.", registry=registry).set_function(lambda: self.limit)
        Gauge("souk_edge_in_flight", "Requests at work.", registry=registry).set_function(lambda: len(self._begun))

    def enter(self, service: str, *, urgent: bool) -> int:
        """Takes a request in, or raises Overloaded."""
        at_work = len(self._begun)
        if at_work >= self._most or self._of.get(service, 0) >= max(self._most * ONE_SERVICE, 1):
            self._refuse("bound")
        room = self.limit if urgent else self.limit * ORDINARY_SHARE
        if at_work >= room and at_work - self._stuck() >= room:
            self._refuse("limit")
        self._tickets += 1
        self._begun[self._tickets] = self._clock()
        self._of[service] = self._of.get(service, 0) + 1
        self._window.most = max(self._window.most, at_work + 1)
        return self._tickets

    def leave(self, ticket: int, service: str, *, telling: bool) -> None:
        """`telling`: how long it took says how busy the shop is."""
        now = self._clock()
        took = now - self._begun.pop(ticket)
        self._of[service] -= 1
        if telling:
            self._window.answers += 1
            self._window.slow += took > self._target
        if now - self._window.since > self._target:
            self._learn(now)

    def _refuse(self, why: str) -> None:
        self._shed.labels(why).inc()
        raise Overloaded(retry_after=1)

    def _stuck(self) -> int:
        """Tickets are in the order in which they were given."""
        before = self._clock() - self._target
        return sum(1 for _ in takewhile(lambda begun: begun < before, self._begun.values()))

    def _learn(self, now: float) -> None:
        seen, self._window = self._window, _Window(now)
        if seen.slow > seen.answers * SLOW_SHARE:
            self.limit = max(self.limit * CUT, min(LEAST, self._most))
        elif seen.most > self.limit * ORDINARY_SHARE / 2:
            self.limit = min(self.limit * GROWTH, self._most)
        elif self.limit < START:
            self.limit = min(self.limit * RECOVERY, START, self._most)


class _Window:
    """What was seen since the last lesson."""

    def __init__(self, since: float) -> None:
        self.since = since
        self.answers = 0
        self.slow = 0
        self.most = 0
