"""Lists, search and facets beyond 1,000 matches, in a database of 6,000 generated products.

Facets equal a count by hand, pages hold each product once in its order, and what is cached is exact after any change.
"""

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest

from contracts.catalog import ListProducts
from infra.database.migrate import migrations_of
from infra.database.postgres import GENERIC_PLANS, PLANS_FOR_VALUES
from infra.ops.devstack.stack import Stack
from services.catalog.domain.folded_text import name_key
from services.catalog.store import product_queries, products
from services.catalog.store.database import CatalogDatabase
from services.catalog.store.product_documents import read_product
from services.catalog.store.product_loaders import ProductSources, load_pages
from services.catalog.store.search_loaders import load_large_searches, load_searches
from services.catalog.store.suggestion_cache import SuggestionCache
from tests.services.catalog.facets_by_hand import ProductRows, count_by_hand
from tests.support.eventually import eventually
from tests.support.many_products import CURRENCY, fill_catalog
from tests.support.store_database import pool_of, temporary_database

PRODUCTS = 6_000
TEXTS = ("table", "lamp", "oak lamp", "brass", "small", "felt", "kal", "round steel", "weathervane", "P000123-1")
SORTS = ("newest", "price", "-price", "name", "rating", None)
_PRODUCTS = """
SELECT p.id, p.name, p.folded_name, p.name_key, p.description, p.tags, p.price, p.is_active, p.rating_average,
       p.rating_rank, p.category_id, p.attributes,
       ARRAY(SELECT lower(v.sku) FROM variant v WHERE v.product_id = p.id) AS skus,
       ARRAY(SELECT v.options FROM variant v WHERE v.product_id = p.id) AS options,
       EXISTS (SELECT FROM stock s WHERE s.product_id = p.id AND s.on_hand > s.reserved) AS in_stock
FROM product p
"""
CHANGES = (
    "UPDATE product SET price = price + 100000 WHERE id = $1",
    "UPDATE category SET parent_id = NULL WHERE slug = 'bedroom-toys' AND $1::uuid IS NOT NULL",
    "UPDATE category SET slug = 'lounge' WHERE slug = 'living-room-toys' AND $1::uuid IS NOT NULL",
    "UPDATE stock SET reserved = on_hand WHERE product_id = $1",
    "UPDATE stock SET reserved = 0 WHERE product_id = $1",
    "UPDATE product SET is_active = false WHERE id = $1",
)
"""Each with the id of a product that it changes."""
_COPIED_COLUMNS = """
SELECT string_agg(attname, ', ') FROM pg_attribute
WHERE attrelid = 'copied'::regclass AND attnum > 0 AND NOT attisdropped
"""
_INSERT_COPY = "INSERT INTO product ({0}) SELECT {0} FROM copied"
_COPY_DOCUMENT = """
INSERT INTO product_document (product_id, document)
SELECT $1, replace(document, $2::uuid::text, $1::uuid::text) FROM product_document WHERE product_id = $2
"""


