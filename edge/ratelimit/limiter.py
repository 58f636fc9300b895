"""Counts requests by customer and by address, and says which ones exceed their limit.

A bucket is one number: the time at which it will be full again (the generic cell rate algorithm, GCRA). A request
moves that time later; a request that would move it later than a whole bucket allows is refused. So a count is exact,
costs a few microseconds and expires by itself, and the counts of other edges are simply added.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import lru_cache

from prometheus_client import CollectorRegistry, Counter

from contracts.client_networks import client_network
from edge.caller import Caller
from edge.client_ip import is_in_networks
from edge.ratelimit.policies import POLICIES, Allowance, RateLimitPolicy
from edge.settings import EdgeSettings

NANOSECONDS_PER_SECOND = 1_000_000_000
MAX_BUCKETS = 20_000
"""Buckets kept per limit, so that a flood of addresses takes no more memory than this."""
MAX_PENDING = 500
"""Counts per limit in one message to the other edges."""
MAX_DEBT_FACTOR = 2
"""Whole buckets that a client may be behind after using every edge at once."""

Counts = Mapping[str, Mapping[str, int]]
"""Requests by limit (`login.address`) and by bucket key."""


class GcraBuckets:
    """The buckets of one limit by key: a customer's id or an address. Times are whole nanoseconds."""

    def __init__(self, limit: int, window_seconds: int) -> None:
        self.limit = limit
        self.window_seconds = window_seconds
        self.pending: dict[str, int] = {}
        """Accepted requests that the other edges have not been told about."""
        self._interval = window_seconds * NANOSECONDS_PER_SECOND // limit
        self._capacity = self._interval * limit
        self._full_at: OrderedDict[str, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, key: str, now: int) -> Allowance:
        """Counts one request if the bucket has room for it. A refused request is not counted."""
        full_at = max(self._full_at.get(key, 0), now) + self._interval
        used = full_at - now
        if used > self._capacity:
            return self._allowance(0, reset=used - self._interval, wait=used - self._capacity)
        self._store(key, full_at, now)
        pending = self.pending.get(key, 0)
        if pending or len(self.pending) < MAX_PENDING:
            self.pending[key] = pending + 1
        return self._allowance((self._capacity - used) // self._interval, reset=used)

    def add(self, key: str, count: int, now: int) -> None:
        """Adds requests that another edge has accepted."""
        used = max(self._full_at.get(key, 0) - now, 0) + count * self._interval
        self._store(key, now + min(used, MAX_DEBT_FACTOR * self._capacity), now)

    def _allowance(self, remaining: int, *, reset: int, wait: int = 0) -> Allowance:
        return Allowance(self.limit, self.window_seconds, remaining, _to_seconds(reset), _to_seconds(wait))

    def _store(self, key: str, full_at: int, now: int) -> None:
        is_new = key not in self._full_at
        self._full_at[key] = full_at
        if is_new:
            self._evict(now)

    def _evict(self, now: int) -> None:
        """Checks the two oldest buckets for each new one: drops a full one, and any when there are too many."""
        for _ in range(2):
            key, full_at = self._full_at.popitem(last=False)
            if full_at > now and len(self._full_at) < MAX_BUCKETS:
                self._full_at[key] = full_at


class RateLimiter:
    """All limits of an edge."""

    def __init__(
        self, settings: EdgeSettings, registry: CollectorRegistry, clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._clock = clock
        self.wake_sync: Callable[[], None] = lambda: None
        """Called when a request was counted."""
        policies = [policy.scaled(settings.edge_limits) for policy in POLICIES]
        self._by_address = {policy.name: GcraBuckets(policy.per_address, policy.window_seconds) for policy in policies}
        self._by_customer = {
            policy.name: GcraBuckets(policy.per_customer, policy.window_seconds)
            for policy in policies
            if policy.per_customer
        }
        self.buckets = {
            **{f"{name}.address": buckets for name, buckets in self._by_address.items()},
            **{f"{name}.customer": buckets for name, buckets in self._by_customer.items()},
        }
        self._unlimited = settings.edge_unlimited
        self._address_key = lru_cache(maxsize=8192)(self._find_address_key)
        self._refused = Counter(
            "souk_edge_limited_total", "Requests refused by a rate limit.", ("policy",), registry=registry
        )

    def _find_address_key(self, client_ip: str) -> str | None:
        """The network that an address counts for; None when it is not limited."""
        return None if self._unlimited and is_in_networks(client_ip, self._unlimited) else client_network(client_ip)

    def take(self, client_ip: str, policy: RateLimitPolicy, caller: Caller | None) -> Allowance | None:
        """Counts one request and returns what is left; None when the address is not limited."""
        key = self._address_key(client_ip)
        if key is None:
            return None
        buckets = self._by_address[policy.name]
        if caller is not None and policy.per_customer:
            buckets, key = self._by_customer[policy.name], caller.identity.user_id.hex
        allowance = buckets.take(key, self._clock())
        if allowance.is_refused:
            self._refused.labels(policy.name).inc()
        else:
            self.wake_sync()
        return allowance

    def drain_counts(self) -> Counts:
        """Returns what was counted here since the last call."""
        counts = {name: buckets.pending for name, buckets in self.buckets.items() if buckets.pending}
        for name in counts:
            self.buckets[name].pending = {}
        return counts

    def add_counts(self, counts: Counts) -> None:
        """Adds what another edge has counted. Limits that only another release knows are ignored."""
        now = self._clock()
        for name, by_key in counts.items():
            buckets = self.buckets.get(name)
            if buckets is not None:
                for key, count in by_key.items():
                    buckets.add(key, count, now)


def _to_seconds(nanoseconds: int) -> int:
    return math.ceil(nanoseconds / NANOSECONDS_PER_SECOND)
