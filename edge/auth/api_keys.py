"""Authenticates machines by API key. The user service knows the keys; its answers are cached for half a minute.

A key never leaves this process: the user service is asked by the key's digest. While that service is unavailable a
cached answer stays valid for longer. A key that is revoked meanwhile appears among the revoked sessions, as any session
does. Guessing keys neither works nor causes load: text that does not have a key's form is not looked up, an unknown key
is not looked up again at once, and lookups are limited by address.
"""

import asyncio
import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from contracts import headers
from contracts.client_networks import client_network
from contracts.failure import Fail, InvalidToken, TooManyRequests
from contracts.identity import Identity, Role
from contracts.user import API_KEY_PATTERN, FIND_API_KEY, ApiKeyGrant, FindApiKey
from edge.caller import Caller, create_caller
from edge.ratelimit.limiter import NANOSECONDS_PER_SECOND, GcraBuckets
from edge.upstream.client import UpstreamClient

FRESH_SECONDS = 30.0
"""How long a found key is used before the user service is asked again."""
STALE_SECONDS = 300.0
"""How long it is used while the user service is unavailable; shorter than a revocation is kept."""
UNKNOWN_KEY_SECONDS = 1.0
"""How long an unknown key is refused without a lookup."""
MAX_CACHED_KEYS = 10_000
MAX_LOOKUPS, LOOKUP_WINDOW_SECONDS = 300, 60
"""Lookups that one address may cause in a window."""

_PATTERN = re.compile(API_KEY_PATTERN)


@dataclass(frozen=True, slots=True)
class CachedLookup:
    """What the user service said about a key. `caller` is None when it does not know the key."""

    caller: Caller | None
    fetched_at: float

    def is_fresh(self, now: float) -> bool:
        """Whether the answer can be used without asking again."""
        return now - self.fetched_at < (FRESH_SECONDS if self.caller is not None else UNKNOWN_KEY_SECONDS)

    def is_usable_when_stale(self, now: float) -> bool:
        """Whether the answer can be used while the user service is unavailable."""
        return self.caller is not None and now - self.fetched_at < STALE_SECONDS


class ApiKeyAuthenticator:
    """Turns an API key into a caller."""

    def __init__(self, upstream: UpstreamClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._upstream = upstream
        self._clock = clock
        self._lookups = GcraBuckets(MAX_LOOKUPS, LOOKUP_WINDOW_SECONDS)
        self._cache: OrderedDict[bytes, CachedLookup] = OrderedDict()
        self._running: dict[bytes, asyncio.Task[CachedLookup | Fail]] = {}

    async def authenticate(self, key: str, client_ip: str) -> Caller:
        """Returns the key's caller. Raises InvalidToken for a key that is unknown or expired."""
        if not _PATTERN.fullmatch(key):
            raise InvalidToken
        digest = hashlib.sha256(key.encode()).digest()
        lookup = self._cache.get(digest)
        if lookup is None or not lookup.is_fresh(self._clock()):
            lookup = await self._look_up(digest, lookup, client_ip)
        if lookup.caller is None or lookup.caller.expires_at <= time.time():
            raise InvalidToken
        return lookup.caller

    async def _look_up(self, digest: bytes, cached: CachedLookup | None, client_ip: str) -> CachedLookup:
        """Shares one lookup between all requests that wait for the same key."""
        running = self._running.get(digest)
        if running is None:
            self._limit_lookups(client_ip)
            running = self._running[digest] = asyncio.create_task(self._fetch(digest))
            running.add_done_callback(lambda _: self._running.pop(digest))
        result = await asyncio.shield(running)
        if isinstance(result, CachedLookup):
            return result
        if cached is not None and cached.is_usable_when_stale(self._clock()):
            return cached
        raise result

    def _limit_lookups(self, client_ip: str) -> None:
        now = int(self._clock() * NANOSECONDS_PER_SECOND)
        allowance = self._lookups.take(client_network(client_ip), now)
        if allowance.is_refused:
            raise TooManyRequests(retry_after=allowance.wait_seconds)

    async def _fetch(self, digest: bytes) -> CachedLookup | Fail:
        try:
            lookup = CachedLookup(await self._find_caller(digest), self._clock())
        except Fail as fail:
            return fail
        self._cache[digest] = lookup
        self._cache.move_to_end(digest)
        if len(self._cache) > MAX_CACHED_KEYS:
            self._cache.popitem(last=False)
        return lookup

    async def _find_caller(self, digest: bytes) -> Caller | None:
        payload = FindApiKey(digest=digest.hex()).model_dump_json().encode()
        body, reply_headers = await self._upstream.request(FIND_API_KEY, payload, {})
        if headers.ERROR_CODE not in reply_headers:
            return _caller_of(ApiKeyGrant.model_validate_json(body, extra="ignore"))
        fail = Fail.from_json(body)
        if isinstance(fail, InvalidToken):
            return None
        raise fail


def _caller_of(key: ApiKeyGrant) -> Caller:
    identity = Identity(user_id=key.id, role=Role.ADMIN, session_id=key.id, scopes=tuple(key.scopes))
    return create_caller(identity, key.expires_at.timestamp() if key.expires_at is not None else float("inf"))