@dataclass
class LargeShop:
    """The catalog with connections as the service has them."""

    sources: ProductSources
    connection: Any

    async def search(self, **filters: Any) -> dict[str, Any]:
        request = _request(**filters)
        found = (await load_searches(self.sources, [request])).get(request)
        if found is None:
            found = (await load_large_searches(self.sources, [request]))[request]
        result: dict[str, Any] = orjson.loads(found.body)
        return result

    async def pages(self, *, between: Any = None, with_facets: bool = True, **filters: Any) -> list[UUID]:
        """The ids on all pages; `between` runs after each page but the last."""
        ids: list[UUID] = []
        after = None
        while True:
            request = _request(**filters, after=after)
            if with_facets:
                page = await self.search(**filters, after=after)
            else:
                page = orjson.loads(b"{%b}" % (await load_pages(self.sources, [request]))[request].body)
            ids += [UUID(item["id"]) for item in page["items"]]
            after = page["next"]
            if after is None:
                return ids
            if between is not None:
                await between()

    async def count_by_hand(self, **filters: Any) -> dict[str, list[dict[str, Any]]]:
        """The facets, counted without the statements under test."""
        return count_by_hand(await self.read_products(), filters)

    async def matching(self, **filters: Any) -> list[Any]:
        """The rows of all products that match."""
        return (await self.read_products()).matching(filters)

    async def read_products(self) -> "ProductRows":
        """All products, with the slugs of their category and of those above it as `lineage`."""
        parents = {row["id"]: row for row in await self.connection.fetch("SELECT id, slug, parent_id FROM category")}
        return ProductRows(
            {**row, "lineage": _slugs_upwards(parents, row["category_id"])}
            for row in await self.connection.fetch(_PRODUCTS)
        )

    async def expected_ids(self, **filters: Any) -> list[UUID]:
        """The ids in the order of the list, for a sort by a column."""
        sort = filters.pop("sort", None) or "newest"
        found = await self.matching(**filters)
        keys = {
            "newest": lambda row: row["id"],
            "price": lambda row: (row["price"], row["id"]),
            "-price": lambda row: (row["price"], row["id"]),
            "name": lambda row: (name_key(row["name"]), row["id"]),
            "rating": lambda row: (row["rating_rank"], row["id"]),
        }
        found.sort(key=keys[sort], reverse=sort in {"newest", "-price", "rating"})
        return [row["id"] for row in found]


def _request(**filters: Any) -> ListProducts:
    return ListProducts.model_validate_json(orjson.dumps({"limit": 100, **filters}))


def _slugs_upwards(categories: dict[UUID, Any], id_: UUID | None) -> list[str]:
    slugs = []
    while id_ is not None:
        slugs.append(categories[id_]["slug"])
        id_ = categories[id_]["parent_id"]
    return slugs


@pytest.fixture(scope="module")
async def shop(stack: Stack) -> AsyncIterator[LargeShop]:
    async with AsyncExitStack() as opened:
        dsn = await opened.enter_async_context(temporary_database(stack.postgres_url, *migrations_of("catalog")))
        pools = [await opened.enter_async_context(pool_of(dsn, mode)) for mode in (GENERIC_PLANS, PLANS_FOR_VALUES)]
        connection = await opened.enter_async_context(pools[0].acquire())
        await fill_catalog(connection, PRODUCTS)
        yield LargeShop(ProductSources(CatalogDatabase(*pools)), connection)


def _random_filters(seed: int) -> dict[str, Any]:
    chosen = random.Random(seed)
    low = chosen.randrange(0, 50_000)
    filters = {
        "q": chosen.choice(TEXTS),
        "category": chosen.choice(
            ("furniture", "lighting", "bedroom-toys", "office-furniture", "no-such", ("tools", "bedroom-garden"))
        ),
        "min_price": low,
        "max_price": low + chosen.randrange(0, 50_000),
        "min_rating": chosen.choice((1, 3.5, 4.5)),
        "in_stock": chosen.choice((True, False)),
        "tag": chosen.choice(("black", "gift", "limited", "oak", ("blue", "wedding"))),
        "attribute": {"material": chosen.choice(("oak", "felt", ("brass", "Steel", "no such")))},
        "option": {"Size": chosen.choice(("XXL", "m", ("L", "XL")))},
    }
    return {name: filters[name] for name in chosen.sample(list(filters), chosen.randrange(0, 5))}


async def test_the_generated_products_are_what_the_service_writes(shop: LargeShop) -> None:
    columns = "id, name, name_key, terms::text, facet_ids"
    for row in await shop.connection.fetch(f"SELECT {columns} FROM product ORDER BY id LIMIT 50"):  # noqa: S608
        assert row["name_key"] == name_key(row["name"])
        async with shop.connection.transaction():
            product = await products.lock(shop.connection, row["id"])
            assert product is not None
            template = await shop.connection.fetchval(
                "SELECT document FROM product_document WHERE product_id = $1", product.id
            )
            assert template == product.document_template(CURRENCY)
            cards = await shop.connection.fetch(
                "SELECT card FROM variant WHERE product_id = $1 ORDER BY position", product.id
            )
            assert [card["card"] for card in cards] == [
                product.line_snapshot(variant, CURRENCY) for variant in product.variants
            ]
            await products.update(shop.connection, product, template)
            written = await shop.connection.fetchrow(f"SELECT {columns} FROM product WHERE id = $1", product.id)  # noqa: S608
        assert (written["terms"], written["facet_ids"]) == (row["terms"], row["facet_ids"])
        assert await read_product(shop.connection, row["id"]) is not None
    assert await shop.connection.fetch("SELECT * FROM stock_out_of_balance") == []


