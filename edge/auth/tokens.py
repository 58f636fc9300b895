"""Who is asking: access tokens, verified as RFC 8725 says, and remembered until they expire.

One algorithm, pinned here and never read from the token; keys come from the user service by key id. A signature costs
more to check than the whole rest of a request, so a token that was found good is known by its digest. A machine brings
an API key instead.
"""

import asyncio
import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import jwt

from contracts.failure import Fail, InvalidToken, Unavailable
from contracts.identity import Identity, Role
from contracts.user import ACCESS_TOKEN_TYPE, API_KEY_PREFIX, TOKEN_ALGORITHM, TOKEN_AUDIENCE, TOKEN_ISSUER, Jwks
from edge.auth.revocations import RevokedSessions

MAX_TOKEN_LENGTH = 4096
MAX_CACHED_TOKENS = 50_000
REFETCH_PAUSE_SECONDS = 3.0
"""Seconds between two looks for a key that was not there."""
KEYS_STALE_SECONDS = 300.0
_BEARER = "bearer "

log = logging.getLogger("souk.tokens")


@dataclass(frozen=True, slots=True)
class Caller:
    """An identity, and the header it travels in."""

    identity: Identity
    identity_header: str
    expires_at: float


AuthenticateApiKey = Callable[[str, str], Awaitable[Caller]]
"""Whose an API key is that somebody brings from an address."""


class JwksCache:
    """The public keys, fetched when first needed, when an unknown one is named, and now and then."""

    def __init__(self, fetch: Callable[[], Awaitable[Jwks]], clock: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._clock = clock
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._fetched = self._tried = float("-inf")
        self._lock = asyncio.Lock()

    async def get(self, kid: str) -> jwt.PyJWK | None:
        """Keys that are known hold while the user service is away; without it, an unknown one is nobody's fault."""
        now = self._clock()
        wanted = now - self._fetched > KEYS_STALE_SECONDS or kid not in self._keys
        if wanted and now - self._tried > REFETCH_PAUSE_SECONDS:
            await self._refresh(self._tried)
        key = self._keys.get(kid)
        if key is None and self._tried != self._fetched:
            raise Unavailable(retry_after=REFETCH_PAUSE_SECONDS)
        return key

    async def _refresh(self, seen: float) -> None:
        """One look for all who wait for it."""
        async with self._lock:
            if self._tried != seen:
                return
            try:
                found = await self._fetch()
            except Fail as fail:
                log.warning("no keys from the user service: %s", fail.code)
                self._tried = self._clock()
                return
            self._keys = {key["kid"]: jwt.PyJWK(key, TOKEN_ALGORITHM) for key in found.keys if _signs(key)}
            self._fetched = self._tried = self._clock()


class Authenticator:
    """Turns an Authorization header into a caller."""

    def __init__(
        self,
        keys: JwksCache,
        clock: Callable[[], float] = time.time,
        revoked_sessions: RevokedSessions | None = None,
        authenticate_api_key: AuthenticateApiKey | None = None,
    ) -> None:
        self._keys = keys
        self._clock = clock
        self._ended = revoked_sessions
        self._of_key = authenticate_api_key
        self._known: OrderedDict[bytes, Caller] = OrderedDict()

    async def authenticate(self, authorization: str | None, client_ip: str = "") -> Caller | None:
        """None without a token. One that is presented has to be good, wherever it is presented."""
        if authorization is None:
            return None
        token = authorization[len(_BEARER) :].strip()
        if authorization[: len(_BEARER)].lower() != _BEARER or not 0 < len(token) <= MAX_TOKEN_LENGTH:
            raise InvalidToken
        if self._of_key is not None and token.startswith(API_KEY_PREFIX):
            caller = await self._of_key(token, client_ip)
        else:
            caller = await self._of_token(token)
        if self._ended is not None:
            await self._refuse_ended(self._ended, caller)
        return caller

    async def _of_token(self, token: str) -> Caller:
        digest = hashlib.sha256(token.encode(errors="replace")).digest()
        caller = self._known.get(digest)
        if caller is None or caller.expires_at <= self._clock():
            caller = await self._verified(token)
            self._remember(digest, caller)
        return caller

    async def _refuse_ended(self, ended: RevokedSessions, caller: Caller) -> None:
        """A session ends for all its tokens at once, however long they would still be good, and so does an API key."""
        if not ended.is_current:
            await ended.refresh()
        if caller.identity.session_id in ended:
            raise InvalidToken

    async def _verified(self, token: str) -> Caller:
        try:
            header = jwt.get_unverified_header(token)
            key = await self._keys.get(str(header.get("kid"))) if header.get("alg") == TOKEN_ALGORITHM else None
            if key is None:
                raise InvalidToken
            claims = _claims(token, key)
            session = UUID(claims["sid"]) if "sid" in claims else None
            identity = Identity(user_id=UUID(claims["sub"]), role=Role(claims["role"]), session_id=session)
        except (jwt.PyJWTError, ValueError, TypeError, AttributeError):
            raise InvalidToken from None
        return Caller(identity, identity.model_dump_json(exclude_none=True), float(claims["exp"]))

    def _remember(self, digest: bytes, caller: Caller) -> None:
        self._known[digest] = caller
        if len(self._known) > MAX_CACHED_TOKENS:
            self._known.popitem(last=False)


def _signs(key: Mapping[str, Any]) -> bool:
    return key.get("kty") == "RSA" and key.get("use", "sig") == "sig" and isinstance(key.get("kid"), str)


def _claims(token: str, key: jwt.PyJWK) -> dict[str, Any]:
    """What a token says, once its signature, issuer, audience, kind and expiry are found right."""
    claims = jwt.decode(
        token,
        key,
        algorithms=[TOKEN_ALGORITHM],
        audience=TOKEN_AUDIENCE,
        issuer=TOKEN_ISSUER,
        options={"require": ["exp", "sub", "role", "typ"], "strict_aud": True, "verify_iat": False},
    )
    if claims["typ"] != ACCESS_TOKEN_TYPE:
        raise InvalidToken
    return claims
