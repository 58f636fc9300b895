"""Reads at a small and at a large size: of the catalog, and of orders.

The reader is an administrator, for whom the edge keeps no answers, so that each request reaches the service. Both sizes
are filled by the same generator, so that the pages hold the same, and a rate falls only with the work to find them.
"""

import random
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from contracts.identity import Role
from infra.foundation.ids import new_id
from infra.ops.devstack.stack import Stack
from services.order.domain.order_numbers import format_order_number
from tests.bench import process_usage
from tests.bench.customers import BenchCustomer, TokenSigner, open_signer
from tests.bench.full_run import Show, temporary_shop
from tests.bench.load_generator import BenchResult, Connection, run
from tests.bench.report import TableData
from tests.bench.vocabulary import Vocabulary
from tests.support.many_orders import DAYS, GeneratedOrders, fill_orders
from tests.support.many_products import COLORS, MATERIALS, NOUNS, GeneratedCatalog, fill_catalog

REQUIRED, HOPED = 0.8, 0.9
SMALL_CATALOG, SMALL_ORDERS = 1_000, 10_000
WORKERS = 16
SAMPLE = 2_000
"""How many products or orders the reads choose from."""

Read = Callable[[], tuple[str, BenchCustomer]]
"""Returns what to request next, and as who."""


@dataclass
class Growth:
    """The results of the reads at both sizes."""

    what: str
    small: int
    large: int
    seconds: float
    chosen: str
    show: Show
    seconds_to_fill: float = 0.0
    results: dict[str, list[BenchResult]] = field(default_factory=dict)

    async def measure(self, stack: Stack, reads: Mapping[str, Read]) -> None:
        """Measures the chosen reads at one size."""
        for name, read in reads.items():
            if self.chosen in name:
                result = await _run(stack, name, read, self.seconds)
                self.results.setdefault(name, []).append(result)
                self.show(f"  {name}: {result.rate:,.0f}/s, {result.errors} errors")

    @property
    def missed(self) -> list[str]:
        """The reads that are too slow at the large size, or fail."""
        return [name for name, (small, large) in self.results.items() if is_missed(small, large)]

    def table(self) -> TableData:
        """Both rates of each read, and the CPU of one."""
        title = (
            f"{self.large:,} {self.what} (filled in {self.seconds_to_fill:.0f} s) against {self.small:,}: "
            f"required {REQUIRED}, hoped for {HOPED}"
        )
        columns = ("", "Small", "Large", "Large/small", "Of required", "p99 ms", "CPU us", "Errors", "")
        table = TableData(title, columns)
        for name, (small, large) in self.results.items():
            ratio = growth_ratio(small, large)
            table.rows.append(
                (
                    name,
                    f"{small.rate:,.0f}/s",
                    f"{large.rate:,.0f}/s",
                    f"{ratio:.2f}",
                    f"{ratio / REQUIRED:.2f}",
                    f"{small.percentile(0.99) * 1000:.0f} -> {large.percentile(0.99) * 1000:.0f}",
                    f"{_cpu(small):,.0f} -> {_cpu(large):,.0f}",
                    str(small.errors + large.errors),
                    "missed" if is_missed(small, large) else "reached",
                )
            )
        return table


def growth_ratio(small: BenchResult, large: BenchResult) -> float:
    """The rate at the large size as a share of that at the small one."""
    return large.rate / small.rate if small.rate else 0.0


def is_missed(small: BenchResult, large: BenchResult) -> bool:
    """Whether the large size is too slow, or a request of either failed."""
    return growth_ratio(small, large) < REQUIRED or bool(small.errors + large.errors)


def _cpu(result: BenchResult) -> float:
    return sum(process_usage.of_the_shop(result.cpu_microseconds()).values())


async def _run(stack: Stack, name: str, read: Read, seconds: float) -> BenchResult:
    async def step(connection: Connection, _number: int) -> bool:
        path, reader = read()
        status, _ = await connection.request("GET", f"/api/v1{path}", b"", reader.headers)
        return status == 200

    return await run(
        name,
        stack.http_url,
        step,
        workers=WORKERS,
        seconds=seconds,
        read_cpu=lambda: process_usage.cpu_seconds(stack),
    )