async def test_facets_equal_a_count_by_hand(shop: LargeShop) -> None:
    """Of 200 random combinations of filters: all facets, each without its own filter."""
    products = await shop.read_products()
    for seed in range(200):
        filters = _random_filters(seed)
        expected = count_by_hand(products, filters)
        for _ in ("counted", "cached, if they are many"):
            assert (await shop.search(**filters, limit=1))["facets"] == expected, filters


@pytest.mark.parametrize("seed", range(40, 52))
async def test_pages_hold_each_match_once(shop: LargeShop, seed: int) -> None:
    filters = _random_filters(seed)
    sort = SORTS[seed % len(SORTS)]
    expected = await shop.expected_ids(**filters, sort=sort)
    by_rank = "q" in filters and sort is None
    for with_facets in (True, False, True):
        ids = await shop.pages(**filters, sort=sort, with_facets=with_facets)
        assert sorted(ids) == sorted(expected) if by_rank else ids == expected


async def test_unranked_matches_follow_and_pages_stay_stable(shop: LargeShop) -> None:
    """Each product from before is on one page, while others are added that match and rank."""
    before = await shop.pages(q="table", with_facets=False)
    assert len(before) > product_queries.MAX_RANKED_PRODUCTS + 100
    assert sorted(before) == sorted(await shop.expected_ids(q="table"))
    unranked = before[product_queries.MAX_RANKED_PRODUCTS :]
    assert unranked == sorted(unranked, reverse=True)
    assert max(unranked) < min(before[: product_queries.MAX_RANKED_PRODUCTS])
    added: list[UUID] = []

    async def add_products() -> None:
        added.extend([await _add_copy(shop.connection, source) for source in before[:3]])

    for with_facets in (True, False):
        during = await shop.pages(q="table", with_facets=with_facets, between=add_products)
        assert [one for one in during if one not in added] == before
        await shop.connection.execute("UPDATE product SET is_active = false WHERE id = ANY($1)", added)
        added.clear()


async def test_an_exact_match_comes_first_however_many_are_newer(shop: LargeShop) -> None:
    oldest = (await shop.expected_ids(q="table"))[-1]
    await shop.connection.execute(
        "UPDATE product SET name = 'Table', terms = terms || array_to_tsvector('{name=table}') WHERE id = $1", oldest
    )
    for with_facets in (True, False):
        ids = await shop.pages(q="table", with_facets=with_facets)
        assert ids[0] == oldest
        assert len(set(ids)) == len(ids)


async def test_what_an_older_release_wrote_is_found_before_it_is_indexed(shop: LargeShop) -> None:
    some = (await shop.expected_ids(q="weathervane"))[0]
    await shop.connection.execute(
        "UPDATE product SET name = 'Zeppelins', version = version + 1, terms = '' WHERE id = $1", some
    )
    for with_facets in (True, False):
        assert await shop.pages(q="zeppelin", with_facets=with_facets) == [some]


