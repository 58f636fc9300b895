"""No client can claim an identity: not in a header, not by confusing Nginx, not as a service other than the edge."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest
from nats.aio.msg import Msg

from contracts import cart, headers, user
from contracts.failure import NotFound
from contracts.identity import Access, Identity, Role
from contracts.operation import AnyOperation
from contracts.registry import OPERATIONS
from infra.foundation.telemetry import Metrics
from infra.messaging.rpc_server import RpcServer
from infra.ops.devstack.stack import Stack
from tests.access.fixtures import AccessFixtures
from tests.support.rpc import RpcCaller

CARRIED = {value for name, value in vars(headers).items() if name.isupper() and value != headers.CONTENT_TYPE}
"""The names of all headers of NATS messages."""
TRUSTED = CARRIED - {headers.TRACEPARENT}


def claims(fixtures: AccessFixtures) -> dict[str, str]:
    """Headers of NATS, and of common gateways, that claim an administrator."""
    identity = Identity(user_id=UUID(fixtures.admin.user["id"]), role=Role.ADMIN).model_dump_json()
    sent = dict.fromkeys(TRUSTED, "1")
    sent |= {
        headers.IDENTITY: identity,
        headers.TIME_LEFT: "0",
        headers.IF_MATCH: "999",
        headers.CLIENT_IP: "192.0.2.7",
    }
    sent |= {f"X-{name}": value for name, value in sent.items()}
    sent |= {name.replace("-", "_"): value for name, value in sent.items()}
    return sent | {
        "X-User-Id": fixtures.admin.user["id"],
        "X-User-Role": "admin",
        "X-Forwarded-User": fixtures.admin.email,
        "X-Original-URL": "/api/v1/users",
        "X-Rewrite-URL": "/api/v1/users",
        "X-HTTP-Method-Override": "DELETE",
        "Reply-To": "_INBOX.x",
    }


async def test_no_header_changes_the_identity(fixtures: AccessFixtures) -> None:
    sent = claims(fixtures)
    for path in ("/users", "/users/profile", "/orders"):
        response = await fixtures.http.get(path, headers=sent)
        assert (response.status, response.code) == (401, "unauthorized"), path
    refused = await fixtures.other_customer.http.get("/users", headers=sent)
    assert (refused.status, refused.code) == (403, "forbidden")
    profile = await fixtures.other_customer.http.get("/users/profile", headers=sent)
    assert profile.json["id"] == fixtures.other_customer.user["id"]
    hidden = await fixtures.other_customer.http.get(f"/orders/{await fixtures.create_order()}", headers=sent)
    assert (hidden.status, hidden.code) == (404, "not_found")


async def test_nats_headers_of_clients_are_ignored(fixtures: AccessFixtures) -> None:
    """Neither as an idempotency key, nor as a version, nor as a deadline."""
    sent = claims(fixtures)
    first, second = [await fixtures.http.post("/carts", {}, headers=sent) for _ in range(2)]
    assert (first.status, second.status) == (201, 201)
    assert first.json["id"] != second.json["id"], "no key was taken from it"
    path = f"/products/{await fixtures.create_product()}"
    changed = await fixtures.admin.http("PATCH", path, {"name": "Another name"}, headers=sent)
    assert changed.status == 200, "no version was taken from it"


@pytest.mark.parametrize("name", sorted(TRUSTED))
async def test_nats_headers_are_not_returned(fixtures: AccessFixtures, name: str) -> None:
    response = await fixtures.admin.http.get("/users?limit=1", headers={name: "1"})
    assert response.status == 200
    assert name not in response.headers


async def _raw_response(stack: Stack, request: bytes) -> bytes:
    """Nginx's response to these bytes; empty if it closes a connection whose request it has not read to the end."""
    host, port = stack.http_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    answer = b""
    try:
        writer.write(request)
        async with asyncio.timeout(10):
            while chunk := await reader.read(65_536):
                answer += chunk
    except ConnectionResetError:
        pass
    finally:
        writer.close()
    return answer


def _refused(answer: bytes, *statuses: bytes) -> None:
    assert answer.split(b" ", 2)[1] in statuses, answer[:200]
    assert b"application/problem+json" in answer


GET = b"GET /api/v1/users/profile HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
FORGED = b'Souk-Identity: {"user_id":"019a9f3e-6c1d-7c54-9a5e-0f3c7d1b2a44","role":"admin"}\r\n'


