"""What is measured: customers browse, search, fill carts, log in, and buy until the order is paid."""

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
        """Creates products in a dozen categories, and customers who are signed in."""
        rpc = RpcCaller(self.client)
        categories = [
            await rpc(catalog.CREATE_CATEGORY, {"name": f"Bench {number}"}, identity=admin_identity())
            for number in range(12)
        ]
        for start in range(0, PRODUCTS, 25):
            several = (self._product(rpc, categories[n % 12].id, n) for n in range(start, start + 25))
            await asyncio.gather(*several)
        for _ in range(0, CUSTOMERS, 2):  # hashing a password keeps a core busy
            await asyncio.gather(self._customer(rpc), self._customer(rpc))
        await self.client.subscribe("event.order.*.paid", cb=self._paid)

    async def _product(self, rpc: RpcCaller, category: UUID, number: int) -> None:
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
        product = await rpc(catalog.CREATE_PRODUCT, body, identity=admin_identity())
        self.skus.append(product.variants[0].sku)
        self.slugs.append(product.slug)

    async def _customer(self, rpc: RpcCaller) -> None:
        email = f"{new_id().hex}@example.com"
        body = {"email": email, "password": PASSWORD, "first_name": "Bench", "last_name": "Mark"}
        session = await rpc(user.REGISTER, body, client=email)
        self.emails.append(email)
        self.tokens.append(session.access_token)

    async def _paid(self, message: Msg) -> None:
        self._payment_of(message.subject.split(".")[2]).set_result(None)

    def _payment_of(self, order_id: str) -> asyncio.Future[None]:
        """A future that is done once the order is paid, perhaps before its customer has the response."""
        return self.unpaid.setdefault(order_id, asyncio.get_running_loop().create_future())

    def signed_in(self, number: int) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens[number % CUSTOMERS]}"}

    # The steps of the scenarios.

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
        """Adds to the cart, places the order and waits until it is paid."""
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
            await asyncio.wait_for(self._payment_of(order_id), 10)
        except TimeoutError:
            return False
        del self.unpaid[order_id]
        return True

    async def login(self, connection: Connection, number: int) -> bool:
        body = orjson.dumps({"email": self.emails[number % CUSTOMERS], "password": PASSWORD})
        status, _ = await connection.request("POST", "/api/v1/auth/login", body)
        return status == OK


MeasureCpu = Callable[[Awaitable[BenchResult]], Awaitable[BenchResult]]
"""Runs a measurement and adds the CPU of each process."""


async def measure(shop: BenchShop, seconds: float, measure_cpu: MeasureCpu, chosen: str = "") -> list[BenchResult]:
    """Measures every scenario whose name contains `chosen`, one after another, through Nginx."""
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
            results.append(await measure_cpu(run(name, url, step, workers=workers, seconds=seconds)))
    return results
