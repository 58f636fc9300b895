"""How much anybody may ask for: counted exactly, forgotten in time, and by all edges together."""

import asyncio
import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from contracts import headers
from contracts.catalog import OutOfStock
from contracts.failure import TooManyRequests
from contracts.identity import Identity, Role
from contracts.user import TooManyAttempts
from edge.auth.tokens import Caller
from edge.ratelimit.limiter import (
    MAX_BUCKETS,
    MAX_DEBT_FACTOR,
    MAX_PENDING,
    NANOSECONDS_PER_SECOND,
    GcraBuckets,
    RateLimiter,
)
from edge.ratelimit.policies import LOGIN, ORDINARY, RateLimitPolicy
from edge.ratelimit.sync import CounterSync
from edge.request_context import RequestContext
from edge.routes import all_routes
from edge.settings import EdgeSettings
from infra.foundation.ids import new_id
from infra.ops.devstack.stack import Stack
from tests.edge.conftest import StubServices
from tests.edge.token_signing import TokenSigner
from tests.support.eventually import eventually
from tests.support.http import HttpClient, HttpResponse

OpenEdge = Callable[..., Any]
SIX = 0.02
"""By this, six logins of an address come through."""
COSTLY = {
    "POST /api/v1/auth/register": "register",
    "POST /api/v1/auth/login": "login",
    "POST /api/v1/auth/password/forgot": "mail",
    "POST /api/v1/auth/password/reset": "login",
    "POST /api/v1/auth/email/verify": "proof",
    "PUT /api/v1/users/profile/password": "login",
    "POST /api/v1/users/profile/email/verification": "mail",
    "GET /api/v1/users/profile/export": "export",
    "GET /api/v1/products/search": "search",
    "GET /api/v1/products/suggest": "search",
    "POST /api/v1/products/import": "import",
    "POST /api/v1/products/{id}/images": "image",
}


class Clock:
    """Nanoseconds, as a test says."""

    def __init__(self) -> None:
        self.at = 1000 * NANOSECONDS_PER_SECOND

    def __call__(self) -> int:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def new_address() -> Callable[[], str]:
    """One from which nobody has come before."""
    return lambda: str(next(_addresses))


def _every_address() -> Iterator[str]:
    for number in count(1):
        yield f"198.51.{number // 250}.{number % 250 + 1}"


_addresses = _every_address()


def limits_of(clock: Callable[[], int], **changed: Any) -> RateLimiter:
    return RateLimiter(EdgeSettings(_env_file=None, nats_password="x", **changed), CollectorRegistry(), clock)


def exchange(client: str) -> RequestContext:
    nothing: Any = None
    return RequestContext(nothing, "GET", "/", "", "one", client)


def caller(user_id: UUID) -> Caller:
    return Caller(Identity(user_id=user_id, role=Role.CUSTOMER), "{}", time.time() + 900)


def passes(limits: RateLimiter, client: str, policy: RateLimitPolicy = ORDINARY, who: Caller | None = None) -> bool:
    try:
        limits.take(exchange(client), policy, who)
    except TooManyRequests:
        return False
    return True


# One meter.


def test_so_many_come_through_and_then_as_many_as_come_back() -> None:
    meter = GcraBuckets(3, 30)
    assert [meter.take("a", 0)[2:] for _ in range(4)] == [(2, 10, 0), (1, 20, 0), (0, 30, 0), (0, 30, 10)]
    assert meter.take("a", 10 * NANOSECONDS_PER_SECOND - 1).wait_seconds == 1
    assert meter.take("a", 10 * NANOSECONDS_PER_SECOND)[2:] == (0, 30, 0)
    assert meter.take("a", 10 * NANOSECONDS_PER_SECOND).wait_seconds == 10
    assert meter.take("b", 10 * NANOSECONDS_PER_SECOND).remaining == 2


@given(st.integers(1, 50), st.integers(1, 100), st.lists(st.integers(0, 3 * NANOSECONDS_PER_SECOND), max_size=200))
def test_nobody_ever_gets_more_than_the_bucket_and_what_came_back(limit: int, window: int, pauses: list[int]) -> None:
    meter, now, through = GcraBuckets(limit, window), 0, 0
    for pause in pauses:
        now += pause
        through += meter.take("a", now).wait_seconds == 0
        assert through <= limit + now // (window * NANOSECONDS_PER_SECOND // limit)


def test_what_was_counted_elsewhere_is_added_and_debts_have_an_end() -> None:
    meter = GcraBuckets(10, 10)
    meter.add("a", 9, 0)
    assert [meter.take("a", 0).wait_seconds for _ in range(2)] == [0, 1]
    meter.add("a", 1000, 0)
    assert meter.take("a", 0).wait_seconds == (MAX_DEBT_FACTOR - 1) * 10 + 1


