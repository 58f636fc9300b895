"""API keys: how often the edge looks them up, and how soon it refuses a revoked one."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from contracts import headers
from contracts.failure import Fail, InvalidToken, TooManyRequests, Unavailable
from contracts.identity import ApiKeyScope, Identity, Role
from contracts.user import ApiKeyGrant
from edge.auth import api_keys
from edge.auth.api_keys import (
    FRESH_SECONDS,
    MAX_LOOKUPS,
    STALE_SECONDS,
    UNKNOWN_KEY_SECONDS,
    ApiKeyAuthenticator,
)
from infra.foundation.ids import new_id
from infra.messaging.topology import REVOKED_SESSIONS
from tests.edge.conftest import OpenEdge, StubServices
from tests.support.eventually import eventually
from tests.support.http import HttpClient

KEY = "souk_" + "k" * 43
MALFORMED_KEYS = [
    "souk_",
    "souk_short",
    KEY[:-1],
    KEY + "k",
    KEY[:-1] + "*",
    KEY[:-1] + "\u00e9",
    KEY + " " + KEY,
    KEY.replace("souk_", "SOUK_"),
    "souk_../../../../../../../../../../../../etc/passwd",
    "souk_' OR true --                              ",
    "souk_" + "k" * 4000,
]


def grant_of(*scopes: ApiKeyScope, expires_at: datetime | None = None) -> ApiKeyGrant:
    return ApiKeyGrant(id=new_id(), scopes=list(scopes), expires_at=expires_at)


def accept_key(services: StubServices, key: ApiKeyGrant) -> None:
    services.respond("user.find_api_key", key.model_dump_json().encode())


def refuse_key(services: StubServices) -> None:
    fail = InvalidToken()
    services.respond(
        "user.find_api_key", fail.to_json(), **{"Nats-Service-Error-Code": "401", headers.ERROR: fail.code}
    )


def count_lookups(services: StubServices) -> int:
    return sum(message.subject == "rpc.user.find_api_key" for message in services.requests)


class FakeUserService:
    """A user service that knows one key or none and counts lookups, with a clock that the test sets."""

    def __init__(self, key: ApiKeyGrant | None) -> None:
        self.key = key
        self.lookups = 0
        self.now = 1000.0
        self.is_unavailable = False
        self.authenticator = ApiKeyAuthenticator(cast("Any", self), lambda: self.now)

    async def request(self, *_args: Any) -> tuple[bytes, dict[str, str]]:
        self.lookups += 1
        await asyncio.sleep(0)
        if self.is_unavailable:
            raise Unavailable
        if self.key is None:
            return InvalidToken().to_json(), {headers.ERROR_CODE: "401"}
        return self.key.model_dump_json().encode(), {}

    async def identity(self, key: str = KEY, client: str = "192.0.2.1") -> Identity:
        return (await self.authenticator.authenticate(key, client)).identity

    async def assert_refused(self, kind: type[Fail], key: str = KEY, client: str = "192.0.2.1") -> None:
        with pytest.raises(kind):
            await self.authenticator.authenticate(key, client)


async def test_an_api_key_is_an_administrator_within_its_scopes() -> None:
    key = grant_of(ApiKeyScope.ORDER_READ)
    identity = await FakeUserService(key).identity()
    assert identity == Identity(user_id=key.id, session_id=key.id, role=Role.ADMIN, scopes=(ApiKeyScope.ORDER_READ,))


async def test_a_key_is_looked_up_again_only_when_its_cached_answer_is_stale() -> None:
    user_service = FakeUserService(grant_of(ApiKeyScope.ORDER_READ))
    for _ in range(3):
        await user_service.identity()
    assert user_service.lookups == 1
    user_service.now += FRESH_SECONDS + 1
    await user_service.identity()
    assert user_service.lookups == 2


async def test_concurrent_requests_share_one_lookup() -> None:
    user_service = FakeUserService(grant_of(ApiKeyScope.ORDER_READ))
    assert len({str(identity) for identity in await asyncio.gather(*(user_service.identity() for _ in range(50)))}) == 1
    assert user_service.lookups == 1


async def test_an_unknown_key_is_not_looked_up_again_at_once() -> None:
    user_service = FakeUserService(None)
    for _ in range(3):
        await user_service.assert_refused(InvalidToken)
    assert user_service.lookups == 1
    user_service.now += UNKNOWN_KEY_SECONDS + 0.1
    user_service.key = grant_of(ApiKeyScope.ORDER_READ)
    assert (await user_service.identity()).user_id == user_service.key.id


@pytest.mark.parametrize("key", MALFORMED_KEYS)
async def test_text_without_the_form_of_a_key_is_not_looked_up(key: str) -> None:
    user_service = FakeUserService(grant_of(ApiKeyScope.ORDER_READ))
    await user_service.assert_refused(InvalidToken, key)
    assert user_service.lookups == 0


async def test_lookups_are_limited_by_address() -> None:
    user_service = FakeUserService(None)
    for number in range(MAX_LOOKUPS):
        await user_service.assert_refused(InvalidToken, f"souk_{number:043}")
    await user_service.assert_refused(TooManyRequests, f"souk_{MAX_LOOKUPS:043}")
    assert user_service.lookups == MAX_LOOKUPS
    await user_service.assert_refused(InvalidToken, f"souk_{MAX_LOOKUPS:043}", client="198.51.100.1")


async def test_the_cache_of_keys_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_keys, "MAX_CACHED_KEYS", 100)
    user_service = FakeUserService(None)
    for number in range(110):
        await user_service.assert_refused(InvalidToken, f"souk_{number:043}", client=f"10.0.0.{number}")
    assert len(user_service.authenticator._cache) == 100


async def test_a_cached_key_stays_valid_while_the_user_service_is_unavailable() -> None:
    user_service = FakeUserService(grant_of(ApiKeyScope.ORDER_READ))
    first = await user_service.identity()
    user_service.is_unavailable = True
    user_service.now += FRESH_SECONDS + 1
    assert await user_service.identity() == first
    user_service.now += STALE_SECONDS
    await user_service.assert_refused(Unavailable)
    await user_service.assert_refused(Unavailable, "souk_" + "x" * 43)


async def test_a_stale_answer_expires_before_a_revocation_does() -> None:
    assert FRESH_SECONDS < STALE_SECONDS < REVOKED_SESSIONS.ttl_seconds


async def test_a_cached_key_is_refused_when_it_expires() -> None:
    user_service = FakeUserService(
        grant_of(ApiKeyScope.ORDER_READ, expires_at=datetime.now(UTC) + timedelta(seconds=0.2))
    )
    await user_service.identity()
    user_service.key = None

    async def expired() -> bool:
        try:
            await user_service.identity()
        except InvalidToken:
            return True
        return False

    await eventually(expired)
    assert user_service.lookups == 1


async def test_services_receive_the_identity_and_never_the_key(edge: HttpClient, services: StubServices) -> None:
    key = grant_of(ApiKeyScope.ORDER_READ)
    accept_key(services, key)
    assert (await edge.with_token(KEY).get("/orders")).status == 200
    identity = Identity.model_validate_json(services.last_request.headers[headers.IDENTITY])
    assert (identity.user_id, identity.session_id, identity.scopes) == (key.id, key.id, (ApiKeyScope.ORDER_READ,))
    for message in services.requests:
        assert KEY.encode() not in message.data
        assert KEY not in str(message.headers)


async def test_no_service_is_called_without_the_scope(edge: HttpClient, services: StubServices) -> None:
    accept_key(services, grant_of(ApiKeyScope.ORDER_READ))
    for path in ("/inventory", "/payments"):
        response = await edge.with_token(KEY).get(path)
        assert (response.status, response.code) == (403, "scope_missing")
    for path in ("/users/profile", "/api-keys", "/carts/mine"):
        response = await edge.with_token(KEY).get(path)
        assert (response.status, response.code) == (403, "forbidden")
    assert (await edge.with_token(KEY).post("/orders", {})).code == "forbidden"
    assert {message.subject for message in services.requests} == {"rpc.user.find_api_key"}
    assert count_lookups(services) == 1


async def test_an_unknown_key_is_refused_like_an_invalid_token(edge: HttpClient, services: StubServices) -> None:
    refuse_key(services)
    for key in (KEY, "souk_short", f"{KEY}\u00e9"):
        response = await edge.with_token(key).get("/orders")
        assert (response.status, response.code) == (401, "invalid_token")
        assert 'error="invalid_token"' in response.headers["WWW-Authenticate"]
    assert count_lookups(services) == 1


async def test_a_key_of_a_megabyte_is_refused(edge: HttpClient, services: StubServices) -> None:
    assert (await edge.with_token("souk_" + "k" * 1_000_000).get("/orders")).status in {400, 401, 431}
    assert not services.requests


async def test_a_revoked_key_is_refused_on_two_edges(open_edge: OpenEdge, services: StubServices) -> None:
    """The revocation takes effect long before the next lookup."""
    key = grant_of(ApiKeyScope.ORDER_READ)
    accept_key(services, key)
    edges = [(await open_edge()).http.with_token(KEY) for _ in range(2)]
    assert [(await http.get("/orders")).status for http in edges] == [200, 200]
    started = time.perf_counter()
    await services.client.jetstream().publish(
        REVOKED_SESSIONS.subject_for(key.id), b"", stream=REVOKED_SESSIONS.stream_name
    )

    async def refused() -> bool:
        return [(await http.get("/orders")).status for http in edges] == [401, 401]

    await eventually(refused)
    assert time.perf_counter() - started < FRESH_SECONDS / 2
    assert count_lookups(services) == 2