@asynccontextmanager
async def _database(stack: Stack, service: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(stack.dsn(service))
    try:
        yield connection
    finally:
        await connection.close()


# Products.


async def measure_products(products: int, seconds: float, chosen: str, show: Show) -> Growth:
    """Measures the catalog's reads whose name contains `chosen`, in two shops, one after the other."""
    growth = Growth("products", SMALL_CATALOG, products, seconds, chosen, show)
    for size in (SMALL_CATALOG, products):
        async with temporary_shop() as shop:
            started_at = time.monotonic()
            async with _database(shop.stack, "catalog") as connection:
                catalog = await fill_catalog(connection, size)
                rows = await connection.fetch("SELECT slug, name FROM product WHERE is_active ORDER BY random()")
            growth.seconds_to_fill = time.monotonic() - started_at
            show(f"{size:,} products, {catalog.variants:,} variants, made in {growth.seconds_to_fill:.1f} s")
            admin = (await open_signer(shop.stack)).sign_in(new_id(), Role.ADMIN)
            names = [(row["slug"], row["name"].lower()) for row in rows[:SAMPLE]]
            await growth.measure(shop.stack, _product_reads(catalog, names, admin))
    return growth


def _product_reads(
    catalog: GeneratedCatalog, products: Sequence[tuple[str, str]], admin: BenchCustomer
) -> Mapping[str, Read]:
    words, roots = Vocabulary(), catalog.category_slugs[:8]

    def category() -> str:
        return words.draw(roots)

    def common() -> str:
        return words.draw([word.lower() for pair in zip(NOUNS[:5], MATERIALS[:5], strict=True) for word in pair])

    def rare() -> str:
        return "+".join(random.choice(products)[1].split()[-2:])

    def price() -> str:
        low = random.randrange(1_000, 20_000)
        return f"min_price={low}&max_price={low * 3}"

    paths: Mapping[str, Callable[[], str]] = {
        "detail": lambda: f"/{random.choice(products)[0]}",
        "list": lambda: "?limit=20",
        "list of a category": lambda: f"?limit=20&category={category()}",
        "in stock": lambda: "?limit=20&in_stock=true",
        "in stock, in a category": lambda: f"?limit=20&in_stock=true&category={category()}",
        "sold out": lambda: "?limit=20&in_stock=false",
        "by price": lambda: "?limit=20&sort=price",
        "by price, in a category": lambda: f"?limit=20&sort=-price&category={category()}",
        "price range": lambda: f"?limit=20&sort=price&{price()}",
        "by rating, with a tag": lambda: f"?limit=20&sort=rating&tag={words.draw(COLORS[:4])}",
        "search, rare words": lambda: f"/search?limit=20&q={rare()}",
        "search, a common word": lambda: f"/search?limit=20&q={common()}",
        "search, a common word by price": lambda: f"/search?limit=20&sort=price&q={common()}",
        "search, a common word with new limits": lambda: f"/search?limit=20&q={common()}&{price()}",
        "facets of a category": lambda: f"/search?limit=20&q={common()}&category={category()}",
        "search, an SKU": lambda: f"/search?limit=20&q={catalog.sku(random.randint(1, catalog.products))}",
        "suggestion": lambda: f"/suggest?q={random.choice(products)[1][: random.randint(3, 6)].replace(' ', '+')}",
    }
    return {name: _as_reader(path, admin) for name, path in paths.items()}


def _as_reader(path: Callable[[], str], reader: BenchCustomer) -> Read:
    return lambda: (f"/products{path()}", reader)


# Orders.


async def measure_orders(orders: int, seconds: float, chosen: str, show: Show) -> Growth:
    """Measures the lists of orders in one shop, before and after most of the orders are added."""
    growth = Growth("orders", SMALL_ORDERS, orders, seconds, chosen, show)
    async with temporary_shop() as shop:
        signer = await open_signer(shop.stack)
        first = 1
        for count in (SMALL_ORDERS, orders - SMALL_ORDERS):
            started_at = time.monotonic()
            async with _database(shop.stack, "order") as connection:
                generated = await fill_orders(connection, count, first=first)
                rows = await connection.fetch("SELECT serial FROM orders ORDER BY random() LIMIT $1", SAMPLE)
            growth.seconds_to_fill = time.monotonic() - started_at
            show(f"{count:,} orders made in {growth.seconds_to_fill:.1f} s")
            serials = [row["serial"] for row in rows]
            await growth.measure(shop.stack, _order_reads(generated, serials, signer))
            first += count
    return growth


def _order_reads(generated: GeneratedOrders, serials: Sequence[int], signer: TokenSigner) -> Mapping[str, Read]:
    admin = signer.sign_in(new_id(), Role.ADMIN)
    customers = [signer.sign_in(user_id) for user_id in random.sample(generated.customers, 200)]
    statuses = ("delivered", "shipped", "paid", "cancelled", "pending", "refunded")

    def days() -> str:
        since = datetime.now(UTC) - timedelta(days=random.randint(31, DAYS - 1))
        return f"from={since:%Y-%m-%d}&to={since + timedelta(days=30):%Y-%m-%d}"

    of_admin: Mapping[str, Callable[[], str]] = {
        "all, newest first": lambda: "limit=20",
        "by status": lambda: f"limit=20&status={random.choice(statuses)}",
        "by date": lambda: f"limit=20&{days()}",
        "by status and date": lambda: f"limit=20&status={random.choice(statuses)}&{days()}",
        "of a customer": lambda: f"limit=20&user_id={random.choice(generated.customers)}",
        "by number": lambda: f"number={format_order_number(random.choice(serials))}",
    }
    reads: dict[str, Read] = {"a customer's own": lambda: ("/orders?limit=20", random.choice(customers))}
    return reads | {name: _as_administrator(query, admin) for name, query in of_admin.items()}


def _as_administrator(query: Callable[[], str], admin: BenchCustomer) -> Read:
    return lambda: (f"/orders?{query()}", admin)
