"""Statements use their indexes when tables are large: 100,000 products, and 20,000 rows in every other table.

The statements come from the code: every constant of a store that is a statement is planned as the services plan it, and
every list is run. One that reads a whole table must be named below, with the reason.
"""

import importlib
import pkgutil
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import pytest

from contracts.catalog import GuestHoldLimit, ListProducts
from contracts.order import OrderStatus
from infra.database.migrate import migrate, migrations_of
from infra.database.postgres import GENERIC_PLANS, PLANS_FOR_VALUES
from infra.foundation.ids import new_id
from infra.ops.devstack.stack import Stack
from services.catalog.domain.search import effective_sort
from services.catalog.store import holds, matched_products, product_documents, product_queries, product_search
from services.catalog.store.search_vocabulary import VocabularyCache
from services.order.store import order_exports
from services.order.store import queries as order_queries
from services.order.store.queries import OrderEmail, OrderFilter
from tests.support.filled_tables import fill_tables
from tests.support.many_products import fill_catalog
from tests.support.store_database import set_codecs, temporary_database

pytestmark = pytest.mark.timeout(400)

SERVICES = ("user", "catalog", "order", "payment", "notification")
PRODUCTS = 100_000
ROWS = 20_000
GENERATED = frozenset({"category", "product", "product_document", "variant", "stock", "stock_movement"})
SMALL_TABLES = {
    "category",
    "signing_key",
    "template",
    "import_job",
    "file_column",
    "price_list",
    "shop_rating",
    "synonyms",
    "pricing_rules",
    "shipping_zone",
    "tax_rate",
}
_STATEMENT = re.compile(r"\s*(SELECT|WITH|INSERT|UPDATE|DELETE)\b")
_TEMPLATE = re.compile(r"\{\d*\}(?!')")
_MEASURE = "SELECT relname FROM pg_stat_xact_user_tables WHERE seq_tup_read > $1"
WHOLE_TABLE = {
    "infra.database.outbox._COUNT": "It counts all rows, and the outbox is short.",
    "services.catalog.store.product_documents._GET": "A part of other statements.",
    "services.catalog.store.repair._HELD": "Only `souk verify --repair` runs it.",
    "services.catalog.store.repair._UNSETTLED": "Only after a hold that cannot be settled.",
    "services.order.store.invoices.MISSING_INVOICES": "A part of another statement; alone, only `souk verify` runs it.",
    "services.user.store.api_keys._DELETE_REVOKED": "Hourly, and administrators have few keys.",
    "services.user.store.erasures._DELETE_COUNTERS": "Once for each erased account.",
    "services.user.store.sessions._ERASE_SUCCESSORS": "Hourly, in the background.",
}
"""Statements that may read whole tables, and why that does no harm."""
FILTERS: tuple[dict[str, Any], ...] = (
    {},
    {"category": "furniture"},
    {"category": "classic-living-room-furniture"},
    {"min_price": 10_000, "max_price": 11_000},
    {"min_price": 70_000},
    {"min_rating": 4.5},
    {"tag": "black"},
    {"tag": "limited", "category": "furniture"},
    {"in_stock": True},
    {"in_stock": True, "category": "furniture"},
    {"q": "table"},
    {"q": "oak table"},
    {"q": "kalomi"},
    {"q": "weathervane steel", "category": "furniture", "in_stock": True},
    {"q": "P050000-1"},
    {"attribute": {"material": "felt"}},
    {"tag": "limited", "option": {"Size": "XXL"}, "category": ["furniture", "lighting"]},
    {"q": "oak lamp", "attribute": {"material": ["oak", "brass"]}, "min_price": 5_000, "tag": "black"},
)
SORTS = ("newest", "price", "-price", "name", "rating", None)


def statements(service: str) -> Iterator[tuple[str, str]]:
    """The name and the text of each statement of a service's store, and of what all stores share."""
    seen = set()
    for package in (f"services.{service}.store", "infra.database"):
        for info in pkgutil.iter_modules(importlib.import_module(package).__path__, f"{package}."):
            for name, value in vars(importlib.import_module(info.name)).items():
                if (
                    isinstance(value, str)
                    and _STATEMENT.match(value)
                    and not _TEMPLATE.search(value)
                    and value not in seen
                ):
                    seen.add(value)
                    yield f"{info.name}.{name}", value