@pytest.mark.parametrize(
    "lines",
    [
        FORGED,
        b"X-A: b\r\n " + FORGED,
        b"X-A: b\n" + FORGED,
        b"X-A: b\r" + FORGED,
        b"Souk-Identity : {}\r\n",
        b"Authorization: Bearer x\r\nAuthorization: Bearer y\r\n",
        b"Connection: Authorization\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        b"".join(b"X-%d: %s\r\n" % (number, b"a" * 50) for number in range(5000)),
        b"".join(b"X-A: b\r\n" for _ in range(3000)),
        b"Cookie: " + b"a=b; " * 20_000 + b"\r\n",
        b"Authorization: Bearer " + b"x" * 1_000_000 + b"\r\n",
        b"Authorization: Bearer " + b"x" * 7000 + b"\r\n",
    ],
    ids=lambda lines: f"{bytes(lines[:40])!r}",
)
async def test_no_raw_request_changes_the_identity(stack: Stack, lines: bytes) -> None:
    if answer := await _raw_response(stack, GET + lines + b"\r\n"):
        _refused(answer, b"400", b"401")


@pytest.mark.parametrize("authorizations", [("", "good"), ("good", "")])
async def test_two_tokens_are_refused(stack: Stack, fixtures: AccessFixtures, authorizations: tuple[str, str]) -> None:
    token = str(fixtures.admin.http.token)
    sent = [token if one else "x" for one in authorizations]
    lines = b"".join(f"Authorization: Bearer {one}\r\n".encode() for one in sent)
    _refused(await _raw_response(stack, GET + lines + b"\r\n"), b"400", b"401")


@pytest.mark.parametrize(
    "target",
    [
        "/metrics",
        "/metrics?x=1",
        "/%6detrics",
        "/%256detrics",
        "//metrics",
        "/./metrics",
        "/x/../metrics",
        "/x/%2e%2e/metrics",
        "/x%2f..%2fmetrics",
        "/api/v1/../../metrics",
        "/api/v1/products/..%2f..%2f..%2fmetrics",
        "/images/../metrics",
        "/docs/../metrics",
        "/metrics/",
        "/metrics%20",
        "/metrics%09",
        "/metrics;x",
        "/metrics%3fx",
        "/METRICS",
        "/.problem/404",
        "/.%70roblem/404",
        "/../../../etc/passwd",
        "/images/..%2f..%2f..%2fetc%2fpasswd",
        "/images/%2e%2e/%2e%2e/nginx.conf",
        "/nginx.conf",
        "/.env",
        "/.git/config",
        "/\\..\\metrics",
        "http://127.0.0.1/metrics",
        "/api/v1/auth/..%2fusers",
        "/api/v1/products/..%2fusers",
        "/api/v1/products/%2e%2e/users",
    ],
)
async def test_no_path_reaches_internal_pages(stack: Stack, target: str) -> None:
    """From another network: internal pages and files do not exist there."""
    lines = f"GET {target} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.7\r\nConnection: close\r\n\r\n"
    answer = await _raw_response(stack, lines.encode())
    _refused(answer, b"400", b"401", b"404")
    assert b"souk_http" not in answer
    assert b"root:" not in answer


async def test_account_data_is_never_cached(stack: Stack, fixtures: AccessFixtures) -> None:
    """Paths that look like those of the catalog, which Nginx caches, but lead to an account."""
    for target in (
        "/api/v1/products/..%2fusers%2fprofile",
        "/api/v1/products/../users/profile",
        "/api/v1/users/profile/..%2f..%2fproducts",
        "/api/v1/users/profile%3f/products",
        "/api/v1/users/profile;/products.webp",
        "/images/..%2fapi/v1/users/profile",
    ):
        for token in (f"Authorization: Bearer {fixtures.owner.http.token}\r\n", ""):
            lines = f"GET {target} HTTP/1.1\r\nHost: x\r\n{token}Connection: close\r\n\r\n"
            assert fixtures.owner.email.encode() not in await _raw_response(stack, lines.encode())


async def test_service_requests_ignore_the_identity(
    as_service: Callable[[str], Awaitable[RpcCaller]], fixtures: AccessFixtures
) -> None:
    """The body names the user, and the order service fills it from what the edge has verified."""
    order_rpc, owner = await as_service("order"), Identity(user_id=UUID(fixtures.owner.user["id"]), role=Role.ADMIN)
    address = {"id": await fixtures.create_address(), "user_id": fixtures.other_customer.user["id"]}
    with pytest.raises(NotFound):
        await order_rpc(user.ADDRESS, address, identity=owner)
    await fixtures.create_cart()
    with pytest.raises(NotFound):
        await order_rpc(cart.CHECKOUT, {"id": "mine", "user_id": None}, identity=owner)


SERVICE_OPERATIONS = [one for one in OPERATIONS if one.access is Access.SERVICE]


@pytest.mark.parametrize("operation", SERVICE_OPERATIONS, ids=lambda one: one.subject)
def test_service_operations_do_not_parse_the_identity(operation: AnyOperation) -> None:
    unused: Any = None
    server = RpcServer(unused, {operation: unused}, unused, unused, Metrics(), max_in_flight=1)
    reply = f"_INBOX_{operation.callers[0]}.reply"
    message = Msg(unused, operation.subject, reply, b"{}", {headers.IDENTITY: "nonsense"})
    assert server.authenticate(message) is None
