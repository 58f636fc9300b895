"""Counts requests by customer and by address, and refuses what is too much.

Of each bucket one number is kept: the moment at which it will be whole again (the generic cell rate algorithm). A
request moves that moment further away; where it would be further than a whole bucket, there is no room. So a count is
exact, costs some microseconds, is forgotten by itself, and what another edge has counted is simply added.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import lru_cache

from prometheus_client import CollectorRegistry, Counter

from contracts.failure import TooManyRequests
from contracts.ip_networks import client_network
from edge.auth.tokens import Caller
from edge.client_ip import is_in_networks
from edge.ratelimit.policies import POLICIES, Allowance, RateLimitPolicy
from edge.request_context import RequestContext
from edge.settings import EdgeSettings

NANOSECONDS_PER_SECOND = 1_000_000_000
MAX_BUCKETS = 20_000
"""Buckets of one kind that are kept: a flood of addresses takes no more memory than this."""
MAX_PENDING = 500
"""Of one kind, in one message to the other edges."""
MAX_DEBT_FACTOR = 2
"""Whole buckets that somebody may be behind who was on every edge at once."""

Counts = Mapping[str, Mapping[str, int]]
"""Requests by meter and by whose they were."""


class GcraBuckets:
    """The buckets of one limit, by whose they are. Times are whole nanoseconds."""

    def __init__(self, limit: int, window: int) -> None:
        self.limit = limit
        self.window_seconds = window
        self.pending: dict[str, int] = {}
        self._each = window * NANOSECONDS_PER_SECOND // limit
        self._room = self._each * limit
        self._whole_at: OrderedDict[str, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._whole_at)

    def take(self, key: str, now: int) -> Allowance:
        """One request, if there is room for it."""
        whole_at = max(self._whole_at.get(key, 0), now) + self._each
        used = whole_at - now
        if used > self._room:
            return Allowance(
                self.limit,
                self.window_seconds,
                0,
                _seconds(used - self._each),
                wait_seconds=_seconds(used - self._room),
            )
        self._keep(key, whole_at, now)
        told = self.pending.get(key, 0)
        if told or len(self.pending) < MAX_PENDING:
            self.pending[key] = told + 1
        return Allowance(self.limit, self.window_seconds, (self._room - used) // self._each, _seconds(used))

    def add(self, key: str, count: int, now: int) -> None:
        """What was let through elsewhere."""
        used = max(self._whole_at.get(key, 0) - now, 0) + count * self._each
        self._keep(key, now + min(used, MAX_DEBT_FACTOR * self._room), now)

    def _keep(self, subject: str, whole_at: int, now: int) -> None:
        known = subject in self._whole_at
        self._whole_at[subject] = whole_at
        if not known:
            self._tidy(now)

    def _tidy(self, now: int) -> None:
        """Looks at the next two in turn for each new one: whole buckets go, and where there are too many, any."""
        for _ in range(2):
            subject, whole_at = self._whole_at.popitem(last=False)
            if whole_at > now and len(self._whole_at) < MAX_BUCKETS:
                self._whole_at[subject] = whole_at


class RateLimiter:
    """All meters of an edge."""

    def __init__(
        self, settings: EdgeSettings, registry: CollectorRegistry, clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._clock = clock
        policies = [policy.scaled(settings.edge_limits) for policy in POLICIES]
        self._of_address = {policy.name: GcraBuckets(policy.per_address, policy.window_seconds) for policy in policies}
        self._of_customer = {
            policy.name: GcraBuckets(policy.per_customer, policy.window_seconds)
            for policy in policies
            if policy.per_customer
        }
        self.buckets = {
            **{f"{name}.address": meter for name, meter in self._of_address.items()},
            **{f"{name}.customer": meter for name, meter in self._of_customer.items()},
        }
        self._unlimited = settings.edge_unlimited
        self._address = lru_cache(maxsize=8192)(self._place)
        self._refused = Counter(
            "souk_edge_limited_total", "Requests refused as too many.", ("policy",), registry=registry
        )

    def _place(self, client: str) -> str | None:
        """What a client counts as; None for one who is not limited."""
        return None if self._unlimited and is_in_networks(client, self._unlimited) else client_network(client)

    def take(self, exchange: RequestContext, policy: RateLimitPolicy, caller: Caller | None) -> None:
        """Notes what is left on the exchange. Raises TooManyRequests, which counts for nothing itself."""
        address = self._address(exchange.client_ip)
        if address is None:
            return
        if caller is not None and policy.per_customer:
            meter, subject = self._of_customer[policy.name], caller.identity.user_id.hex
        else:
            meter, subject = self._of_address[policy.name], address
        exchange.allowance = allowance = meter.take(subject, self._clock())
        if allowance.wait_seconds:
            self._refused.labels(policy.name).inc()
            raise TooManyRequests(retry_after=allowance.wait_seconds)

    def drain_counts(self) -> Counts:
        """What was counted here since this was asked last."""
        found = {name: meter.pending for name, meter in self.buckets.items() if meter.pending}
        for name in found:
            self.buckets[name].pending = {}
        return found

    def add_counts(self, counts: Counts) -> None:
        """What another edge has counted. One of another release may have meters that are not known here."""
        now = self._clock()
        for name, found in counts.items():
            meter = self.buckets.get(name)
            if meter is not None:
                for subject, count in found.items():
                    meter.add(subject, count, now)


def _seconds(nanoseconds: int) -> int:
    return math.ceil(nanoseconds / NANOSECONDS_PER_SECOND)