@pytest.fixture(scope="module")
async def dsn(stack: Stack) -> AsyncIterator[str]:
    """One database with a schema for each service."""
    async with temporary_database(stack.postgres_url) as database:
        for service in SERVICES:
            connection = await asyncpg.connect(database)
            await connection.execute(f"CREATE SCHEMA souk_{service}")
            await connection.close()
            await migrate(f"{database}?search_path=souk_{service}", migrations_of(service))
            connection = await asyncpg.connect(f"{database}?search_path=souk_{service}")
            if service == "catalog":
                await fill_catalog(connection, PRODUCTS)
            await fill_tables(connection, f"souk_{service}", ROWS, GENERATED if service == "catalog" else frozenset())
            await connection.close()
        yield database


async def _connect(dsn: str, service: str, plan_cache_mode: str = GENERIC_PLANS) -> Any:
    connection = await asyncpg.connect(
        f"{dsn}?search_path=souk_{service}", server_settings={"plan_cache_mode": plan_cache_mode, "jit": "off"}
    )
    await set_codecs(connection)
    return connection


@pytest.mark.parametrize("service", SERVICES)
async def test_every_statement_of_a_store_uses_an_index(dsn: str, service: str) -> None:
    connection = await _connect(dsn, service)
    found = {}
    for name, statement in statements(service):
        tables = set(_scanned(await _explain(connection, statement))) - SMALL_TABLES
        if tables:
            found[name] = tables
    await connection.close()
    assert {name: tables for name, tables in found.items() if name not in WHOLE_TABLE} == {}


@pytest.mark.parametrize("filters", FILTERS, ids=str)
async def test_lists_and_searches_use_an_index(dsn: str, filters: dict[str, Any]) -> None:
    """Both of the first two pages, in every order."""
    by_plan = {mode: await _connect(dsn, "catalog", mode) for mode in (GENERIC_PLANS, PLANS_FOR_VALUES)}
    for sort in SORTS:
        body = ListProducts.model_validate_json(orjson.dumps({**filters, "sort": sort, "limit": 20}))
        order = effective_sort(body)
        listing = by_plan[GENERIC_PLANS if product_queries.is_plain(body) else PLANS_FOR_VALUES]
        searching = by_plan[GENERIC_PLANS if body.q else PLANS_FOR_VALUES]
        after = None
        for _ in ("first page", "second page"):
            rows = await _without_scans(product_queries.list_page, listing, body, order, after)
            await _without_scans(product_search.search, searching, body, order, after)
            if rows:
                after = product_queries.page_key(rows[-1], order)
    for connection in by_plan.values():
        await connection.close()


async def test_reading_and_ranking_the_matches_of_a_text_uses_an_index(dsn: str) -> None:
    reading, ranking = [await _connect(dsn, "catalog", mode) for mode in (PLANS_FOR_VALUES, GENERIC_PLANS)]
    for q in ("table", "oak table", "kalomi"):
        body = ListProducts(q=q)
        matches = await _without_scans(matched_products.read_matches, reading, body)
        newest = matches.newest[: product_queries.MAX_RANKED_PRODUCTS]
        await _without_scans(matched_products.rank, ranking, body, matches, newest)
        assert len(matches.ranks) == len(newest) > 0
    for connection in (reading, ranking):
        await connection.close()


async def test_suggestions_and_products_use_an_index(dsn: str) -> None:
    connection = await _connect(dsn, "catalog")
    ids = [row["id"] for row in await connection.fetch("SELECT id FROM product ORDER BY id DESC LIMIT 20")]
    await _without_scans(product_queries.suggest_names, connection, "round oak ta", 10)
    await _without_scans(VocabularyCache().find_corrections, connection, "wethervane tabel")
    await _without_scans(_add_search_terms, connection)
    await _without_scans(product_documents.ProductDocumentCache().find, connection, ids, ["no-such-slug"])
    await _without_scans(product_documents.read_live_values, connection, ids)
    await _without_scans(product_documents.read_quotes, connection, ["P000001-1", "P099999-1"], "USD")
    await connection.close()


async def _add_search_terms(connection: Any) -> None:
    await connection.execute("SELECT add_search_terms('{unheard,words}', '{5,6}', '{Size,Size}', '{L,XL}')")


