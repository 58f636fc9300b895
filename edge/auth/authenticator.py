"""Authenticates requests by their Authorization header: access tokens (verified as RFC 8725 says) and API keys.

The signature algorithm is pinned here and never read from the token. Public keys come from the user service by key id.
Checking a signature costs more than the rest of a request, so a token that was valid is remembered by its digest until
it expires.
"""

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import UUID

import jwt

from contracts.failure import Fail, InvalidToken, Unavailable
from contracts.identity import Identity, Role
from contracts.user import ACCESS_TOKEN_TYPE, API_KEY_PREFIX, TOKEN_ALGORITHM, TOKEN_AUDIENCE, TOKEN_ISSUER, Jwks
from edge.auth.revocations import RevokedSessions
from edge.caller import Caller, create_caller
from infra.foundation.telemetry import get_logger

MAX_TOKEN_LENGTH = 4096
MAX_CACHED_TOKENS = 50_000
REFETCH_PAUSE_SECONDS = 3.0
"""Time between two fetches for an unknown key id."""
KEYS_STALE_SECONDS = 300.0
"""Time after which known keys are fetched again."""
_BEARER = "bearer "

log = get_logger("souk.tokens")

AuthenticateApiKey = Callable[[str, str], Awaitable[Caller]]
"""Returns the caller of an API key that comes from a client address."""


class JwksCache:
    """The user service's public keys: fetched at first use, for an unknown key id, and when they are stale."""

    def __init__(self, fetch: Callable[[], Awaitable[Jwks]], clock: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._clock = clock
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._fetched_at = self._tried_at = float("-inf")
        self._lock = asyncio.Lock()

    async def get(self, kid: str) -> jwt.PyJWK | None:
        """Returns the key with an id; None when there is no such key. Known keys stay valid while the user service is
        unavailable. An unknown key raises Unavailable then, because the token may be good.
        """
        now = self._clock()
        needs_fetch = now - self._fetched_at > KEYS_STALE_SECONDS or kid not in self._keys
        if needs_fetch and now - self._tried_at > REFETCH_PAUSE_SECONDS:
            await self._refresh(self._tried_at)
        key = self._keys.get(kid)
        if key is None and self._tried_at != self._fetched_at:
            raise Unavailable(retry_after=REFETCH_PAUSE_SECONDS)
        return key

    async def _refresh(self, last_tried_at: float) -> None:
        """Shares one fetch between all requests that wait for it."""
        async with self._lock:
            if self._tried_at != last_tried_at:
                return
            try:
                jwks = await self._fetch()
            except Fail as fail:
                log.warning("public keys not fetched: %s", fail.code)
                self._tried_at = self._clock()
                return
            self._keys = {key["kid"]: jwt.PyJWK(key, TOKEN_ALGORITHM) for key in jwks.keys if _is_signing_key(key)}
            self._fetched_at = self._tried_at = self._clock()


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
        self._revoked_sessions = revoked_sessions
        self._authenticate_api_key = authenticate_api_key
        self._verified: OrderedDict[bytes, Caller] = OrderedDict()

    async def authenticate(self, authorization: str | None, client_ip: str = "") -> Caller | None:
        """Returns the caller; None without a header. A token that is sent must be valid, on public routes too."""
        if authorization is None:
            return None
        token = authorization[len(_BEARER) :].strip()
        if authorization[: len(_BEARER)].lower() != _BEARER or not 0 < len(token) <= MAX_TOKEN_LENGTH:
            raise InvalidToken
        if self._authenticate_api_key is not None and token.startswith(API_KEY_PREFIX):
            caller = await self._authenticate_api_key(token, client_ip)
        else:
            caller = await self._authenticate_access_token(token)
        await self.require_active(caller)
        return caller

    async def require_active(self, caller: Caller) -> None:
        """Refuses every token of a revoked session at once, however long the token would still be valid."""
        if self._revoked_sessions is None:
            return
        if not self._revoked_sessions.is_current:
            await self._revoked_sessions.refresh()
        if caller.identity.session_id in self._revoked_sessions:
            raise InvalidToken

    async def _authenticate_access_token(self, token: str) -> Caller:
        digest = hashlib.sha256(token.encode(errors="replace")).digest()
        caller = self._verified.get(digest)
        if caller is None or caller.expires_at <= self._clock():
            caller = await self._verify(token)
            self._remember(digest, caller)
        return caller

    async def _verify(self, token: str) -> Caller:
        try:
            header = jwt.get_unverified_header(token)
            key = await self._keys.get(str(header.get("kid"))) if header.get("alg") == TOKEN_ALGORITHM else None
            if key is None:
                raise InvalidToken
            claims = _verify_claims(token, key)
            session_id = UUID(claims["sid"]) if "sid" in claims else None
            identity = Identity(user_id=UUID(claims["sub"]), role=Role(claims["role"]), session_id=session_id)
        except (jwt.PyJWTError, ValueError, TypeError, AttributeError):
            raise InvalidToken from None
        return create_caller(identity, float(claims["exp"]))

    def _remember(self, digest: bytes, caller: Caller) -> None:
        self._verified[digest] = caller
        if len(self._verified) > MAX_CACHED_TOKENS:
            self._verified.popitem(last=False)


def _is_signing_key(key: Mapping[str, Any]) -> bool:
    return key.get("kty") == "RSA" and key.get("use", "sig") == "sig" and isinstance(key.get("kid"), str)


def _verify_claims(token: str, key: jwt.PyJWK) -> dict[str, Any]:
    """Returns a token's claims after its signature, issuer, audience, type and expiry are verified."""
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
