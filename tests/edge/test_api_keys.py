"""Machines with API keys: how often the user service is asked whose they are, and how soon one that ends is refused."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from contracts import headers
from contracts.failure import Fail, InvalidToken, TooManyRequests, Unavailable
from contracts.identity import ApiKeyScope, Identity, Role
from contracts.user import ApiKeyGrant
from edge.auth.api_keys import (
    FRESH_SECONDS,
    MAX_CACHED_KEYS,
    MAX_LOOKUPS,
    STALE_SECONDS,
    UNKNOWN_KEY_SECONDS,
    ApiKeyAuthenticator,
)
from infra.foundation.ids import new_id
from infra.messaging.topology import REVOKED_SESSIONS
from tests.edge.conftest import StubServices
from tests.support.eventually import eventually
from tests.support.http import HttpClient

KEY = "souk_" + "k" * 43
MALFORMED = [
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


def known(*scopes: ApiKeyScope, expires_at: datetime | None = None) -> ApiKeyGrant:
    return ApiKeyGrant(id=new_id(), scopes=list(scopes), expires_at=expires_at)


def answer(backs: StubServices, key: ApiKeyGrant) -> None:
    backs.respond("user.find_api_key", key.model_dump_json().encode())


def refuse(backs: StubServices) -> None:
    fail = InvalidToken()
    backs.respond("user.find_api_key", fail.to_json(), **{"Nats-Service-Error-Code": "401", headers.ERROR: fail.code})


def looks(backs: StubServices) -> int:
    return sum(message.subject == "rpc.user.find_api_key" for message in backs.requests)


class Looking:
    """A user service that knows one key, or none, and counts; and a clock that a test sets."""

    def __init__(self, key: ApiKeyGrant | None) -> None:
        self.key = key
        self.times = 0
        self.now = 1000.0
        self.away = False
        self.keys = ApiKeyAuthenticator(cast("Any", self), lambda: self.now)

    async def ask(self, *_said: Any) -> tuple[bytes, dict[str, str]]:
        self.times += 1
        await asyncio.sleep(0)
        if self.away:
            raise Unavailable
        if self.key is None:
            return InvalidToken().to_json(), {headers.ERROR_CODE: "401"}
        return self.key.model_dump_json().encode(), {}

    async def identity(self, key: str = KEY, client: str = "192.0.2.1") -> Identity:
        return (await self.keys.authenticate(key, client)).identity

    async def refused(self, kind: type[Fail], key: str = KEY, client: str = "192.0.2.1") -> None:
        with pytest.raises(kind):
            await self.keys.authenticate(key, client)


async def test_a_machine_is_an_administrator_within_its_scopes() -> None:
    key = known(ApiKeyScope.ORDER_READ)
    found = await Looking(key).identity()
    assert found == Identity(user_id=key.id, session_id=key.id, role=Role.ADMIN, scopes=(ApiKeyScope.ORDER_READ,))


async def test_a_key_is_looked_up_once_in_a_while() -> None:
    shop = Looking(known(ApiKeyScope.ORDER_READ))
    for _ in range(3):
        await shop.identity()
    assert shop.times == 1
    shop.now += FRESH_SECONDS + 1
    await shop.identity()
    assert shop.times == 2


async def test_many_at_once_wait_for_one_look() -> None:
    shop = Looking(known(ApiKeyScope.ORDER_READ))
    assert len({str(one) for one in await asyncio.gather(*(shop.identity() for _ in range(50)))}) == 1
    assert shop.times == 1


async def test_an_unknown_key_is_not_looked_up_again_at_once() -> None:
    shop = Looking(None)
    for _ in range(3):
        await shop.refused(InvalidToken)
    assert shop.times == 1
    shop.now += UNKNOWN_KEY_SECONDS + 0.1
    shop.key = known(ApiKeyScope.ORDER_READ)
    assert (await shop.identity()).user_id == shop.key.id


@pytest.mark.parametrize("key", MALFORMED)
async def test_what_is_no_key_is_not_looked_up(key: str) -> None:
    shop = Looking(known(ApiKeyScope.ORDER_READ))
    await shop.refused(InvalidToken, key)
    assert shop.times == 0


async def test_guesses_from_one_address_come_to_an_end() -> None:
    shop = Looking(None)
    for number in range(MAX_LOOKUPS):
        await shop.refused(InvalidToken, f"souk_{number:043}")
    await shop.refused(TooManyRequests, f"souk_{MAX_LOOKUPS:043}")
    assert shop.times == MAX_LOOKUPS
    await shop.refused(InvalidToken, f"souk_{MAX_LOOKUPS:043}", client="198.51.100.1")


async def test_no_more_keys_are_remembered_than_there_is_room_for() -> None:
    shop = Looking(None)
    for number in range(MAX_CACHED_KEYS + 10):
        await shop.refused(
            InvalidToken, f"souk_{number:043}", client=f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        )
    assert len(shop.keys._cache) == MAX_CACHED_KEYS


async def test_a_known_key_holds_for_a_while_when_nobody_can_be_asked() -> None:
    shop = Looking(known(ApiKeyScope.ORDER_READ))
    first = await shop.identity()
    shop.away = True
    shop.now += FRESH_SECONDS + 1
    assert await shop.identity() == first
    shop.now += STALE_SECONDS
    await shop.refused(Unavailable)
    await shop.refused(Unavailable, "souk_" + "x" * 43)


async def test_a_last_word_holds_for_less_than_a_notice_stands() -> None:
    assert FRESH_SECONDS < STALE_SECONDS < REVOKED_SESSIONS.ttl_seconds


async def test_a_key_that_expires_meanwhile_is_refused() -> None:
    shop = Looking(known(ApiKeyScope.ORDER_READ, expires_at=datetime.now(UTC) + timedelta(seconds=0.2)))
    await shop.identity()
    shop.key = None

    async def expired() -> bool:
        try:
            await shop.identity()
        except InvalidToken:
            return True
        return False

    await eventually(expired)
    assert shop.times == 1


async def test_the_services_are_told_whose_key_it_is_and_never_the_key(edge: HttpClient, backs: StubServices) -> None:
    key = known(ApiKeyScope.ORDER_READ)
    answer(backs, key)
    assert (await edge.with_token(KEY).get("/orders")).status == 200
    said = Identity.model_validate_json(backs.last_request.headers[headers.IDENTITY])
    assert (said.user_id, said.session_id, said.scopes) == (key.id, key.id, (ApiKeyScope.ORDER_READ,))
    for message in backs.requests:
        assert KEY.encode() not in message.data
        assert KEY not in str(message.headers)


async def test_without_the_scope_no_service_is_asked(edge: HttpClient, backs: StubServices) -> None:
    answer(backs, known(ApiKeyScope.ORDER_READ))
    for path in ("/inventory", "/payments"):
        answered = await edge.with_token(KEY).get(path)
        assert (answered.status, answered.code) == (403, "scope_missing")
    for path in ("/users/profile", "/api-keys", "/carts/mine"):
        answered = await edge.with_token(KEY).get(path)
        assert (answered.status, answered.code) == (403, "forbidden")
    assert (await edge.with_token(KEY).post("/orders", {})).code == "forbidden"
    assert {message.subject for message in backs.requests} == {"rpc.user.find_api_key"}
    assert looks(backs) == 1


async def test_an_unknown_key_is_told_like_a_token(edge: HttpClient, backs: StubServices) -> None:
    refuse(backs)
    for key in (KEY, "souk_short", f"{KEY}\u00e9"):
        answered = await edge.with_token(key).get("/orders")
        assert (answered.status, answered.code) == (401, "invalid_token")
        assert 'error="invalid_token"' in answered.headers["WWW-Authenticate"]
    assert looks(backs) == 1


async def test_a_key_of_a_megabyte_is_too_long_to_be_read(edge: HttpClient, backs: StubServices) -> None:
    assert (await edge.with_token("souk_" + "k" * 1_000_000).get("/orders")).status in {400, 401, 431}
    assert not backs.requests


async def test_a_revoked_key_is_refused_on_two_edges(open_edge: Callable[..., Any], backs: StubServices) -> None:
    """Long before it would be looked up again."""
    key = known(ApiKeyScope.ORDER_READ)
    answer(backs, key)
    edges = [(await open_edge()).http.as_(KEY) for _ in range(2)]
    assert [(await http.get("/orders")).status for http in edges] == [200, 200]
    started = time.perf_counter()
    await backs.client.jetstream().publish(
        REVOKED_SESSIONS.subject_for(key.id), b"", stream=REVOKED_SESSIONS.stream_name
    )

    async def refused() -> bool:
        return [(await http.get("/orders")).status for http in edges] == [401, 401]

    await eventually(refused)
    assert time.perf_counter() - started < FRESH_SECONDS / 2
    assert looks(backs) == 2
