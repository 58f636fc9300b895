"""Requests around every limit of size, on every route, while another customer shops.

No request gets a server error, no reply is larger than a reply may be, no process restarts or loses its connection to
NATS, and the other customer notices nothing.
"""

import asyncio
import io
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import aiohttp
import orjson
import pytest

from contracts.catalog import Product
from contracts.size_limits import (
    MAX_FIELD_ERRORS,
    MAX_JSON_DEPTH,
    MAX_JSON_KEYS,
    MAX_REPLY_BYTES,
    MAX_SNAPSHOT_BYTES,
)
from edge.request_parsing import MAX_QUERY_PARAMETERS
from edge.routes import API_PREFIX, MEBIBYTE, BodyFormat, Route, all_routes
from infra.foundation.ids import new_id
from infra.ops.devstack.stack import Stack
from infra.ops.devstack.stack_settings import SERVICE_STORES
from tests.support.http import ADDRESS, HttpClient, HttpResponse, RegisteredCustomer

ATTACKER = "127.0.0.72"
"""An address of its own, because the rate limits count by address."""
NOISE_FLOOR_SECONDS = 0.15
"""Two busy cores make single requests slower than this, with or without large ones beside them."""
QUIET_ROUNDS = 60
PATH_PARAMETER = re.compile(r"{(\w+)}")
PATH_VALUES = {"sku": "no-such-sku", "key": "no-such-product", "width": "160"}
USD = {"amount": 1000, "currency": "USD"}


def exactly(size: int) -> bytes:
    """An object of this many bytes, with one long text that has to be escaped in every reply."""
    frame = b'{"unknown":"%b"}'
    text = b"\\u0001" * ((size - len(frame % b"")) // 6)
    return frame % (text + b"x" * (size - len(frame % text)))


def keys(count: int) -> bytes:
    return orjson.dumps({f"k{index}": 0 for index in range(count)})


def nested(depth: int) -> bytes:
    return b'{"items":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


def items(count: int) -> bytes:
    names = ("items", "variants", "tags", "scopes")
    return orjson.dumps(dict.fromkeys(names, [{"sku": "A", "quantity": 1}] * count))


BODIES: dict[str, tuple[bytes, set[int]]] = {
    "1 MiB": (exactly(MEBIBYTE), set()),
    "1 MiB and a byte": (exactly(MEBIBYTE + 1), {413}),
    "1 MiB of blanks": (b"{" + b" " * (MEBIBYTE - 2) + b"}", set()),
    "one long key": (b'{"' + b"k" * (MEBIBYTE - 6) + b'":0}', set()),
    "numbers that grow": (b'{"items":[' + b",".join([b"1e15"] * 55_000) + b"]}", set()),
    "most keys": (keys(MAX_JSON_KEYS), set()),
    "a key too many": (keys(MAX_JSON_KEYS + 1), {413}),
    "deepest": (nested(MAX_JSON_DEPTH), set()),
    "too deep": (nested(MAX_JSON_DEPTH + 1), {400}),
    "deep beyond the parser": (nested(100_000), {400}),
    "101 items": (items(101), set()),
    "2,400 items": (items(2_400), set()),
}
"""Bodies, each with the statuses that the edge itself answers with before a service is asked."""

REFUSED_EARLIER = {401, 403, 404, 429}

QUERIES = (
    "limit=100",
    "limit=101",
    f"limit={'9' * 4000}",
    f"after={'x' * 1024}",
    f"after={'x' * 1025}",
    "q=" + "%01" * 1000,
    "&".join(f"k{index}=1" for index in range(MAX_QUERY_PARAMETERS)),
    "&".join(f"k{index}=1" for index in range(MAX_QUERY_PARAMETERS + 1)),
)


def json_routes() -> Iterator[tuple[str, Route]]:
    yield from ((path, route) for path, route in all_routes() if route.body_format is BodyFormat.JSON)


def query_routes() -> Iterator[tuple[str, Route]]:
    yield from ((path, route) for path, route in all_routes() if route.method == "GET")


def address_of(path: str) -> str:
    """The path with ids that do not exist."""
    filled = PATH_PARAMETER.sub(lambda found: PATH_VALUES.get(found[1], str(new_id())), path)
    return filled.removeprefix(API_PREFIX) if filled.startswith(API_PREFIX) else f"/{filled}"


def check(response: HttpResponse, what: str) -> None:
    """Whatever was sent, the response is complete, bounded and not the shop's fault."""
    assert response.status < HTTPStatus.INTERNAL_SERVER_ERROR, (what, response.status, response.body[:500])
    assert len(response.body) <= MAX_REPLY_BYTES, what
    if response.status >= HTTPStatus.BAD_REQUEST:
        errors = response.json.get("errors", [])
        assert len(errors) <= MAX_FIELD_ERRORS + 1, what
        assert len(response.body) <= MEBIBYTE // 4, what


@pytest.fixture(scope="module")
async def attacker(stack: Stack) -> AsyncIterator[HttpClient]:
    connector = aiohttp.TCPConnector(local_addr=(ATTACKER, 0), limit=0)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield HttpClient(session, stack.http_url)


async def processes(stack: Stack) -> dict[str, Any]:
    """The pid and restarts of every process, and the connections of services and edge to NATS."""
    found: dict[str, Any] = {
        f"{one.name}.{one.pid}": one.restarts for one in stack.state().processes if one.pid is not None
    }
    names = {f"souk-{name}" for name in (*SERVICE_STORES, "edge")}
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{stack.nats_monitor_url}/connz?limit=1024") as response,
    ):
        for connection in (await response.json())["connections"]:
            if connection.get("name") in names:
                found[f"{connection['name']} connection {connection['cid']}"] = connection["start"]
    return found


