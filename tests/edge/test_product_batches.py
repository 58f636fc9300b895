"""Requests for products that go out together: each one has its own result."""

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from nats.aio.msg import Msg

from contracts import headers
from contracts.catalog import GET_PRODUCT, GET_PRODUCTS, OutOfStock
from contracts.failure import Fail, NotFound, ReplyTooLarge, Unavailable
from edge.upstream.product_batches import MAX_UNDER_WAY
from tests.edge.conftest import OpenEdge, StubReply, StubServices
from tests.edge.token_signing import TokenSigner
from tests.support.eventually import eventually
from tests.support.http import HttpClient, HttpResponse

MANY = 20


def product(key: str) -> bytes:
    """JSON with spaces and escapes, which reach the client as they are."""
    return b'{"id": "%b", "name": "caf\\u00e9 \xc3\xa9"}' % key.encode()


def failure(fail: Fail) -> StubReply:
    return fail.to_json("theirs"), {headers.ERROR: fail.code, headers.ERROR_CODE: str(int(fail.status))}


class StubCatalog:
    """Reads single products and several; the first messages stay unanswered until they are released."""

    def __init__(self, services: StubServices) -> None:
        self.services = services
        self.alone: list[str] = []
        self.together: list[list[str]] = []
        self.failures: dict[str, Fail] = {}
        self.reply: Callable[[list[str]], StubReply] = self.results
        services.responders[GET_PRODUCT.subject] = self._get_product
        services.responders[GET_PRODUCTS.subject] = self._get_products

    def results(self, keys: list[str]) -> StubReply:
        return orjson.dumps({"items": [self._result(key) for key in keys]}), {}

    def _result(self, key: str) -> dict[str, Any]:
        if fail := self.failures.get(key):
            return {"version": None, "product": None, "failure": fail.to_problem().model_dump(exclude_none=True)}
        return {"version": 3, "product": product(key).decode(), "failure": None}

    def _get_product(self, message: Msg) -> StubReply | None:
        key = orjson.loads(message.data)["key"]
        self.alone.append(key)
        if key.startswith("silent"):
            return None
        fail = self.failures.get(key)
        return failure(fail) if fail else (product(key), {headers.VERSION: "3"})

    def _get_products(self, message: Msg) -> StubReply | None:
        keys = [item["key"] for item in orjson.loads(message.data)["items"]]
        self.together.append(keys)
        return None if keys[0].startswith("silent") else self.reply(keys)


@pytest.fixture
def stub(services: StubServices) -> StubCatalog:
    return StubCatalog(services)


@pytest.fixture
async def http(open_edge: OpenEdge, stub: StubCatalog) -> HttpClient:
    """A client of an edge that keeps no replies."""
    return (await open_edge(edge_cache_seconds=0, edge_timeout=3, edge_try_timeout=3)).http


async def read(http: HttpClient, keys: list[str]) -> dict[str, HttpResponse]:
    responses = await asyncio.gather(*(http.get(f"/products/{key}") for key in keys))
    return dict(zip(keys, responses, strict=True))


def keys_of(name: str, count: int = MANY) -> list[str]:
    return [f"{name}-{number}" for number in range(count)]


async def test_simultaneous_requests_go_out_together(http: HttpClient, stub: StubCatalog) -> None:
    keys = keys_of("lamp")
    alone = await http.get("/products/lamp-0")
    responses = await read(http, keys)
    assert {key: one.body for key, one in responses.items()} == {key: product(key) for key in keys}
    assert {one.status for one in responses.values()} == {200}
    assert responses["lamp-0"].headers["ETag"] == alone.headers["ETag"], "the same bytes either way"
    assert len(stub.together) + len(stub.alone) < MANY, "several went out as one"
    assert max(map(len, stub.together)) > 1


async def test_each_request_has_its_own_failure(http: HttpClient, stub: StubCatalog) -> None:
    stub.failures = {"lamp-3": NotFound(), "lamp-7": OutOfStock("None left.", retry_after=3)}
    responses = await read(http, keys_of("lamp"))
    assert any(len(keys) > 1 for keys in stub.together)
    missing, failed = responses.pop("lamp-3"), responses.pop("lamp-7")
    assert (missing.status, missing.code) == (404, "not_found")
    assert (failed.status, failed.json["detail"], failed.headers["Retry-After"]) == (409, "None left.", "3")
    assert {one.status for one in responses.values()} == {200}
    if "lamp-3" not in stub.alone:
        assert missing.json["request_id"] == missing.headers["X-Request-Id"]


