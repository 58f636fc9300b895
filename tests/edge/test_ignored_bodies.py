"""A body is never ignored: a route that takes none refuses it."""

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from contracts.identity import Role
from contracts.registry import AUDIT_LOGS
from edge.router import PATH_PARAMETER
from edge.routes import API_PREFIX, BodyFormat, all_routes
from infra.foundation.ids import new_id
from tests.edge.conftest import StubServices
from tests.edge.token_signing import TokenSigner
from tests.support.http import HttpClient, RegisteredCustomer

JSON = {"Content-Type": "application/json"}
UNREACHABLE = {f"{API_PREFIX}/audit/{service}" for service in AUDIT_LOGS} - {f"{API_PREFIX}/audit/user"}
"""No stub stands in for every service."""
WITHOUT_BODY = [
    (route.method, path)
    for path, route in all_routes()
    if route.body_format is BodyFormat.NONE
    and route.operation.service in {"user", "catalog", "cart", "order"}
    and path not in UNREACHABLE
]


def target(path: str) -> str:
    """Returns the path with an id for each parameter, as `HttpClient` takes it."""
    filled = PATH_PARAMETER.sub(lambda match: "320" if match[1] == "width" else str(new_id()), path)
    return filled.removeprefix(API_PREFIX) if filled.startswith(API_PREFIX) else f"/{filled}"


@pytest.fixture
def admin_edge(edge: HttpClient, signer: TokenSigner) -> HttpClient:
    return edge.with_token(signer.token(role=Role.ADMIN))


@pytest.mark.parametrize(("method", "path"), WITHOUT_BODY)
async def test_a_body_where_none_is_taken_is_refused(
    admin_edge: HttpClient, services: StubServices, method: str, path: str
) -> None:
    response = await admin_edge(method, target(path), {"password": "correct horse", "a/b": 1})
    assert (response.status, response.code) == (422, "invalid")
    assert [error["pointer"] for error in response.json["errors"]] == ["/password", "/a~1b"]
    assert not services.requests


@pytest.mark.parametrize("data", [b"[1]", b"null", b"password=x", b"{", b'{"a":1', b"\xff", b"x" * 200_000])
async def test_a_body_that_is_no_object_is_refused(admin_edge: HttpClient, services: StubServices, data: bytes) -> None:
    response = await admin_edge("DELETE", f"/products/{new_id()}", data=data, headers=JSON)
    assert (response.status, response.code) == (400, "malformed")
    assert "takes no body" in response.json["detail"]
    assert not services.requests


async def test_a_chunked_body_is_refused(admin_edge: HttpClient, services: StubServices) -> None:
    async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    response = await admin_edge("DELETE", f"/carts/{new_id()}", data=chunks(b'{"items"', b": []}"), headers=JSON)
    assert (response.status, response.code) == (422, "invalid")
    assert not services.requests
    empty = await admin_edge("DELETE", f"/carts/{new_id()}", data=chunks(b""), headers=JSON)
    assert empty.status == 200


@pytest.mark.parametrize("data", [b"", b"{}", b" { } ", b"\r\n"])
async def test_an_empty_body_is_allowed(admin_edge: HttpClient, services: StubServices, data: bytes) -> None:
    assert (await admin_edge("DELETE", f"/carts/{new_id()}", data=data, headers=JSON)).status == 200
    assert (await admin_edge("GET", "/products", data=data, headers=JSON)).status == 200


@pytest.mark.parametrize("body", [{}, {"password": "x", "x": 1}, {"id": "x"}, None])
async def test_a_body_that_is_taken_is_passed_on(
    edge: HttpClient, services: StubServices, signer: TokenSigner, body: dict[str, Any] | None
) -> None:
    """The service refuses what it does not know: see `test_an_erasure_over_http_needs_its_body`."""
    await edge.with_token(signer.token()).delete("/users/profile", json=body)
    assert orjson.loads(services.last_request.data) == (body or {})


async def test_an_erasure_over_http_needs_its_body(customer: RegisteredCustomer) -> None:
    for body, status in (
        (None, 422),
        ({}, 422),
        ({"password": customer.password, "sure": True}, 422),
        ({"password": None}, 422),
        ({"password": "wrong horse"}, 403),
        ({"password": customer.password}, 202),
    ):
        response = await customer.http.delete("/users/profile", json=body)
        assert response.status == status, (body, response.body)
