"""What customers do, measured: look, search, fill a cart, sign in, and buy until the order is paid."""

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg

from contracts import catalog, user
from infra.foundation.ids import new_id
from infra.ops.devstack.stack import Stack
from tests.bench.load_generator import BenchResult, Connection, Step, run
from tests.support.http import ADDRESS
from tests.support.rpc import RpcCaller, admin_identity

PRODUCTS = 500
CUSTOMERS = 64
STOCK_UNITS = 1_000_000
PASSWORD = "correct horse battery"
OK, CREATED = 200, 201


@dataclass
class BenchShop:
    """A stocked shop with customers."""

    stack: Stack
    client: Client
    skus: list[str] = field(default_factory=list)
    slugs: list[str] = field(default_factory=list)
    emails: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    orders: list[str] = field(default_factory=list)
    unpaid: dict[str, asyncio.Future[None]] = field(default_factory=dict)

    async def stock_shop(self) -> None:
        """Products in a dozen categories, and customers who are signed in."""
        ask = RpcCaller(self.client)
        categories = [
            await ask(catalog.CREATE_CATEGORY, {"name": f"Bench {number}"}, identity=admin_identity())
            for number in range(12)
        ]
        for start in range(0, PRODUCTS, 25):
            several = (self._product(ask, categories[n % 12].id, n) for n in range(start, start + 25))
            await asyncio.gather(*several)
        for _ in range(0, CUSTOMERS, 2):  # a hash of a password keeps a core busy
            await asyncio.gather(self._customer(ask), self._customer(ask))
        await self.client.subscribe("event.order.*.paid", cb=self._paid)

    async def _product(self, ask: RpcCaller, category: UUID, number: int) -> None:
        words = ("brass", "copper", "woven", "glazed", "carved", "painted", "silk", "linen")
        body = {
            "name": f"{random.choice(words).title()} piece {number}",
            "description": " ".join(random.choices(words, k=60)),
            "sku": f"BENCH-{new_id().hex}",
            "price": {"amount": random.randrange(500, 50_000), "currency": "USD"},
            "stock": STOCK_UNITS,
            "category_id": str(category),
            "tags": random.sample(words, 3),
            "attributes": {"material": random.choice(words)},
        }
        product = await ask(catalog.CREATE_PRODUCT, body, identity=admin_identity())
        self.skus.append(product.variants[0].sku)
        self.slugs.append(product.slug)

    async def _customer(self, ask: RpcCaller) -> None:
        email = f"{new_id().hex}@example.com"
        body = {"email": email, "password": PASSWORD, "first_name": "Bench", "last_name": "Mark"}
        session = await ask(user.REGISTER, body, client=email)
        self.emails.append(email)
        self.tokens.append(session.access_token)

    async def _paid(self, message: Msg) -> None:
        self._told(message.subject.split(".")[2]).set_result(None)

    def _told(self, order_id: str) -> asyncio.Future[None]:
        """Done once the order is paid; that may be before its customer has the answer."""
        return self.unpaid.setdefault(order_id, asyncio.get_running_loop().create_future())

    def signed_in(self, number: int) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens[number % CUSTOMERS]}"}

    # The steps.

    def product_detail(self, *, cached: bool) -> Step:
        async def step(connection: Connection, number: int) -> bool:
            headers = {} if cached else self.signed_in(number)
            status, _ = await connection.request("GET", f"/api/v1/products/{random.choice(self.slugs)}", b"", headers)
            return status == OK

        return step

    def product_list(self, *, cached: bool) -> Step:
        async def step(connection: Connection, number: int) -> bool:
            headers = {} if cached else self.signed_in(number)
            path = f"/api/v1/products?limit=20&category=bench-{random.randrange(12)}"
            status, body = await connection.request("GET", path, b"", headers)
            return status == OK and b'"available"' in body

        return step

    async def search(self, connection: Connection, number: int) -> bool:
        word = random.choice(("brass", "copper", "silk", "linen"))
        path = f"/api/v1/products/search?q={word}&limit=20"
        status, _ = await connection.request("GET", path, b"", self.signed_in(number))
        return status == OK

    async def add_to_cart(self, connection: Connection, number: int) -> bool:
        body = orjson.dumps({"sku": self.skus[number % len(self.skus)], "quantity": 1})
        cart = self.carts[number]
        if next(self.added[number]) % 900 == 0:
            await connection.request("DELETE", f"/api/v1/carts/{cart}")
        status, _ = await connection.request("POST", f"/api/v1/carts/{cart}/items", body)
        return status == OK

    async def open_carts(self, connection: Connection, count: int) -> None:
        self.carts = [orjson.loads((await connection.request("POST", "/api/v1/carts"))[1])["id"] for _ in range(count)]
        self.added = [itertools.count(1) for _ in range(count)]

    async def checkout(self, connection: Connection, number: int) -> bool:
        """Into the cart, ordered, and waited for until the order is paid."""
        headers = self.signed_in(number)
        line = orjson.dumps({"sku": random.choice(self.skus), "quantity": 1})
        added, _ = await connection.request("POST", "/api/v1/carts/mine/items", line, headers)
        order: dict[str, Any] = {"cart_id": "mine", "shipping_address": ADDRESS, "payment_method": "sim_ok"}
        keyed = {**headers, "Idempotency-Key": new_id().hex}
        status, body = await connection.request("POST", "/api/v1/orders", orjson.dumps(order), keyed)
        if added != OK or status != CREATED:
            return False
        order_id = orjson.loads(body)["id"]
        self.orders.append(order_id)
        try:
            await asyncio.wait_for(self._told(order_id), 10)
        except TimeoutError:
            return False
        del self.unpaid[order_id]
        return True

    async def login(self, connection: Connection, number: int) -> bool:
        body = orjson.dumps({"email": self.emails[number % CUSTOMERS], "password": PASSWORD})
        status, _ = await connection.request("POST", "/api/v1/auth/login", body)
        return status == OK


MeasureCpu = Callable[[Awaitable[BenchResult]], Awaitable[BenchResult]]
"""Runs it and adds the CPU of each process."""


async def measure(shop: BenchShop, seconds: float, watched: MeasureCpu, chosen: str = "") -> list[BenchResult]:
    """Every scenario through Nginx, one after the other; those whose name has `chosen` in it."""
    url = shop.stack.http_url
    scenarios: list[tuple[str, Step, int]] = [
        ("product detail", shop.product_detail(cached=True), 32),
        ("product detail past the cache", shop.product_detail(cached=False), 32),
        ("list of 20", shop.product_list(cached=True), 32),
        ("list of 20 past the cache", shop.product_list(cached=False), 32),
        ("search past the cache", shop.search, 32),
        ("add to cart", shop.add_to_cart, 32),
        ("checkout until paid", shop.checkout, 48),
        ("login", shop.login, 4),
    ]
    results = []
    for name, step, workers in scenarios:
        if chosen in name:
            results.append(await watched(run(name, url, step, workers=workers, seconds=seconds)))
    return results
