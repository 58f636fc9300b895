"""Rate limiter: counted exactly, dropped in time, and enforced by all edges share_counts_again."""

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
from contracts.identity import Identity, Role
from contracts.user import TooManyAttempts
from edge.caller import Caller, create_caller
from edge.ratelimit.limiter import (
    MAX_BUCKETS,
    MAX_DEBT_FACTOR,
    MAX_PENDING,
    NANOSECONDS_PER_SECOND,
    GcraBuckets,
    RateLimiter,
)
from edge.ratelimit.policies import LOGIN, ORDINARY, RateLimitPolicy
from edge.ratelimit.sync import SIGNATURE_HEADER, CounterSync, sign_counts
from edge.routes import all_routes
from edge.settings import EdgeSettings
from infra.foundation.ids import new_id
from infra.ops.devstack.stack import Stack
from tests.edge.conftest import OpenEdge, StubServices
from tests.edge.token_signing import TokenSigner
from tests.support.eventually import eventually
from tests.support.http import HttpClient, HttpResponse

SIX_LOGINS = 0.02
"""The factor that leaves six logins per address."""
COSTLY_ROUTES = {
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


class FakeClock:
    """Nanoseconds, as the test sets them."""

    def __init__(self) -> None:
        self.now = 1000 * NANOSECONDS_PER_SECOND

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def new_address() -> Callable[[], str]:
    """Returns an address that no test has used."""
    return lambda: str(next(_addresses))


def _generate_addresses() -> Iterator[str]:
    for number in count(1):
        yield f"198.51.{number // 250}.{number % 250 + 1}"


_addresses = _generate_addresses()


def create_limiter(clock: Callable[[], int], **changed: Any) -> RateLimiter:
    return RateLimiter(EdgeSettings(_env_file=None, nats_password="x", **changed), CollectorRegistry(), clock)


def customer(user_id: UUID) -> Caller:
    return create_caller(Identity(user_id=user_id, role=Role.CUSTOMER), time.time() + 900)


def is_accepted(
    limiter: RateLimiter, client_ip: str, policy: RateLimitPolicy = ORDINARY, caller: Caller | None = None
) -> bool:
    allowance = limiter.take(client_ip, policy, caller)
    return allowance is None or not allowance.is_refused


# One limit.


def test_a_bucket_allows_its_limit_and_then_what_refills() -> None:
    buckets = GcraBuckets(3, 30)
    assert [buckets.take("a", 0)[2:] for _ in range(4)] == [(2, 10, 0), (1, 20, 0), (0, 30, 0), (0, 30, 10)]
    assert buckets.take("a", 10 * NANOSECONDS_PER_SECOND - 1).wait_seconds == 1
    assert buckets.take("a", 10 * NANOSECONDS_PER_SECOND)[2:] == (0, 30, 0)
    assert buckets.take("a", 10 * NANOSECONDS_PER_SECOND).wait_seconds == 10
    assert buckets.take("b", 10 * NANOSECONDS_PER_SECOND).remaining == 2


@given(st.integers(1, 50), st.integers(1, 100), st.lists(st.integers(0, 3 * NANOSECONDS_PER_SECOND), max_size=200))
def test_no_client_gets_more_than_the_bucket_and_its_refill(limit: int, window_seconds: int, pauses: list[int]) -> None:
    buckets, now, accepted = GcraBuckets(limit, window_seconds), 0, 0
    for pause in pauses:
        now += pause
        accepted += buckets.take("a", now).wait_seconds == 0
        assert accepted <= limit + now // (window_seconds * NANOSECONDS_PER_SECOND // limit)


def test_counts_of_other_edges_are_added_up_to_a_maximum_debt() -> None:
    buckets = GcraBuckets(10, 10)
    buckets.add("a", 9, 0)
    assert [buckets.take("a", 0).wait_seconds for _ in range(2)] == [0, 1]
    buckets.add("a", 1000, 0)
    assert buckets.take("a", 0).wait_seconds == (MAX_DEBT_FACTOR - 1) * 10 + 1


def test_a_flood_of_addresses_takes_bounded_memory() -> None:
    buckets = GcraBuckets(10, 60)
    for number in range(2 * MAX_BUCKETS):
        assert buckets.take(str(number), number).wait_seconds == 0
    assert len(buckets) == MAX_BUCKETS
    assert len(buckets.pending) == MAX_PENDING


def test_full_buckets_are_dropped() -> None:
    buckets = GcraBuckets(10, 60)
    for number in range(100):
        buckets.take(f"old {number}", 0)
    for number in range(100):
        buckets.take(f"new {number}", 61 * NANOSECONDS_PER_SECOND)
    assert len(buckets) == 100


# All limits of an edge.


def test_customers_count_at_any_address_and_others_by_address(clock: FakeClock) -> None:
    limiter = create_limiter(clock, edge_limits=1 / 1200)  # one request of a customer, five of an address
    ada, bob = customer(new_id()), customer(new_id())
    assert [is_accepted(limiter, address, caller=ada) for address in ("192.0.2.1", "192.0.2.2")] == [True, False]
    assert is_accepted(limiter, "192.0.2.1", caller=bob)
    assert [is_accepted(limiter, "192.0.2.1") for _ in range(6)] == [True] * 5 + [False]


def test_an_ipv6_network_counts_as_one_address(clock: FakeClock) -> None:
    limiter = create_limiter(clock, edge_limits=1 / 300)
    accepted = [
        is_accepted(limiter, address, LOGIN) for address in ("2001:db8::1", "2001:db8::ffff:2", "2001:db8:0:1::1")
    ]
    assert accepted == [True, False, True]


def test_many_accounts_do_not_get_around_costly_limits(clock: FakeClock) -> None:
    limiter = create_limiter(clock, edge_limits=SIX_LOGINS)
    accepted = [is_accepted(limiter, "192.0.2.1", LOGIN, customer(new_id())) for _ in range(7)]
    assert accepted == [True] * 6 + [False]
    assert is_accepted(limiter, "192.0.2.1"), "other routes have their own limit"


def test_unlimited_networks_are_not_counted(clock: FakeClock) -> None:
    limiter = create_limiter(clock, edge_limits=1 / 1200, edge_unlimited="192.0.2.0/24,2001:db8::/32")
    for address in ("192.0.2.1", "2001:db8::1"):
        assert all(is_accepted(limiter, address, caller=customer(UUID(int=1))) for _ in range(10))
    assert [is_accepted(limiter, "198.51.100.1", LOGIN) for _ in range(2)] == [True, False]


def test_refused_requests_do_not_count(clock: FakeClock) -> None:
    limiter = create_limiter(clock, edge_limits=SIX_LOGINS)
    assert sum(is_accepted(limiter, "192.0.2.1", LOGIN) for _ in range(1000)) == 6
    assert limiter.drain_counts() == {"login.address": {"192.0.2.1": 6}}
    clock.now += 10 * NANOSECONDS_PER_SECOND
    assert is_accepted(limiter, "192.0.2.1", LOGIN)


def test_costly_operations_have_limits_of_their_own() -> None:
    policies = {f"{route.method} {path}": route.rate_limit.name for path, route in all_routes()}
    assert {name: policies[name] for name in COSTLY_ROUTES} == COSTLY_ROUTES
    assert policies["GET /api/v1/products"] == policies["POST /api/v1/orders"] == "ordinary"


# Running edges.


async def login(http: HttpClient, address: str) -> HttpResponse:
    return await http.post("/auth/login", {"email": "a@b.example"}, headers={"X-Forwarded-For": address})


def rate_limit_headers(response: HttpResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items() if name.lower().startswith("ratelimit-")}


async def test_every_response_says_what_is_left(
    open_edge: OpenEdge, services: StubServices, signer: TokenSigner, new_address: Callable[[], str]
) -> None:
    http, address = (await open_edge(edge_limits=1 / 200)).http, {"X-Forwarded-For": new_address()}
    customer = http.with_token(signer.token(sub=str(new_id())))

    async def remaining(client: HttpClient) -> str:
        return rate_limit_headers(await client.get("/orders", headers=address))["ratelimit-remaining"]

    assert rate_limit_headers(await customer.get("/orders")) == {
        "ratelimit-limit": "6",
        "ratelimit-remaining": "5",
        "ratelimit-reset": "2",
        "ratelimit-policy": "6;w=10",
    }
    fail = OutOfStock()
    services.respond("order.list", fail.to_json(), **{headers.ERROR: fail.code, headers.ERROR_CODE: "409"})
    assert await remaining(customer) == "4"
    assert await remaining(http) == "29", "a request without a token counts by address"
    assert await remaining(http.with_token("nonsense")) == "28", "so does one with an invalid token"
    assert rate_limit_headers(await http.get("//healthz", headers=address)) == {}


async def test_cacheable_responses_have_no_rate_limit_headers(edge: HttpClient, signer: TokenSigner) -> None:
    assert rate_limit_headers(await edge.get("/products")) == {}
    assert rate_limit_headers(await edge.with_token(signer.token()).get("/products")) != {}


async def test_requests_over_the_limit_are_refused_before_a_service_is_called(
    open_edge: OpenEdge, services: StubServices, new_address: Callable[[], str]
) -> None:
    http, address = (await open_edge(edge_limits=SIX_LOGINS)).http, new_address()
    assert {(await login(http, address)).status for _ in range(6)} == {200}
    refused = await login(http, address)
    assert (refused.status, refused.code) == (429, "too_many_requests")
    assert rate_limit_headers(refused)["ratelimit-remaining"] == "0"
    assert 0 < int(refused.headers["Retry-After"]) <= 10 < int(rate_limit_headers(refused)["ratelimit-reset"]) <= 60
    assert len(services.requests) == 6
    metrics = (await http.get("//metrics")).body.decode()
    assert 'souk_edge_limited_total{policy="login"} 1.0' in metrics
    assert (await login(http, new_address())).status == 200


async def test_a_throttle_of_a_service_reports_nothing_left(
    edge: HttpClient, services: StubServices, new_address: Callable[[], str]
) -> None:
    fail = TooManyAttempts(retry_after=300)
    services.respond("user.login", fail.to_json(), **{headers.ERROR: fail.code, headers.ERROR_CODE: "429"})
    left = rate_limit_headers(await login(edge, new_address()))
    assert (left["ratelimit-remaining"], left["ratelimit-reset"]) == ("0", "300")


async def test_two_edges_enforce_one_limit(
    open_edge: OpenEdge, services: StubServices, new_address: Callable[[], str]
) -> None:
    """A request that one edge accepts is missing on the other a moment later."""
    first, second = [(await open_edge()).http for _ in range(2)]
    address, started_at, sent = new_address(), time.monotonic(), 0
    for _ in range(50):
        await login(first, address)

    async def counts_both() -> bool:
        nonlocal sent
        sent += 1
        remaining = int(rate_limit_headers(await login(second, address))["ratelimit-remaining"])
        refilled = 5 * (time.monotonic() - started_at)
        return remaining <= 300 - 50 - sent + refilled

    await eventually(counts_both, timeout_seconds=5)


async def is_in_debt(http: HttpClient, address: str) -> bool:
    """Whether the address owes more than this edge alone has accepted."""
    return int((await login(http, address)).headers.get("Retry-After", 0)) > 10


async def test_a_flood_on_two_edges_gets_at_most_one_limit_each(
    open_edge: OpenEdge, services: StubServices, new_address: Callable[[], str]
) -> None:
    edges = [(await open_edge(edge_limits=SIX_LOGINS)).http for _ in range(2)]
    address = new_address()
    responses = await asyncio.gather(*(login(http, address) for _ in range(30) for http in edges))
    assert 6 <= [response.status for response in responses].count(200) <= 12
    for http in edges:
        await eventually(lambda http=http: is_in_debt(http, address), timeout_seconds=5)


async def test_each_edge_limits_alone_while_nats_is_unavailable(
    open_edge: OpenEdge, services: StubServices, edge_nats: Stack, new_address: Callable[[], str]
) -> None:
    edges = [(await open_edge(edge_limits=SIX_LOGINS)).http for _ in range(2)]
    address = new_address()
    await edge_nats.stop("nats")
    try:
        statuses = [[(await login(http, address)).status for _ in range(8)] for http in edges]
    finally:
        await edge_nats.start("nats")
    assert statuses == [[503] * 6 + [429] * 2] * 2

    async def share_counts_again() -> bool:
        unused_address = new_address()
        for http in edges * 6:
            await login(http, unused_address)
        return await eventually(lambda: is_in_debt(edges[1], unused_address), timeout_seconds=0.5)

    await eventually(share_counts_again)


async def test_invalid_counts_are_ignored(services: StubServices, clock: FakeClock) -> None:
    limiter = create_limiter(clock)
    sync = CounterSync(services.client, limiter, "secret")
    await sync.subscribe()
    valid = {"by": "another", "counts": {"login.address": {"192.0.2.1": 299}, "unknown": {"x": 1}}}
    for message in (b"nonsense", b'{"by":"x","counts":{"login.address":{"192.0.2.1":-5}}}', orjson.dumps(valid)):
        headers = {SIGNATURE_HEADER: sign_counts("secret", message)}
        await services.client.publish("counts.edge", message, headers=headers)
    await eventually(lambda: len(limiter.buckets["login.address"]))
    assert [is_accepted(limiter, "192.0.2.1", LOGIN) for _ in range(2)] == [True, False]


@pytest.mark.parametrize("password", [None, "another service's"])
async def test_counts_that_no_edge_signed_are_ignored(
    services: StubServices, clock: FakeClock, password: str | None
) -> None:
    limiter = create_limiter(clock)
    await CounterSync(services.client, limiter, "secret").subscribe()
    for address, key in (("192.0.2.1", password), ("192.0.2.2", "secret")):
        body = orjson.dumps({"by": "another", "counts": {"login.address": {address: 299}}})
        headers = {SIGNATURE_HEADER: sign_counts(key, body)} if key else None
        await services.client.publish("counts.edge", body, headers=headers)
    await eventually(lambda: len(limiter.buckets["login.address"]))
    assert [is_accepted(limiter, "192.0.2.2", LOGIN) for _ in range(2)] == [True, False]
    assert [is_accepted(limiter, "192.0.2.1", LOGIN) for _ in range(2)] == [True, True]
