"""Nobody says of himself who he is: not in a header, not past Nginx, not as a service that is not the edge."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from uuid import UUID

import pytest

from contracts import cart, headers, user
from contracts.failure import InvalidRequest, NotFound
from contracts.identity import Access, Identity, Role
from contracts.operation import AnyOperation
from contracts.registry import OPERATIONS
from infra.messaging.rpc_server import parse_request
from infra.ops.devstack.stack import Stack
from tests.access.fixtures import AccessFixtures
from tests.support.rpc import RpcCaller

CARRIED = {value for name, value in vars(headers).items() if name.isupper() and value != headers.CONTENT_TYPE}
"""The names of every header that messages carry on NATS."""
TRUSTED = CARRIED - {headers.TRACEPARENT}


def claims(world: AccessFixtures) -> dict[str, str]:
    """The headers of NATS, and those that others' gateways use, saying that an administrator asks."""
    identity = Identity(user_id=UUID(world.admin.user["id"]), role=Role.ADMIN).model_dump_json()
    said = dict.fromkeys(TRUSTED, "1")
    said |= {
        headers.IDENTITY: identity,
        headers.TIME_LEFT: "0",
        headers.IF_MATCH: "999",
        headers.CLIENT_IP: "192.0.2.7",
    }
    said |= {f"X-{name}": value for name, value in said.items()}
    said |= {name.replace("-", "_"): value for name, value in said.items()}
    return said | {
        "X-User-Id": world.admin.user["id"],
        "X-User-Role": "admin",
        "X-Forwarded-User": world.admin.email,
        "X-Original-URL": "/api/v1/users",
        "X-Rewrite-URL": "/api/v1/users",
        "X-HTTP-Method-Override": "DELETE",
        "Reply-To": "_INBOX.x",
    }


async def test_no_header_makes_anybody_of_a_client(world: AccessFixtures) -> None:
    said = claims(world)
    for path in ("/users", "/users/profile", "/orders"):
        answered = await world.http.get(path, headers=said)
        assert (answered.status, answered.code) == (401, "unauthorized"), path
    refused = await world.other_customer.http.get("/users", headers=said)
    assert (refused.status, refused.code) == (403, "forbidden")
    profile = await world.other_customer.http.get("/users/profile", headers=said)
    assert profile.json["id"] == world.other_customer.user["id"]
    hidden = await world.other_customer.http.get(f"/orders/{await world.create_order()}", headers=said)
    assert (hidden.status, hidden.code) == (404, "not_found")


async def test_no_header_of_nats_steers_an_ask(world: AccessFixtures) -> None:
    """Neither as a key, nor as a version, nor by its deadline."""
    said = claims(world)
    first, second = [await world.http.post("/carts", {}, headers=said) for _ in range(2)]
    assert (first.status, second.status) == (201, 201)
    assert first.json["id"] != second.json["id"], "no key was taken from it"
    path = f"/products/{await world.create_product()}"
    changed = await world.admin.http("PATCH", path, {"name": "Another name"}, headers=said)
    assert changed.status == 200, "no version was taken from it"


@pytest.mark.parametrize("name", sorted(TRUSTED))
async def test_no_header_of_nats_comes_back_from_the_shop(world: AccessFixtures, name: str) -> None:
    answered = await world.admin.http.get("/users?limit=1", headers={name: "1"})
    assert answered.status == 200
    assert name not in answered.headers


async def _spoken(stack: Stack, request: bytes) -> bytes:
    """What Nginx says to these bytes; nothing where it hangs up on what it has not read to the end."""
    host, port = stack.http_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    answer = b""
    try:
        writer.write(request)
        async with asyncio.timeout(10):
            while piece := await reader.read(65_536):
                answer += piece
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
async def test_no_bytes_make_anybody_of_a_client(stack: Stack, lines: bytes) -> None:
    if answer := await _spoken(stack, GET + lines + b"\r\n"):
        _refused(answer, b"400", b"401")


@pytest.mark.parametrize("authorizations", [("", "good"), ("good", "")])
async def test_two_tokens_are_none(stack: Stack, world: AccessFixtures, authorizations: tuple[str, str]) -> None:
    token = str(world.admin.http.token)
    said = [token if one else "x" for one in authorizations]
    lines = b"".join(f"Authorization: Bearer {one}\r\n".encode() for one in said)
    _refused(await _spoken(stack, GET + lines + b"\r\n"), b"400", b"401")


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
async def test_no_path_leads_past_the_door(stack: Stack, target: str) -> None:
    """From elsewhere: what only those who are near may see is not there, and neither is any file."""
    lines = f"GET {target} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.7\r\nConnection: close\r\n\r\n"
    answer = await _spoken(stack, lines.encode())
    _refused(answer, b"400", b"401", b"404")
    assert b"souk_http" not in answer
    assert b"root:" not in answer


async def test_nothing_of_one_s_own_is_kept_for_others(stack: Stack, world: AccessFixtures) -> None:
    """Paths that look like the catalogue's, which Nginx keeps, and lead to an account, if anywhere."""
    for target in (
        "/api/v1/products/..%2fusers%2fprofile",
        "/api/v1/products/../users/profile",
        "/api/v1/users/profile/..%2f..%2fproducts",
        "/api/v1/users/profile%3f/products",
        "/api/v1/users/profile;/products.webp",
        "/images/..%2fapi/v1/users/profile",
    ):
        for token in (f"Authorization: Bearer {world.owner.http.token}\r\n", ""):
            lines = f"GET {target} HTTP/1.1\r\nHost: x\r\n{token}Connection: close\r\n\r\n"
            assert world.owner.email.encode() not in await _spoken(stack, lines.encode())


async def test_what_services_ask_of_one_another_trusts_no_identity(
    as_service: Callable[[str], Awaitable[RpcCaller]], world: AccessFixtures
) -> None:
    """Whose it is stands in the body, which the order service fills from what the edge has verified."""
    asking, owner = await as_service("order"), Identity(user_id=UUID(world.owner.user["id"]), role=Role.ADMIN)
    address = {"id": await world.create_address(), "user_id": world.other_customer.user["id"]}
    with pytest.raises(NotFound):
        await asking(user.ADDRESS, address, identity=owner)
    await world.create_cart()
    with pytest.raises(NotFound):
        await asking(cart.CHECKOUT, {"id": "mine", "user_id": None}, identity=owner)


SERVICES_ASKS = [one for one in OPERATIONS if one.access is Access.SERVICE]


@pytest.mark.parametrize("operation", SERVICES_ASKS, ids=lambda one: one.subject)
def test_an_identity_is_not_even_read_where_services_ask(operation: AnyOperation) -> None:
    with suppress(InvalidRequest):
        assert parse_request(operation, b"{}", {headers.IDENTITY: "nonsense"}).identity is None