def test_a_flood_of_addresses_takes_no_more_than_its_memory() -> None:
    meter = GcraBuckets(10, 60)
    for number in range(2 * MAX_BUCKETS):
        assert meter.take(str(number), number).wait_seconds == 0
    assert len(meter) == MAX_BUCKETS
    assert len(meter.pending) == MAX_PENDING


def test_whole_buckets_are_forgotten() -> None:
    meter = GcraBuckets(10, 60)
    for number in range(100):
        meter.take(f"old {number}", 0)
    for number in range(100):
        meter.take(f"new {number}", 61 * NANOSECONDS_PER_SECOND)
    assert len(meter) == 100


# All meters of an edge.


def test_a_customer_counts_wherever_they_are_and_others_by_address(clock: Clock) -> None:
    limits = limits_of(clock, edge_limits=1 / 1200)  # one request of a customer, five of an address
    ada, bob = caller(new_id()), caller(new_id())
    assert [passes(limits, address, who=ada) for address in ("192.0.2.1", "192.0.2.2")] == [True, False]
    assert passes(limits, "192.0.2.1", who=bob)
    assert [passes(limits, "192.0.2.1") for _ in range(6)] == [True] * 5 + [False]


def test_an_ipv6_network_is_one_address(clock: Clock) -> None:
    limits = limits_of(clock, edge_limits=1 / 300)
    found = [passes(limits, address, LOGIN) for address in ("2001:db8::1", "2001:db8::ffff:2", "2001:db8:0:1::1")]
    assert found == [True, False, True]


def test_many_accounts_are_no_way_around_what_is_costly(clock: Clock) -> None:
    limits = limits_of(clock, edge_limits=SIX)
    found = [passes(limits, "192.0.2.1", LOGIN, caller(new_id())) for _ in range(7)]
    assert found == [True] * 6 + [False]
    assert passes(limits, "192.0.2.1"), "the rest goes on"


def test_networks_of_one_s_own_are_not_counted(clock: Clock) -> None:
    limits = limits_of(clock, edge_limits=1 / 1200, edge_unlimited="192.0.2.0/24,2001:db8::/32")
    for address in ("192.0.2.1", "2001:db8::1"):
        assert all(passes(limits, address, who=caller(UUID(int=1))) for _ in range(10))
    assert [passes(limits, "198.51.100.1", LOGIN) for _ in range(2)] == [True, False]


def test_a_refusal_counts_for_nothing(clock: Clock) -> None:
    limits = limits_of(clock, edge_limits=SIX)
    assert sum(passes(limits, "192.0.2.1", LOGIN) for _ in range(1000)) == 6
    assert limits.drain_counts() == {"login.address": {"192.0.2.1": 6}}
    clock.at += 10 * NANOSECONDS_PER_SECOND
    assert passes(limits, "192.0.2.1", LOGIN)


def test_what_is_costly_has_limits_of_its_own() -> None:
    found = {f"{route.method} {path}": route.rate_limit.name for path, route in all_routes()}
    assert {name: found[name] for name in COSTLY} == COSTLY
    assert found["GET /api/v1/products"] == found["POST /api/v1/orders"] == "ordinary"


# Edges at work.


async def login(http: HttpClient, address: str) -> HttpResponse:
    return await http.post("/auth/login", {"email": "a@b.example"}, headers={"X-Forwarded-For": address})


def said(answered: HttpResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in answered.headers.items() if name.lower().startswith("ratelimit-")}


async def test_every_answer_says_what_is_left(
    open_edge: OpenEdge, backs: StubServices, signer: TokenSigner, new_address: Callable[[], str]
) -> None:
    http, address = (await open_edge(edge_limits=1 / 200)).http, {"X-Forwarded-For": new_address()}
    customer = http.as_(signer.token(sub=str(new_id())))
    told = {"ratelimit-limit": "6", "ratelimit-remaining": "5", "ratelimit-reset": "2"}
    assert said(await customer.get("/orders")) == {**told, "ratelimit-policy": "6;w=10"}
    refused = OutOfStock()
    backs.respond("order.list", refused.to_json(), **{headers.ERROR: refused.code, headers.ERROR_CODE: "409"})
    assert said(await customer.get("/orders", headers=address))["ratelimit-remaining"] == "4"
    assert said(await http.get("/orders", headers=address))["ratelimit-remaining"] == "29", "401, by address"
    assert said(await http.as_("nonsense").get("/orders", headers=address))["ratelimit-remaining"] == "28"
    assert said(await http.get("//healthz", headers=address)) == {}


