"""How much is taken in: what is more than the shop can do is refused at once, so that what is taken is done in time.

How much that is shows in how long answers take. While more than a few of them take longer than the target, less is
taken; while they do not and there is a use for it, more (additive increase, multiplicative decrease). What finishes
something already begun - an order, a payment - may fill the whole limit; the rest stops earlier, so that under load few
who have filled a cart are turned away at the till.

A service that answers nothing at all is not busy, it hangs. What waits for it counts against the outer bounds alone, so
that it does not close the others' doors. What takes its time on purpose, as hashing a password does, is counted aside:
a flood of logins fills a room of its own, and says nothing of how busy the shop is.
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
"""How much of the limit is for what finishes nothing."""
SLOW_RESPONSE_SHARE = 0.1
"""How many of the answers may be slower than the target."""
DECREASE_FACTOR, INCREASE_FACTOR, RECOVERY_FACTOR = 0.8, 1.1, 1.02
UNRESPONSIVE_TARGETS = 2
"""Targets without an answer after which a service hangs."""
MAX_SERVICE_SHARE = 0.5
"""How much of the outer bound one service may fill."""
ISOLATED_SHARE = 0.125
"""How much of it may be at work aside."""


class LoadShedder:
    """Counts what is under way. `enter` gives a ticket that has to come back to `leave`."""

    def __init__(
        self, settings: EdgeSettings, registry: CollectorRegistry, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.limit = min(INITIAL_LIMIT, settings.edge_max_in_flight)
        self._most = settings.edge_max_in_flight
        self._target = settings.edge_latency_target
        self._clock = clock
        self._tickets = 0
        self._begun: dict[int, float] = {}
        self._aside: set[int] = set()
        self._queues: dict[str, _Queue] = {}
        self._window = _Window(clock())
        self._shed = Counter("souk_edge_shed_total", "Requests refused as overload.", ("why",), registry=registry)
        Gauge("souk_edge_limit", "Requests that may be at work.", registry=registry).set_function(lambda: self.limit)
        Gauge("souk_edge_in_flight", "Requests at work.", registry=registry).set_function(
            lambda: len(self._begun) + len(self._aside)
        )

    def acquire(self, service: str, *, has_priority: bool, is_isolated: bool = False) -> int:
        """Takes a request in, or raises Overloaded."""
        if is_isolated:
            return self._enter_aside()
        queue = self._queues.setdefault(service, _Queue())
        at_work, now = len(self._begun), self._clock()
        if at_work >= self._most or queue.length >= max(self._most * MAX_SERVICE_SHARE, 1):
            self._refuse("bound")
        room = self.limit if has_priority else self.limit * NORMAL_PRIORITY_SHARE
        if at_work >= room and at_work - self._hanging(now) >= room:
            self._refuse("limit")
        self._tickets += 1
        self._begun[self._tickets] = now
        if not queue.length:
            queue.heard = now
        queue.length += 1
        self._window.most = max(self._window.most, at_work + 1)
        return self._tickets

    def _enter_aside(self) -> int:
        if len(self._aside) >= max(self._most * ISOLATED_SHARE, 1):
            self._refuse("aside")
        self._tickets += 1
        self._aside.add(self._tickets)
        return self._tickets

    def release(self, ticket: int, service: str, *, has_responded: bool, is_latency_sample: bool) -> None:
        """`telling`: how long it took says how busy the shop is."""
        if ticket in self._aside:
            self._aside.remove(ticket)
            return
        now, queue = self._clock(), self._queues[service]
        took = now - self._begun.pop(ticket)
        queue.length -= 1
        if has_responded:
            queue.heard = now
        if is_latency_sample and (has_responded or not self._hangs(queue, now)):
            self._window.answers += 1
            self._window.slow += took > self._target
        if now - self._window.since > self._target:
            self._learn(now)

    def _refuse(self, why: str) -> None:
        self._shed.labels(why).inc()
        raise Overloaded(retry_after=1)

    def _hanging(self, now: float) -> int:
        """How many wait for services that hang."""
        return sum(queue.length for queue in self._queues.values() if self._hangs(queue, now))

    def _hangs(self, queue: "_Queue", now: float) -> bool:
        return now - queue.heard > UNRESPONSIVE_TARGETS * self._target

    def _learn(self, now: float) -> None:
        seen, self._window = self._window, _Window(now)
        if seen.slow > seen.answers * SLOW_RESPONSE_SHARE:
            self.limit = max(self.limit * DECREASE_FACTOR, min(MIN_LIMIT, self._most))
        elif seen.most > self.limit * NORMAL_PRIORITY_SHARE / 2:
            self.limit = min(self.limit * INCREASE_FACTOR, self._most)
        elif self.limit < INITIAL_LIMIT:
            self.limit = min(self.limit * RECOVERY_FACTOR, INITIAL_LIMIT, self._most)


@dataclass(slots=True)
class _Queue:
    """What is under way to one service, and when it answered last, or else was first asked."""

    length: int = 0
    heard: float = 0.0


class _Window:
    """What was seen since the last lesson."""

    def __init__(self, since: float) -> None:
        self.since = since
        self.answers = 0
        self.slow = 0
        self.most = 0
