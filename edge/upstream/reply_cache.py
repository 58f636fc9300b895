"""Keeps public replies for a moment, and fetches each one once for all requests that want it at the same time.

A reply is stored for at most the `max-age` that its route promises, counted from the moment at which it was requested.
The first request that finds it too old fetches it anew. Others that arrive meanwhile get the old reply, if it is older
by at most `STALE_SECONDS`, or wait for the new one. A reply with prices that change by time is used until then at most.
Only successful replies are stored. What may be stored, and for whom:
`docs/decisions/0030-edge-cache-and-shared-requests.md`.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge

from contracts import headers
from contracts.failure import Fail, Unavailable
from edge.etags import format_etag
from edge.settings import EdgeSettings
from edge.upstream.product_batches import RawReply

STALE_SECONDS = 0.5
"""Time for which an old reply is still used while a new one is fetched."""
JOIN_SECONDS = 0.5
"""Time for which requests join a fetch that is under way. After it the next one fetches again, from another process
perhaps: a process that hangs holds up only those who already wait for it.
"""
ENTRY_BYTES = 1024
"""What an entry takes beside its body; so there are at most `edge_cache_bytes` / 1024 entries."""
MAX_ENTRY_SHARE = 0.1
"""Share of the cache that one reply may take."""

CacheKey = tuple[str, bytes]
"""The subject of an operation, and its request: the parsed parameters in the order of the contract."""
Fetch = Callable[[], Awaitable[RawReply]]


@dataclass(frozen=True, slots=True)
class CachedReply:
    """A reply's body and headers as the service sent them, and when it was requested (`time.monotonic()`)."""

    body: bytes
    headers: Mapping[str, str]
    requested_at: float
    etag: str | None = None
    """The tag of the body, if the service gives the resource a version."""
    valid_seconds: float = math.inf
    """How long it holds from then on, at least: something in it changes by time."""

    @property
    def size(self) -> int:
        """The bytes that it counts for."""
        return len(self.body) + ENTRY_BYTES

    @property
    def is_error(self) -> bool:
        """Whether the service refused the request."""
        return headers.ERROR_CODE in self.headers


class _RunningFetch:
    """A fetch that is under way. Its future is made for the first request that joins."""

    __slots__ = ("reply", "started_at")

    def __init__(self, started_at: float) -> None:
        self.started_at = started_at
        self.reply: asyncio.Future[CachedReply] | None = None

    async def join(self) -> CachedReply:
        """Waits for the reply. Raises the failure that the fetch ends in."""
        if self.reply is None:
            self.reply = asyncio.get_running_loop().create_future()
        reply = await asyncio.shield(self.reply)
        if reply.is_error:
            raise Fail.from_json(reply.body)  # which names the request of the fetch: each request names itself
        return reply

    def end(self, outcome: CachedReply | Fail) -> None:
        """Passes the outcome to those who have joined."""
        if self.reply is None:
            return
        if isinstance(outcome, Fail):
            self.reply.set_exception(outcome)
            self.reply.exception()  # a client that joined may have gone
        else:
            self.reply.set_result(outcome)


class ReplyCache:
    """The public replies that one edge keeps, oldest first."""

    def __init__(
        self, settings: EdgeSettings, registry: CollectorRegistry, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._max_seconds = settings.edge_cache_seconds
        self._max_bytes = settings.edge_cache_bytes
        self._clock = clock
        self._replies: dict[CacheKey, CachedReply] = {}
        self.size_bytes = 0
        self._running: dict[CacheKey, _RunningFetch] = {}
        lookups = Counter("souk_edge_cache_total", "Look-ups of public replies.", ("result",), registry=registry)
        self._hits, self._joins, self._misses = (lookups.labels(result) for result in ("hit", "joined", "miss"))
        size = Gauge("souk_edge_cache_bytes", "Size of the public replies that are stored.", registry=registry)
        size.set_function(lambda: self.size_bytes)

    async def get(self, key: CacheKey, max_age: float, fetch: Fetch) -> tuple[CachedReply, float | None]:
        """Returns a reply, and its age in seconds; None for the age when this request has waited for it."""
        now = self._clock()
        fresh_seconds = min(max_age, self._max_seconds)
        if not fresh_seconds:
            return _create_reply(await fetch(), now), None
        stored = self._replies.get(key)
        age = now - stored.requested_at if stored is not None else math.inf
        if stored is not None and age < min(fresh_seconds, stored.valid_seconds):
            self._hits.inc()
            return stored, age
        running = self._running.get(key)
        if running is None or now - running.started_at >= JOIN_SECONDS:
            self._misses.inc()
            return await self._fetch(key, now, fetch), None
        if stored is not None and age < min(fresh_seconds + STALE_SECONDS, stored.valid_seconds):
            self._hits.inc()
            return stored, age
        self._joins.inc()
        return await running.join(), None

    async def _fetch(self, key: CacheKey, now: float, fetch: Fetch) -> CachedReply:
        running = self._running[key] = _RunningFetch(now)
        outcome: CachedReply | Fail = Unavailable(retry_after=1)
        try:
            outcome = _create_reply(await fetch(), now)
        except Fail as fail:
            outcome = fail
            raise
        finally:
            if self._running.get(key) is running:
                del self._running[key]
            running.end(outcome)
        if not outcome.is_error:
            self._keep(key, outcome)
        return outcome

    def _keep(self, key: CacheKey, reply: CachedReply) -> None:
        """Keeps a reply, unless a newer one is here, it is too large, or it came too late to be used again."""
        stored = self._replies.get(key)
        is_newest = stored is None or stored.requested_at < reply.requested_at
        if not is_newest or reply.size > self._max_bytes * MAX_ENTRY_SHARE:
            return
        if stored is not None:
            self._drop(key)
        self._replies[key] = reply
        self.size_bytes += reply.size
        expired_at = self._clock() - self._max_seconds - STALE_SECONDS
        while self._replies:
            oldest = next(iter(self._replies))
            if self.size_bytes <= self._max_bytes and self._replies[oldest].requested_at > expired_at:
                break
            self._drop(oldest)

    def _drop(self, key: CacheKey) -> None:
        self.size_bytes -= self._replies.pop(key).size


def _create_reply(reply: RawReply, requested_at: float) -> CachedReply:
    body, reply_headers = reply
    version = reply_headers.get(headers.VERSION)
    etag = format_etag(version, body) if version is not None else None
    valid_seconds = float(reply_headers.get(headers.VALID_SECONDS, math.inf))
    return CachedReply(body, reply_headers, requested_at, etag, valid_seconds)