async def test_what_caches_may_keep_says_nothing_of_a_caller(edge: HttpClient, signer: TokenSigner) -> None:
    assert said(await edge.get("/products")) == {}
    assert said(await edge.with_token(signer.token()).get("/products")) != {}


async def test_too_many_are_refused_before_anything_is_asked(
    open_edge: OpenEdge, backs: StubServices, new_address: Callable[[], str]
) -> None:
    http, address = (await open_edge(edge_limits=SIX)).http, new_address()
    assert {(await login(http, address)).status for _ in range(6)} == {200}
    refused = await login(http, address)
    assert (refused.status, refused.code) == (429, "too_many_requests")
    assert said(refused)["ratelimit-remaining"] == "0"
    assert 0 < int(refused.headers["Retry-After"]) <= 10 < int(said(refused)["ratelimit-reset"]) <= 60
    assert len(backs.requests) == 6
    figures = (await http.get("//metrics")).body.decode()
    assert 'souk_edge_limited_total{policy="login"} 1.0' in figures
    assert (await login(http, new_address())).status == 200


async def test_a_service_s_own_throttle_says_that_nothing_is_left(
    edge: HttpClient, backs: StubServices, new_address: Callable[[], str]
) -> None:
    refused = TooManyAttempts(retry_after=300)
    backs.respond("user.login", refused.to_json(), **{headers.ERROR: refused.code, headers.ERROR_CODE: "429"})
    found = said(await login(edge, new_address()))
    assert (found["ratelimit-remaining"], found["ratelimit-reset"]) == ("0", "300")


async def test_two_edges_keep_one_limit(
    open_edge: OpenEdge, backs: StubServices, new_address: Callable[[], str]
) -> None:
    """What came through on the one is missing on the other, a moment later."""
    one, other = [(await open_edge()).http for _ in range(2)]
    address, begun, asked = new_address(), time.monotonic(), 0
    for _ in range(50):
        await login(one, address)

    async def known() -> bool:
        nonlocal asked
        asked += 1
        left, back = int(said(await login(other, address))["ratelimit-remaining"]), 5 * (time.monotonic() - begun)
        return left <= 300 - 50 - asked + back

    await eventually(known, timeout_seconds=5)


async def owes(http: HttpClient, address: str) -> bool:
    """Whether there is a debt beyond what this edge has let through itself."""
    return int((await login(http, address)).headers.get("Retry-After", 0)) > 10


async def test_a_flood_of_both_edges_gets_one_limit_each_at_the_most(
    open_edge: OpenEdge, backs: StubServices, new_address: Callable[[], str]
) -> None:
    edges = [(await open_edge(edge_limits=SIX)).http for _ in range(2)]
    address = new_address()
    found = await asyncio.gather(*(login(http, address) for _ in range(30) for http in edges))
    assert 6 <= [answered.status for answered in found].count(200) <= 12
    for http in edges:
        await eventually(lambda http=http: owes(http, address), timeout_seconds=5)


async def test_each_edge_limits_alone_while_nats_is_away(
    open_edge: OpenEdge, backs: StubServices, edge_nats: Stack, new_address: Callable[[], str]
) -> None:
    edges = [(await open_edge(edge_limits=SIX)).http for _ in range(2)]
    address = new_address()
    await edge_nats.stop("nats")
    try:
        found = [[(await login(http, address)).status for _ in range(8)] for http in edges]
    finally:
        await edge_nats.start("nats")
    assert found == [[503] * 6 + [429] * 2] * 2

    async def together() -> bool:
        newcomer = new_address()
        for http in edges * 6:
            await login(http, newcomer)
        return await eventually(lambda: owes(edges[1], newcomer), timeout_seconds=0.5)

    await eventually(together)


async def test_nonsense_about_counts_is_ignored(backs: StubServices, clock: Clock) -> None:
    limits = limits_of(clock)
    tally = CounterSync(backs.client, limits)
    await tally.subscribe()
    told = {"by": "another", "counts": {"login.address": {"192.0.2.1": 299}, "unknown": {"x": 1}}}
    for message in (b"nonsense", b'{"by":"x","counts":{"login.address":{"192.0.2.1":-5}}}', orjson.dumps(told)):
        await backs.client.publish("counts.edge", message)
    await eventually(lambda: len(limits.buckets["login.address"]))
    assert [passes(limits, "192.0.2.1", LOGIN) for _ in range(2)] == [True, False]
