"""Ending a session ends its access tokens on the next request."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from statistics import median
from typing import Any

import asyncpg
import pytest

from edge.app import serve_edge
from edge.settings import EdgeSettings
from infra.foundation.telemetry import Metrics
from infra.messaging.connection import ConnectionMonitor
from infra.ops.devstack.stack import Stack
from tests.services.user.conftest import PASSWORD
from tests.support.http import HttpClient, RegisteredCustomer, register_customer

Databases = Callable[[str], Awaitable[asyncpg.Connection]]
PROFILE = "/users/profile"


async def sign_in_again(customer: RegisteredCustomer) -> HttpClient:
    login = {"email": customer.email, "password": customer.password}
    response = await customer.http.with_token(None).post("/auth/login", login)
    return customer.http.with_token(response.json["access_token"])


async def test_ban_takes_effect_on_the_next_request(admin_http: HttpClient, customer: RegisteredCustomer) -> None:
    other_client = await sign_in_again(customer)
    assert (await admin_http.post(f"/users/{customer.user['id']}/ban")).status == 200
    for http in (customer.http, other_client):
        response = await http.get(PROFILE)
        assert (response.status, response.code) == (401, "invalid_token")


@pytest.fixture
async def another_edge(stack: Stack) -> AsyncIterator[str]:
    """Starts a second edge beside the stack's own and returns its URL."""
    settings = EdgeSettings(
        _env_file=None,
        nats_url=stack.nats_url,
        nats_password=stack.nats_password("edge"),
        edge_port=0,
        edge_limits=1000,
        edge_linger=0,
    )
    async with serve_edge(settings, ConnectionMonitor(Metrics())) as port:
        yield f"http://127.0.0.1:{port}"


async def wait_until_refused(http: HttpClient) -> float:
    while (await http.get(PROFILE)).status == 200:
        pass
    return time.perf_counter()


async def test_ban_takes_effect_within_100_ms_on_two_edges(
    admin_http: HttpClient, http: HttpClient, another_edge: str
) -> None:
    """The time is measured from the administrator's request and from its reply.

    On a busy machine, where a request alone takes long, it may be as long as twenty requests.
    """
    from_request, from_answer, of_a_request = [], [], []
    for _ in range(10):
        customer = await register_customer(http)
        holders = [customer.http, HttpClient(http.session, another_edge, customer.http.token)]
        started_at = time.perf_counter()
        assert [(await one.get(PROFILE)).status for one in holders] == [200, 200]
        of_a_request.append((time.perf_counter() - started_at) / len(holders))
        waiting = [asyncio.create_task(wait_until_refused(one)) for one in holders]
        requested_at = time.perf_counter()
        assert (await admin_http.post(f"/users/{customer.user['id']}/ban")).status == 200
        replied_at = time.perf_counter()
        found = await asyncio.gather(*waiting)
        from_request += [at - requested_at for at in found]
        from_answer += [max(at - replied_at, 0.0) for at in found]
    figures = [f"{median(took) * 1000:.1f} (at most {max(took) * 1000:.1f})" for took in (from_request, from_answer)]
    print(f"\nban to refusal on two edges, ms: from the request {figures[0]}, the answer {figures[1]}")  # noqa: T201
    assert median(from_request) < max(0.1, 20 * median(of_a_request)), from_request


async def test_role_change_takes_effect_on_the_next_request(
    admin_http: HttpClient, customer: RegisteredCustomer
) -> None:
    path = f"/users/{customer.user['id']}"
    assert (await admin_http.put(path, {"role": "admin"})).status == 200
    assert (await customer.http.get(PROFILE)).status == 401
    promoted = await sign_in_again(customer)
    assert (await promoted.get(path)).status == 200
    assert (await admin_http.put(path, {"role": "customer"})).status == 200
    assert (await promoted.get(path)).status == 401


async def test_logout_ends_the_access_token(customer: RegisteredCustomer) -> None:
    other_client = await sign_in_again(customer)
    body = {"refresh_token": customer.session["refresh_token"]}
    assert (await customer.http.post("/auth/logout", body)).status == 204
    assert (await customer.http.get(PROFILE)).status == 401
    assert (await other_client.get(PROFILE)).status == 200


async def test_ending_another_session_keeps_the_callers(customer: RegisteredCustomer) -> None:
    other_client = await sign_in_again(customer)
    found = (await customer.http.get("/users/profile/sessions")).json["items"]
    (other,) = [one for one in found if not one["current"]]
    assert (await customer.http.delete(f"/users/profile/sessions/{other['id']}")).status == 204
    assert (await other_client.get(PROFILE)).status == 401
    assert (await customer.http.get(PROFILE)).status == 200


async def test_password_change_ends_the_other_access_tokens(customer: RegisteredCustomer) -> None:
    other_client = await sign_in_again(customer)
    body = {"current_password": customer.password, "new_password": PASSWORD}
    assert (await customer.http.put("/users/profile/password", body)).status == 204
    assert (await other_client.get(PROFILE)).status == 401
    assert (await customer.http.get(PROFILE)).status == 200


async def test_refresh_token_reuse_ends_the_access_token(customer: RegisteredCustomer) -> None:
    stolen = {"refresh_token": customer.session["refresh_token"]}
    guest = customer.http.with_token(None)
    second = (await guest.post("/auth/refresh", stolen)).json
    third = (await guest.post("/auth/refresh", {"refresh_token": second["refresh_token"]})).json
    assert (await guest.post("/auth/refresh", stolen)).code == "token_reused"
    assert (await customer.http.with_token(third["access_token"]).get(PROFILE)).status == 401


async def test_revocation_is_published_after_a_crash(
    customer: RegisteredCustomer, database: Databases, eventually: Callable[..., Awaitable[Any]]
) -> None:
    """The row is as a process leaves it that dies between the commit and the publication."""
    connection = await database("user")
    await connection.execute("UPDATE session SET revoked_at = now() WHERE account_id = $1::uuid", customer.user["id"])

    async def error() -> bool:
        return (await customer.http.get(PROFILE)).status == 401

    await eventually(error)


@pytest.mark.parametrize("path", [PROFILE, "/carts/mine"])
async def test_token_of_an_ended_session_is_refused_on_every_route(customer: RegisteredCustomer, path: str) -> None:
    """Except where anyone may read: there it counts as none."""
    await customer.http.post("/auth/logout", {"refresh_token": customer.session["refresh_token"]})
    assert (await customer.http.get(path)).status == 401
    assert (await customer.http.get("/products?limit=1")).status == 200