@pytest.mark.parametrize(
    "filters",
    [{"category": "toys", "in_stock": True}, {"q": "table", "in_stock": True, "max_price": 75_000}],
    ids=["counted by the database", "counted from the matches of a text"],
)
async def test_cached_facets_follow_every_change(shop: LargeShop, filters: dict[str, Any]) -> None:
    """Of products, of the category tree, and of what is in stock; whenever the change is committed."""
    some, *others = await shop.expected_ids(**filters)
    assert len(others) > product_queries.MAX_RANKED_PRODUCTS
    for change in CHANGES:
        transaction = shop.connection.transaction()
        await transaction.start()
        await shop.connection.execute(change, some)
        async with shop.sources.db.connection() as other:
            await other.execute("SELECT pg_current_xact_id()")  # a later transaction is over before this one
        await shop.search(**filters)  # counts or caches what the change does not show in yet
        await transaction.commit()
        expected = await shop.count_by_hand(**filters)
        assert (await shop.search(**filters))["facets"] == expected, change
        assert sorted(await shop.pages(**filters)) == sorted(await shop.expected_ids(**filters)), change


async def test_cached_lists_of_a_category_follow_every_change(shop: LargeShop) -> None:
    filters = {"category": "bedroom-toys", "sort": "price"}
    some, *_ = await shop.expected_ids(**filters)
    for change in CHANGES:
        for _ in ("read", "read and cached", "cached"):
            expected = await shop.expected_ids(**filters)
            assert await shop.pages(**filters, with_facets=False) == expected, change
        await shop.connection.execute(change, some)
    assert some not in await shop.pages(**filters, with_facets=False)


async def test_cached_suggestions_follow_every_change(shop: LargeShop) -> None:
    suggestions = SuggestionCache()
    for _ in ("read", "read and cached", "cached"):
        first, *others = await suggestions.suggest(shop.connection, "small oak", 20)
    await shop.connection.execute("UPDATE product SET is_active = false WHERE name = $1", first)
    assert (await suggestions.suggest(shop.connection, "small oak", 20))[: len(others)] == others


@pytest.mark.parametrize(
    "filters", [{}, {"max_price": 60_000}, {"category": "furniture"}, {"min_price": 70_000, "tag": ["gift", "black"]}]
)
async def test_the_first_page_is_ranked_the_same_without_facets(shop: LargeShop, filters: dict[str, Any]) -> None:
    """With facets it is made from all matches of the text, which are read once for all filters."""
    without_facets = LargeShop(ProductSources(shop.sources.db), shop.connection)
    await shop.search(q="table")
    found = [UUID(item["id"]) for item in (await shop.search(q="table", **filters))["items"]]
    assert found == (await without_facets.pages(q="table", with_facets=False, **filters))[:100]


async def test_cached_facets_follow_a_product_that_is_published_by_its_time(shop: LargeShop) -> None:
    filters: dict[str, Any] = {"q": "table"}
    some, *others = await shop.expected_ids(**filters, sort="newest")
    assert len(others) > product_queries.MAX_RANKED_PRODUCTS
    everything = await shop.count_by_hand(**filters)
    await shop.connection.execute(
        "UPDATE product SET publish_at = clock_timestamp() + interval '0.4 seconds' WHERE id = $1", some
    )
    assert (await shop.search(**filters))["facets"] != everything
    assert some not in await shop.pages(**filters, sort="newest")

    async def is_published() -> bool:
        assert await shop.connection.fetchval("SELECT publish_at < clock_timestamp() FROM product WHERE id = $1", some)
        return True

    await eventually(is_published)
    assert (await shop.search(**filters))["facets"] == everything
    assert (await shop.pages(**filters, sort="newest"))[0] == some


async def _add_copy(connection: Any, source: UUID) -> UUID:
    """A new product like another one."""
    new_id = UUID(f"f{uuid4().hex[1:]}")
    async with connection.transaction():
        await connection.execute("CREATE TEMPORARY TABLE copied (LIKE product) ON COMMIT DROP")
        await connection.execute("INSERT INTO copied SELECT * FROM product WHERE id = $1", source)
        await connection.execute("ALTER TABLE copied DROP COLUMN search")
        await connection.execute("UPDATE copied SET id = $1, slug = $1::uuid::text", new_id)
        columns = await connection.fetchval(_COPIED_COLUMNS)
        await connection.execute(_INSERT_COPY.format(columns))
        await connection.execute(_COPY_DOCUMENT, new_id, source)
    return new_id
