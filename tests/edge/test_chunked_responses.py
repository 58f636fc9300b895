"""A file that comes in several replies: whole, refused before its first byte, or visibly broken off."""

import asyncio

import aiohttp
import orjson
import pytest
from nats.aio.msg import Msg

from contracts import headers
from contracts.failure import InternalError
from tests.edge.conftest import OpenEdge, RunningEdge, StubReply, StubServices
from tests.edge.token_signing import TokenSigner
from tests.support.eventually import eventually
from tests.support.http import HttpClient

EXPORT = "/products/export?dialect=legacy"
SUBJECT = "rpc.catalog.export_products"
PAGE = b"a,b\r\n" * 100_000


class Pages:
    """Replies with pages: one for each position, until the `last`."""

    def __init__(self, last: int) -> None:
        self.last = last
        self.requested: list[int] = []

    def __call__(self, message: Msg) -> StubReply:
        body = orjson.loads(message.data)
        assert body.pop("dialect") == "legacy"
        number = int(body.pop("page_start", "0"))
        assert not body
        assert headers.IDENTITY in (message.headers or {})
        self.requested.append(number)
        following = {} if number == self.last else {headers.NEXT: str(number + 1)}
        return PAGE, {headers.CONTENT_TYPE: "text/csv; charset=utf-8", **following}


@pytest.fixture
async def running(open_edge: OpenEdge, services: StubServices) -> RunningEdge:
    assert services
    return await open_edge()


@pytest.fixture
def admin(running: RunningEdge, signer: TokenSigner) -> HttpClient:
    return running.http.with_token(signer.token(role="admin"))


async def test_pages_come_as_one_response(admin: HttpClient, services: StubServices) -> None:
    pages = services.responders[SUBJECT] = Pages(last=3)
    response = await admin.get(EXPORT, headers={"X-Request-Id": "mine"})
    assert (response.status, response.body) == (200, PAGE * 4)
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert response.headers["Transfer-Encoding"] == "chunked"
    assert (response.headers["Cache-Control"], response.headers["RateLimit-Limit"]) == ("no-store", "60")
    assert (response.headers["X-Request-Id"], response.headers["Server"]) == ("mine", "souk")
    assert pages.requested == [0, 1, 2, 3]
    again = await admin.get(EXPORT)
    assert again.body == response.body
    single = services.responders[SUBJECT] = Pages(last=0)
    assert (await admin.get(EXPORT)).headers["Content-Length"] == str(len(PAGE))
    assert single.requested == [0]


async def test_a_head_request_asks_for_one_page(admin: HttpClient, services: StubServices) -> None:
    pages = services.responders[SUBJECT] = Pages(last=3)
    response = await admin("HEAD", EXPORT)
    assert (response.status, response.body) == (200, b"")
    assert (await admin("HEAD", EXPORT)).status == 200
    assert pages.requested == [0, 0]


async def test_a_failure_of_the_first_page_is_a_problem(
    admin: HttpClient, running: RunningEdge, services: StubServices, signer: TokenSigner
) -> None:
    failure = {headers.ERROR: InternalError.code, headers.ERROR_CODE: "500"}
    services.responders[SUBJECT] = lambda _: (InternalError().to_json(""), failure)
    response = await admin.get(EXPORT)
    assert (response.status, response.code) == (500, "internal_error")
    services.requests.clear()
    assert (await running.http.with_token(signer.token()).get(EXPORT)).status == 403
    assert (await admin.get(f"{EXPORT}&page_start=1")).status == 400
    assert not services.requests


@pytest.mark.parametrize("reply", ["a failure", "none"])
async def test_a_failure_of_a_later_page_breaks_the_connection_off(
    open_edge: OpenEdge, services: StubServices, signer: TokenSigner, reply: str
) -> None:
    http = (await open_edge(edge_timeout=0.2)).http.with_token(signer.token(role="admin"))
    pages = Pages(last=9)

    def respond(message: Msg) -> StubReply | None:
        if len(pages.requested) < 2:
            return pages(message)
        failure = {headers.ERROR: InternalError.code, headers.ERROR_CODE: "500"}
        return (InternalError().to_json(""), failure) if reply == "a failure" else None

    services.responders[SUBJECT] = respond
    with pytest.raises(aiohttp.ClientPayloadError):
        await http.get(EXPORT)
    services.responders[SUBJECT] = Pages(last=1)
    assert (await http.get(EXPORT)).body == PAGE * 2


async def test_no_more_pages_are_asked_for_than_the_client_reads(
    running: RunningEdge, services: StubServices, signer: TokenSigner
) -> None:
    """A client that stops reading holds the export back; when it goes away, the export ends."""
    pages = services.responders[SUBJECT] = Pages(last=1_000)
    _, writer = await asyncio.open_connection("127.0.0.1", running.port, limit=1024)
    token = signer.token(role="admin")
    request = f"GET /api/v1{EXPORT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
    writer.write(request.encode())
    counts: list[int] = []

    async def is_held_back() -> bool:
        counts.append(len(pages.requested))
        return len(counts) > 5 and counts[-1] == counts[-5] > 0

    await eventually(is_held_back)
    assert len(pages.requested) < 100
    writer.transport.abort()
    assert (await running.http.with_token(token)("HEAD", EXPORT)).status == 200
    assert len(pages.requested) == counts[-1] + 1
