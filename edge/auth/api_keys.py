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
from contracts.ip_networks import neighbourhood
from contracts.user import FIND_API_KEY, KEY_FORM, ApiKeyWithDigest, KnownApiKey
from edge.auth.tokens import Caller
from edge.ratelimit.limiter import SECOND, Meter
from edge.upstream.client import Lines

FRESH = 30.0
"""Seconds until the user service is asked again."""
KEPT = 300.0
"""Seconds for which its last word holds while it is away; a notice on the board stands for longer."""
UNKNOWN = 1.0
"""Seconds for which an unknown key is known to be none."""
REMEMBERED = 10_000
LOOKS, WINDOW = 300, 60
"""Looks at the user service for keys from one address, in so many seconds."""

_FORM = re.compile(KEY_FORM)


@dataclass(frozen=True, slots=True)
class Found:
    """What the user service said of a key, and when; None, that there is no such key."""

    caller: Caller | None
    at: float

    def holds(self, now: float) -> bool:
        return now - self.at < (FRESH if self.caller is not None else UNKNOWN)

    def holds_alone(self, now: float) -> bool:
        """Whether it is good enough while nobody can be asked."""
        return self.caller is not None and now - self.at < KEPT


class ApiKeys:
    """Turns an API key into a caller."""

    def __init__(self, lines: Lines, clock: Callable[[], float] = time.monotonic) -> None:
        self._lines = lines
        self._clock = clock
        self._looks = Meter(LOOKS, WINDOW)
        self._found: OrderedDict[bytes, Found] = OrderedDict()
        self._looking: dict[bytes, asyncio.Task[Found | Fail]] = {}

    async def caller(self, key: str, client: str) -> Caller:
        """Who asks with a key, from an address."""
        if not _FORM.fullmatch(key):
            raise InvalidToken
        digest = hashlib.sha256(key.encode()).digest()
        found = self._found.get(digest)
        if found is None or not found.holds(self._clock()):
            found = await self._looked_up(digest, found, client)
        if found.caller is None or found.caller.expires <= time.time():
            raise InvalidToken
        return found.caller

    async def _looked_up(self, digest: bytes, before: Found | None, client: str) -> Found:
        """One look for all who wait for it."""
        looking = self._looking.get(digest)
        if looking is None:
            self._count(client)
            looking = self._looking[digest] = asyncio.create_task(self._look(digest))
            looking.add_done_callback(lambda _: self._looking.pop(digest))
        found = await asyncio.shield(looking)
        if isinstance(found, Found):
            return found
        if before is not None and before.holds_alone(self._clock()):
            return before
        raise found

    def _count(self, client: str) -> None:
        allowance = self._looks.take(neighbourhood(client), int(self._clock() * SECOND))
        if allowance.wait:
            raise TooManyRequests(retry_after=allowance.wait)

    async def _look(self, digest: bytes) -> Found | Fail:
        try:
            found = Found(await self._ask(digest), self._clock())
        except Fail as fail:
            return fail
        self._found[digest] = found
        self._found.move_to_end(digest)
        if len(self._found) > REMEMBERED:
            self._found.popitem(last=False)
        return found

    async def _ask(self, digest: bytes) -> Caller | None:
        asked = ApiKeyWithDigest(digest=digest.hex())
        body, said = await self._lines.ask(FIND_API_KEY, asked.model_dump_json().encode(), {})
        if headers.ERROR_CODE not in said:
            return _caller(KnownApiKey.model_validate_json(body, extra="ignore"))
        fail = Fail.from_body(body)
        if isinstance(fail, InvalidToken):
            return None
        raise fail


def _caller(key: KnownApiKey) -> Caller:
    identity = Identity(user_id=key.id, role=Role.ADMIN, session_id=key.id, scopes=tuple(key.scopes))
    expires = key.expires_at.timestamp() if key.expires_at is not None else float("inf")
    return Caller(identity, identity.model_dump_json(exclude_none=True), expires)