async def test_holds_use_an_index(dsn: str) -> None:
    """Their functions too, whose statements `EXPLAIN` does not show."""
    connection = await _connect(dsn, "catalog")
    lines = {"P000003-1": 1, "P000007-2": 1}
    for guest_limit in (None, GuestHoldLimit(order_share=0.5, total_share=0.5)):
        for end in (holds.release, holds.sell):
            hold_id = new_id()
            placed = await _without_scans(holds.place, connection, hold_id, b"f", lines, 60, "USD", guest_limit)
            assert placed.outcome == "held"
            await _without_scans(end, connection, hold_id, *((new_id(), lines) if end is holds.sell else ()))
            await _without_scans(holds.settle, connection, 100)
    await _without_scans(holds.expire, connection, 100)
    await connection.close()


@pytest.mark.parametrize(
    "order_filter",
    [
        OrderFilter(),
        OrderFilter(user_id=UUID(int=1)),
        OrderFilter(status=OrderStatus.PAID),
        OrderFilter(status=OrderStatus.REFUNDED, after=UUID(int=2**128 - 1)),
        OrderFilter(serial=5),
        OrderFilter(since=datetime(2026, 1, 1, tzinfo=UTC), until=datetime(2026, 1, 2, tzinfo=UTC)),
        OrderFilter(user_id=UUID(int=1), status=OrderStatus.PAID, after=UUID(int=2**128 - 1)),
        OrderFilter(keys=["sku text 7"]),
        OrderFilter(keys=["name text", "name 7", "sku text 7"], status=OrderStatus.PAID, after=UUID(int=2**128 - 1)),
        OrderFilter(email=OrderEmail(["text 7"], UUID(int=1))),
        OrderFilter(email=OrderEmail(["text 7"], None), keys=["name text"], since=datetime(2026, 1, 1, tzinfo=UTC)),
    ],
    ids=str,
)
async def test_order_lists_use_an_index(dsn: str, order_filter: OrderFilter) -> None:
    connection = await _connect(dsn, "order")
    recorder: Any = _PlanRecorder(connection)
    await order_queries.list_newest(recorder, order_filter, 20)
    await order_exports.list_page(recorder, order_filter, 20)
    for plan in recorder.plans:
        assert not set(_scanned(plan))
        few = order_filter.serial is not None or order_filter.email is not None
        assert few or "Sort" not in _node_types(plan)
    await connection.close()


class _PlanRecorder:
    """Explains what is fetched, instead of fetching it."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.plans: list[dict[str, Any]] = []

    async def fetch(self, statement: str, *_values: Any) -> list[Any]:
        self.plans.append(await _explain(self.connection, statement))
        return []


async def _without_scans(run: Callable[..., Awaitable[Any]], connection: Any, *values: Any) -> Any:
    """Runs the statements and checks that none of them reads large parts of a table in sequence."""
    await connection.execute("SELECT pg_stat_force_next_flush()")  # else the counts of earlier transactions are added
    async with connection.transaction():
        result = await run(connection, *values)
        scanned = {row["relname"] for row in await connection.fetch(_MEASURE, ROWS // 2)} - SMALL_TABLES
    assert not scanned
    return result


async def _explain(connection: Any, statement: str) -> dict[str, Any]:
    """The plan that the services use for any values."""
    await connection.execute(f"PREPARE explained AS {statement}")
    try:
        types = await connection.fetchval("SELECT parameter_types FROM pg_prepared_statements WHERE name = 'explained'")
        values = f"({', '.join('NULL' for _ in types)})" if types else ""
        plan = orjson.loads(await connection.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE explained{values}"))
    finally:
        await connection.execute("DEALLOCATE explained")
    root: dict[str, Any] = plan[0]["Plan"]
    return root


def _scanned(node: dict[str, Any]) -> Iterator[str]:
    """The tables that a plan reads from the beginning to the end."""
    if node["Node Type"] == "Seq Scan":
        yield node["Relation Name"]
    for child in node.get("Plans", ()):
        yield from _scanned(child)


def _node_types(node: dict[str, Any]) -> set[str]:
    return {node["Node Type"]}.union(*map(_node_types, node.get("Plans", ())))