async def test_a_product_that_has_moved_is_redirected_to(http: HttpClient, stub: StubCatalog) -> None:
    def moved(key: str) -> dict[str, Any]:
        return {"version": 3, "product": product(key).decode(), "failure": None, "moved_to": f"new-{key}"}

    stub.reply = lambda keys: (orjson.dumps({"items": [moved(key) for key in keys]}), {})
    responses = await read(http, keys_of("lamp"))
    together = {key for keys in stub.together for key in keys}
    assert together
    for key, response in responses.items():
        expected = (301, f"/api/v1/products/new-{key}") if key in together else (200, None)
        assert (response.status, response.headers.get("Location")) == expected


@pytest.mark.parametrize(
    "reply",
    [failure(NotFound("There is no such operation.")), failure(ReplyTooLarge()), (b'{"items":7}', {}), (b"[", {})],
    ids=["older release", "too large", "no list", "no JSON"],
)
async def test_what_cannot_be_read_together_is_read_one_by_one(
    http: HttpClient, stub: StubCatalog, reply: StubReply
) -> None:
    stub.reply = lambda _: reply
    keys = keys_of("lamp")
    responses = await read(http, keys)
    assert {key: one.body for key, one in responses.items()} == {key: product(key) for key in keys}
    assert stub.together
    assert sorted(stub.alone) == sorted(keys)


async def test_a_reply_without_room_leaves_the_last_ones_to_themselves(http: HttpClient, stub: StubCatalog) -> None:
    stub.reply = lambda keys: stub.results(keys[:1])
    keys = keys_of("lamp")
    responses = await read(http, keys)
    assert {key: one.body for key, one in responses.items()} == {key: product(key) for key in keys}
    assert stub.together


async def test_an_overloaded_catalog_is_not_asked_again(http: HttpClient, stub: StubCatalog) -> None:
    stub.reply = lambda _: failure(Unavailable(retry_after=4))
    responses = await read(http, keys_of("lamp"))
    together = [key for keys in stub.together for key in keys]
    assert together
    for key in together:
        assert (responses[key].status, responses[key].headers["Retry-After"]) == (503, "4")
        assert responses[key].json["request_id"] == responses[key].headers["X-Request-Id"]
    assert not set(together) & set(stub.alone)


async def test_a_refusal_shows_that_the_catalog_is_alive(open_edge: OpenEdge, stub: StubCatalog) -> None:
    http = (await open_edge(edge_cache_seconds=0, edge_silence=0.0001, edge_silent_asks=MANY + 1)).http
    keys = keys_of("lamp")
    stub.failures = dict.fromkeys(keys, Unavailable("The store is away."))
    stub.reply = lambda _: failure(Unavailable("The store is away."))
    for _ in range(2):
        assert {one.json["detail"] for one in (await read(http, keys)).values()} == {"The store is away."}
    assert stub.together


async def test_an_unanswered_message_holds_up_no_other_request(http: HttpClient, stub: StubCatalog) -> None:
    silent = []
    for number in range(MAX_UNDER_WAY):
        silent.append(asyncio.create_task(http.get(f"/products/silent-{number}")))
        await eventually(lambda number=number: f"silent-{number}" in stub.alone)
    response = await http.get("/products/lamp")
    assert response.body == product("lamp")
    assert not any(task.done() for task in silent)
    assert {task.status for task in await asyncio.gather(*silent)} == {504}


async def test_a_silent_catalog_opens_the_circuit(open_edge: OpenEdge, stub: StubCatalog) -> None:
    http = (await open_edge(edge_silence=0.2, edge_silent_asks=5, edge_timeout=2, edge_try_timeout=2)).http
    stub.services.responders["rpc.catalog.health"] = lambda _: None
    waiting = [asyncio.create_task(http.get(f"/products/{key}")) for key in keys_of("silent", 6)]
    await eventually(lambda: len(stub.alone) + sum(map(len, stub.together)) == 6)

    async def is_refused() -> bool:
        return (await http.get("/products/silent-again")).status == 503

    await eventually(is_refused)
    await asyncio.gather(*waiting)


async def test_administrators_are_asked_about_one_by_one(
    http: HttpClient, stub: StubCatalog, signer: TokenSigner
) -> None:
    responses = await read(http.with_token(signer.token(role="admin")), keys_of("lamp"))
    assert {one.status for one in responses.values()} == {200}
    assert (len(stub.alone), stub.together) == (MANY, [])
    assert all(headers.IDENTITY in (message.headers or {}) for message in stub.services.requests)