@asynccontextmanager
async def undisturbed(stack: Stack) -> AsyncIterator[None]:
    """Within the block no process restarts, and none reconnects."""
    before = await processes(stack)
    yield
    after = await processes(stack)
    assert before.items() <= after.items()


class Shopper:
    """Another customer, who looks at a product, puts it into the cart and lists their orders again and again."""

    def __init__(self, customer: RegisteredCustomer, product: Product) -> None:
        self._http = customer.http
        self._product = product
        self.failures: list[tuple[int, bytes]] = []
        self.seconds: list[float] = []

    async def shop(self) -> None:
        line = {"sku": self._product.variants[0].sku, "quantity": 1}
        await self._measure(self._http.get(f"/products/{self._product.id}"))
        await self._measure(self._http.put(f"/carts/mine/items/{line['sku']}", {"quantity": 1}))
        await self._measure(self._http.get("/orders?limit=5"))

    async def _measure(self, request: Awaitable[HttpResponse]) -> None:
        started = time.perf_counter()
        response = await request
        self.seconds.append(time.perf_counter() - started)
        if response.status >= HTTPStatus.BAD_REQUEST:
            self.failures.append((response.status, response.body))

    def take_p99(self) -> float:
        """The 99th percentile since the last call, in seconds."""
        measured, self.seconds = sorted(self.seconds), []
        return measured[int(len(measured) * 0.99)]

    async def measure_quiet(self) -> float:
        """The 99th percentile while only this customer is in the shop, in seconds."""
        for _ in range(QUIET_ROUNDS):
            await self.shop()
        return self.take_p99()

    @asynccontextmanager
    async def unharmed(self) -> AsyncIterator[None]:
        """Within the block the customer shops, gets no error, and waits at most twice as long as before and after."""
        quiet_p99 = await self.measure_quiet()
        done = asyncio.Event()

        async def shop_on() -> None:
            while not done.is_set():
                await self.shop()

        shopping = asyncio.create_task(shop_on())
        try:
            yield
        finally:
            done.set()
            await shopping
        p99 = self.take_p99()
        quiet_p99 = max(quiet_p99, await self.measure_quiet())
        assert self.failures == []
        assert p99 <= max(2 * quiet_p99, NOISE_FLOOR_SECONDS)


@pytest.fixture
async def shopper(customer: RegisteredCustomer, new_product: Callable[..., Awaitable[Product]]) -> Shopper:
    product = await new_product(stock=1000)
    added = await customer.http.post("/carts/mine/items", {"sku": product.variants[0].sku, "quantity": 1})
    assert added.status == HTTPStatus.OK, added.body
    return Shopper(customer, product)


async def send_body(attacker: HttpClient, method: str, path: str, name: str) -> None:
    """Sends a body. A route that is closed to the attacker, or knows no such id, may say so without reading it."""
    body, statuses = BODIES[name]
    headers = {"Content-Type": "application/json"}
    response = await attacker(method, address_of(path), data=io.BytesIO(body), headers=headers)
    what = f"{method} {path}: {name}"
    check(response, what)
    assert not statuses or response.status in statuses | REFUSED_EARLIER, (what, response.status)


async def send_everything(attacker: HttpClient) -> None:
    """Sends every body to every route that takes one, and every query to every route that takes one."""
    for path, route in json_routes():
        for name in BODIES:
            await send_body(attacker, route.method, path, name)
    for path, route in query_routes():
        for query in QUERIES:
            check(await attacker.get(f"{address_of(path)}?{query}"), f"{route.method} {path}?{query[:40]}")


