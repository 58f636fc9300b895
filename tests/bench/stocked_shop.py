"""The shop that is measured: stocked with products, and visited by customers who are signed in."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg
import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg

from contracts import catalog, order
from infra.foundation.ids import new_id
from infra.messaging import connection as messaging
from infra.ops.devstack.stack import Stack
from infra.ops.devstack.stack_settings import StackSettings
from tests.bench.customers import BenchCustomer, create_customers
from tests.bench.load_generator import connect
from tests.bench.vocabulary import NOUNS, Vocabulary
from tests.support.many_products import fill_catalog
from tests.support.rpc import RpcCaller, admin_identity

PRODUCTS = 500
CUSTOMERS = 6000
"""As many as the checkouts of one run, which takes each of them once."""
MANY_PRODUCTS = 10_000
CARTS, LINES_OF_CART = 3000, 4
STOCK_UNITS = 1_000_000


@dataclass
class BenchShop:
    """What the scenarios need to know of the shop."""

    stack: Stack
    client: Client
    words: Vocabulary = field(default_factory=Vocabulary)
    categories: list[str] = field(default_factory=list)
    skus: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    """Of products, the most popular first: what a path can name them by."""
    many_keys: list[str] = field(default_factory=list)
    """So many that a run takes each one once while any cache could keep it."""
    customers: Iterator[BenchCustomer] = field(default_factory=lambda: iter(()))
    carts: Iterator[str] = field(default_factory=lambda: iter(()))
    coupon: str = ""
    """The code of a coupon that any number of orders may use."""
    unpaid: dict[str, asyncio.Future[None]] = field(default_factory=dict)

    async def stock_shop(self, products: int = PRODUCTS, customers: int = CUSTOMERS) -> None:
        """Creates products in a dozen categories, a coupon, and customers."""
        rpc = RpcCaller(self.client)
        categories = {}
        for name in NOUNS:
            created = await rpc(catalog.CREATE_CATEGORY, {"name": name}, identity=admin_identity())
            categories[name] = created.id
            self.categories.append(created.slug)
        for start in range(0, products, 25):
            numbers = range(start, min(start + 25, products))
            await asyncio.gather(*(self._create_product(rpc, categories, number) for number in numbers))
        coupon = {"code": f"BENCH-{new_id().hex}", "kind": "percent", "value": 10}
        self.coupon = (await rpc(order.CREATE_COUPON, coupon, identity=admin_identity())).code
        self.customers = itertools.cycle(await create_customers(self.stack, self.words, customers))
        await self.client.subscribe("event.order.*.paid", cb=self._on_paid)

    async def _create_product(self, rpc: RpcCaller, categories: Mapping[str, UUID], number: int) -> None:
        category, body = self.words.product(number, f"BENCH-{new_id().hex}", STOCK_UNITS)
        body["category_id"] = str(categories[category])
        product = await rpc(catalog.CREATE_PRODUCT, body, identity=admin_identity())
        self.skus.append(product.variants[0].sku)
        self.keys.append(product.slug)

    async def add_many_products(self, products: int = MANY_PRODUCTS) -> None:
        """Adds generated products, once. Each can be named by its slug and by its id."""
        if self.many_keys:
            return
        connection = await asyncpg.connect(self.stack.dsn("catalog"))
        try:
            await fill_catalog(connection, products)
            rows = await connection.fetch("SELECT id::text, slug FROM product WHERE is_active ORDER BY id")
        finally:
            await connection.close()
        self.many_keys = [row["slug"] for row in rows] + [row["id"] for row in rows]

    async def open_carts(self, count: int = CARTS) -> None:
        """Opens carts of guests, each of which gets a few lines."""
        connections = [await connect(self.stack.http_url) for _ in range(16)]
        carts: list[str] = []
        for _ in range(count // len(connections)):
            responses = await asyncio.gather(*(one.request("POST", "/api/v1/carts") for one in connections))
            carts += [orjson.loads(body)["id"] for _, body in responses]
        for connection in connections:
            connection.close()
        self.carts = itertools.cycle(cart for _ in range(LINES_OF_CART) for cart in carts)

    # Orders that are about to be paid.

    async def _on_paid(self, message: Msg) -> None:
        payment = self.payment_of(message.subject.split(".")[2])
        if not payment.done():
            payment.set_result(None)

    def payment_of(self, order_id: str) -> asyncio.Future[None]:
        """A future that is done once the order is paid, perhaps before its customer has the response."""
        return self.unpaid.setdefault(order_id, asyncio.get_running_loop().create_future())

    async def wait_until_paid(self, seconds: float = 30.0) -> int:
        """Waits for payments that are under way; returns how many orders stay unpaid."""
        late = list(self.unpaid.values())
        if late:
            await asyncio.wait(late, timeout=seconds)
        return sum(not payment.done() for payment in late)


@asynccontextmanager
async def running_shop(settings: StackSettings) -> AsyncIterator[BenchShop]:
    """Starts a shop, with a connection that may do everything."""
    async with (
        Stack(settings).running() as stack,
        messaging.connect(stack.nats_url, "operator", stack.nats_password("operator")) as client,
    ):
        yield BenchShop(stack, client)
