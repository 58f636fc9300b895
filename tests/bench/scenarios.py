"""What is measured: customers browse, search, fill carts, log in, and buy until the order is paid."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import orjson

from infra.foundation.ids import new_id
from tests.bench.customers import PASSWORD
from tests.bench.load_generator import BenchResult, Connection, Step
from tests.bench.requirements import NOT_REQUIRED, Requirement, at_most, of_aiohttp
from tests.bench.stocked_shop import BenchShop
from tests.support.http import ADDRESS

API = "/api/v1"
OK, CREATED = 200, 201
PAYMENT_TIMEOUT_SECONDS = 10.0

MakeStep = Callable[[BenchShop], Awaitable[Step]]
"""Prepares the shop for a scenario and returns its step."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row of the table. `short` is its name on the command line of the profiler."""

    name: str
    make_step: MakeStep
    workers: int = 32
    short: str = ""
    requirement: Requirement = NOT_REQUIRED
    """Of the rate, unless `percentile` is given."""
    percentile: float | None = None
    """The latency that is required, in milliseconds."""

    def figure(self, result: BenchResult) -> float:
        """What is compared with the requirement."""
        return result.rate if self.percentile is None else result.percentile(self.percentile) * 1000


def _get(make_path: Callable[[BenchShop], Callable[[], str]], *, cached: bool = False) -> MakeStep:
    """A scenario that reads. With a token, Nginx's cache is passed by."""

    async def make_step(shop: BenchShop) -> Step:
        return read_step(shop, make_path(shop), cached=cached)

    return make_step


def read_step(shop: BenchShop, path: Callable[[], str], *, cached: bool = False) -> Step:
    """A step that reads what `path` returns, as one of 64 customers who are signed in."""
    customers = [{} if cached else next(shop.customers).headers for _ in range(64)]

    async def step(connection: Connection, number: int) -> bool:
        status, _ = await connection.request("GET", API + path(), b"", customers[number % len(customers)])
        return status == OK

    return step


async def _detail_in_turn(shop: BenchShop) -> Step:
    await shop.add_many_products()
    keys = itertools.cycle(shop.many_keys)
    return read_step(shop, lambda: f"/products/{next(keys)}")


def _detail(shop: BenchShop) -> Callable[[], str]:
    return lambda: f"/products/{shop.words.draw(shop.keys)}"


def _list(shop: BenchShop) -> Callable[[], str]:
    return lambda: f"/products?limit=20&category={shop.words.draw(shop.categories)}"


def _search(shop: BenchShop) -> Callable[[], str]:
    return lambda: f"/products/search?q={shop.words.common_search()}&limit=20"


def _new_search(shop: BenchShop) -> Callable[[], str]:
    return lambda: f"/products/search?{shop.words.new_search()}&limit=20"


async def _add_to_cart(shop: BenchShop) -> Step:
    await shop.open_carts()

    async def step(connection: Connection, _number: int) -> bool:
        line = orjson.dumps({"sku": shop.words.draw(shop.skus), "quantity": 1})
        status, _ = await connection.request("POST", f"{API}/carts/{next(shop.carts)}/items", line)
        return status == OK

    return step


async def _checkout(shop: BenchShop) -> Step:
    """A customer who has not bought before adds to the cart, places the order and waits until it is paid."""
    return _checkout_step(shop, {})


async def _checkout_with_coupon(shop: BenchShop) -> Step:
    """All customers use one coupon, whose counter each order changes."""
    return _checkout_step(shop, {"coupon": shop.coupon})


def _checkout_step(shop: BenchShop, more: Mapping[str, str]) -> Step:
    async def step(connection: Connection, _number: int) -> bool:
        headers = next(shop.customers).headers
        line = orjson.dumps({"sku": shop.words.draw(shop.skus), "quantity": 1})
        added, _ = await connection.request("POST", f"{API}/carts/mine/items", line, headers)
        order = orjson.dumps({"cart_id": "mine", "shipping_address": ADDRESS, "payment_method": "sim_ok", **more})
        keyed = {**headers, "Idempotency-Key": new_id().hex}
        status, body = await connection.request("POST", f"{API}/orders", order, keyed)
        if added != OK or status != CREATED:
            return False
        order_id = orjson.loads(body)["id"]
        try:
            await asyncio.wait_for(shop.payment_of(order_id), PAYMENT_TIMEOUT_SECONDS)
        except TimeoutError:
            return False
        del shop.unpaid[order_id]
        return True

    return step


async def _login(shop: BenchShop) -> Step:
    emails = itertools.cycle([next(shop.customers).email for _ in range(64)])

    async def step(connection: Connection, _number: int) -> bool:
        body = orjson.dumps({"email": next(emails), "password": PASSWORD})
        status, _ = await connection.request("POST", f"{API}/auth/login", body)
        return status == OK

    return step


CHECKOUT = "checkout until paid"
LOGIN = "login"
SCENARIOS = (
    Scenario("product detail", _get(_detail, cached=True)),
    Scenario("product detail past the cache", _get(_detail), 32, "detail", of_aiohttp(0.30, 0.40)),
    Scenario("list of 20", _get(_list, cached=True)),
    Scenario("list of 20 past the cache", _get(_list), 32, "list", of_aiohttp(0.25, 0.35)),
    Scenario("search past the cache", _get(_search), 32, "searches", of_aiohttp(0.20, 0.30)),
    Scenario("search, never repeated", _get(_new_search), 32, "search", Requirement(1_200, 2_000)),
    Scenario("add to cart", _add_to_cart, 32, "cart", Requirement(1_700, 2_000)),
    Scenario(CHECKOUT, _checkout, 48, "checkout", Requirement(280, 450)),
    Scenario("checkout with one coupon for all", _checkout_with_coupon, 48, "coupon", Requirement(252, 405)),
    Scenario("checkout until paid, 8 in flight, p99", _checkout, 8, "", at_most(120, 80, "ms"), 0.99),
    Scenario("one checkout alone, until paid, p50", _checkout, 1, "", at_most(25, 15, "ms"), 0.5),
    Scenario("product detail, every key different", _detail_in_turn, 32, "details", of_aiohttp(0.18, 0.25)),
    Scenario(LOGIN, _login, 4),
)
"""In the order in which they are measured: the last but one adds products to the shop."""
BY_SHORT_NAME = {scenario.short: scenario for scenario in SCENARIOS if scenario.short}