async def test_sizes_around_every_limit_on_every_route(
    stack: Stack, attacker: HttpClient, admin_http: HttpClient, shopper: Shopper
) -> None:
    async with undisturbed(stack), shopper.unharmed():
        await send_everything(attacker.with_token(admin_http.token))
        for path in ("/auth/login", "/carts", "/orders"):
            for name in BODIES:
                await send_body(attacker, "POST", API_PREFIX + path, name)


def large_options(number: int = 0) -> dict[str, str]:
    """Options that, with the name, are just below the size that an order copies of a variant."""
    return {f"option {index}": "€" * 239 + f"{number:03}" for index in range(9)}


async def create_large_product(http: HttpClient, tag: str, variants: int) -> list[str]:
    """Creates a product of many large variants and returns their SKUs."""
    skus = [f"L-{new_id().hex}" for _ in range(variants)]
    listed = [{"sku": sku, "price": USD, "stock": 1000, "options": large_options(n)} for n, sku in enumerate(skus)]
    body = {"name": "🧺" * 200, "description": "語" * 20_000, "tags": [tag], "variants": listed}
    created = await http.post("/products", body)
    assert created.status == HTTPStatus.CREATED, created.body[:500]
    assert len(created.body) <= MAX_REPLY_BYTES
    return skus


async def read_pages(http: HttpClient, path: str, limit: int) -> tuple[list[dict[str, Any]], int]:
    """All items of a list, and the number of its pages."""
    found: list[dict[str, Any]] = []
    after, pages = "", 0
    while True:
        response = await http.get(f"{path}&limit={limit}{after}")
        assert response.status == HTTPStatus.OK, response.body[:500]
        assert len(response.body) <= MAX_REPLY_BYTES
        assert 1 <= len(response.json["items"]) <= limit
        found += response.json["items"]
        pages += 1
        if response.json["next"] is None:
            return found, pages
        after = f"&after={response.json['next']}"


async def test_pages_are_cut_by_bytes_with_the_right_next(
    stack: Stack, attacker: HttpClient, admin_http: HttpClient, customer: RegisteredCustomer
) -> None:
    """Products of 400 KiB, and orders of a hundred of their variants, as large as an order can be."""
    admin = attacker.with_token(admin_http.token)
    tag = f"large-{new_id().hex}"
    async with undisturbed(stack):
        skus = [sku for _ in range(3) for sku in await create_large_product(admin, tag, 45)]
        for query in ("", "&sort=name", "&sort=price"):
            for path in ("/products", "/products/search"):
                found, pages = await read_pages(admin, f"{path}?tag={tag}{query}", 100)
                assert {one["variants"][0]["sku"] for one in found} == {skus[0], skus[45], skus[90]}
                assert (len(found), pages) == (3, 2)
        lines = [{"sku": sku, "quantity": 1} for sku in skus[:100]]
        buyer = HttpClient(attacker.session, attacker.url, customer.http.token)
        for _ in range(3):
            order = {"items": lines, "shipping_address": ADDRESS, "payment_method": "sim_ok"}
            placed = await buyer.post("/orders", order)
            assert placed.status == HTTPStatus.CREATED, placed.body[:500]
        for client in (buyer, admin):
            found, pages = await read_pages(client, f"/orders?user_id={customer.user['id']}", 100)
            assert (len({one["id"] for one in found}), pages) == (3, 3)
        export = await buyer.get("/users/profile/export")
        check(export, "export")


async def test_what_could_not_be_listed_or_ordered_is_refused(admin_http: HttpClient) -> None:
    names = [f"{index}" for index in range(MAX_SNAPSHOT_BYTES // 750 + 1)]
    fits = {"sku": f"L-{new_id().hex}", "price": USD, "options": dict.fromkeys(names, "€")}
    too_large = {"sku": f"L-{new_id().hex}", "price": USD, "options": dict.fromkeys(names, "€" * 255)}
    refused = await admin_http.post("/products", {"name": "Basket", "variants": [fits, too_large]})
    assert refused.status == HTTPStatus.UNPROCESSABLE_ENTITY
    assert [error["pointer"] for error in refused.json["errors"]] == ["/variants/1/options"]
    many = [
        {"sku": f"L-{new_id().hex}", "price": USD, "options": large_options(number) | {"more": "€" * 255}}
        for number in range(100)
    ]
    refused = await admin_http.post("/products", {"name": "Basket", "variants": many})
    assert refused.status == HTTPStatus.UNPROCESSABLE_ENTITY
    assert [error["pointer"] for error in refused.json["errors"]] == [""]
