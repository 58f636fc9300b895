"""Machines: whose an API key is, asked of the user service and remembered for a moment.

A key goes no further than this process: the user service is asked by its digest. What is found is good for half a
minute, and longer while that service is away; a key that ends meanwhile stands on the board of ended sessions, as any
session does. Guesses are no use, and no load: what is no key by its form is not looked up, what was not found is not
looked up again at once, and one address has so many looks a minute.
"""

import asyncio
import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from contracts import headers
from contracts.failure import Fail, InvalidToken, TooManyRequests
from contracts.identity import Identity, Role
from contracts.ip_networks import client_network
from contracts.user import API_KEY_PATTERN, FIND_API_KEY, ApiKeyGrant, FindApiKey
from edge.auth.tokens import Caller
from edge.ratelimit.limiter import NANOSECONDS_PER_SECOND, GcraBuckets
from edge.upstream.client import UpstreamClient

FRESH_SECONDS = 30.0
"""Seconds until the user service is asked again."""
STALE_SECONDS = 300.0
"""Seconds for which its last word holds while it is away; a notice on the board stands for longer."""
UNKNOWN_KEY_SECONDS = 1.0
"""Seconds for which an unknown key is known to be none."""
MAX_CACHED_KEYS = 10_000
MAX_LOOKUPS, LOOKUP_WINDOW_SECONDS = 300, 60
"""Looks at the user service for keys from one address, in so many seconds."""

_FORM = re.compile(API_KEY_PATTERN)


@dataclass(frozen=True, slots=True)
class CachedLookup:
    """What the user service said of a key, and when; None, that there is no such key."""

    caller: Caller | None
    fetched_at: float

    def is_fresh(self, now: float) -> bool:
        return now - self.fetched_at < (FRESH_SECONDS if self.caller is not None else UNKNOWN_KEY_SECONDS)

    def is_usable_when_stale(self, now: float) -> bool:
        """Whether it is good enough while nobody can be asked."""
        return self.caller is not None and now - self.fetched_at < STALE_SECONDS


class ApiKeyAuthenticator:
    """Turns an API key into a caller."""

    def __init__(self, lines: UpstreamClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._lines = lines
        self._clock = clock
        self._looks = GcraBuckets(MAX_LOOKUPS, LOOKUP_WINDOW_SECONDS)
        self._cache: OrderedDict[bytes, CachedLookup] = OrderedDict()
        self._looking: dict[bytes, asyncio.Task[CachedLookup | Fail]] = {}

    async def authenticate(self, key: str, client_ip: str) -> Caller:
        """Who asks with a key, from an address."""
        if not _FORM.fullmatch(key):
            raise InvalidToken
        digest = hashlib.sha256(key.encode()).digest()
        found = self._cache.get(digest)
        if found is None or not found.is_fresh(self._clock()):
            found = await self._looked_up(digest, found, client_ip)
        if found.caller is None or found.caller.expires_at <= time.time():
            raise InvalidToken
        return found.caller

    async def _looked_up(self, digest: bytes, before: CachedLookup | None, client: str) -> CachedLookup:
        """One look for all who wait for it."""
        looking = self._looking.get(digest)
        if looking is None:
            self._count(client)
            looking = self._looking[digest] = asyncio.create_task(self._look(digest))
            looking.add_done_callback(lambda _: self._looking.pop(digest))
        found = await asyncio.shield(looking)
        if isinstance(found, CachedLookup):
            return found
        if before is not None and before.is_usable_when_stale(self._clock()):
            return before
        raise found

    def _count(self, client: str) -> None:
        allowance = self._looks.take(client_network(client), int(self._clock() * NANOSECONDS_PER_SECOND))
        if allowance.wait_seconds:
            raise TooManyRequests(retry_after=allowance.wait_seconds)

    async def _look(self, digest: bytes) -> CachedLookup | Fail:
        try:
            found = CachedLookup(await self._ask(digest), self._clock())
        except Fail as fail:
            return fail
        self._cache[digest] = found
        self._cache.move_to_end(digest)
        if len(self._cache) > MAX_CACHED_KEYS:
            self._cache.popitem(last=False)
        return found

    async def _ask(self, digest: bytes) -> Caller | None:
        asked = FindApiKey(digest=digest.hex())
        body, said = await self._lines.request(FIND_API_KEY, asked.model_dump_json().encode(), {})
        if headers.ERROR_CODE not in said:
            return _caller(ApiKeyGrant.model_validate_json(body, extra="ignore"))
        fail = Fail.from_json(body)
        if isinstance(fail, InvalidToken):
            return None
        raise fail


def _caller(key: ApiKeyGrant) -> Caller:
    identity = Identity(user_id=key.id, role=Role.ADMIN, session_id=key.id, scopes=tuple(key.scopes))
    expires = key.expires_at.timestamp() if key.expires_at is not None else float("inf")
    return Caller(identity, identity.model_dump_json(exclude_none=True), expires)
