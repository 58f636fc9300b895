"""Scheduled prices, price lists and quantity breaks: everything shows and sells at the price in force."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import orjson
import pytest

from contracts import catalog, headers
from contracts.catalog import CurrencyMismatch, Product, ProductVariant, SkuQuoteList
from contracts.catalog import price_operations as prices
from contracts.catalog.price_lists import PriceExists, PriceHistoryEntry, PriceList, PriceListUnknown, ScheduledPrice
from contracts.failure import InvalidRequest, NotFound
from contracts.money import Money
from infra.foundation.ids import new_id, now
from services.catalog.store import holds
from services.catalog.store.product_documents import ProductDocumentCache, read_quotes
from tests.services.catalog.conftest import HEADER, CatalogClient, ImportFiles, line, usd
from tests.support.eventually import eventually

END_OF_TIME = datetime(2999, 1, 1, tzinfo=UTC)
FUTURE, FAR_FUTURE, PAST = "2999-01-01T00:00:00Z", "2999-02-01T00:00:00Z", "2020-01-01T00:00:00Z"


async def create(client: CatalogClient, price: int = 1000, **fields: Any) -> Product:
    word = f"w{new_id().hex}"
    body = {"name": f"Lamp {word}", "sku": f"P-{word}", "price": usd(price), "stock": 99, "tags": [word], **fields}
    product: Product = await client.as_admin(catalog.CREATE_PRODUCT, body)
    return product


async def change(client: CatalogClient, product: Product, **fields: Any) -> Product:
    changed: Product = await client.as_admin(catalog.CHANGE_PRODUCT, {"id": str(product.id), **fields})
    return changed


def sku_of(product: Product) -> str:
    return product.variants[0].sku


async def schedule(client: CatalogClient, product: Product, amount: int, **fields: Any) -> ScheduledPrice:
    body = {"id": str(product.id), "sku": sku_of(product), "price": usd(amount), **fields}
    price: ScheduledPrice = await client.as_admin(prices.CREATE_PRICE, body)
    return price


async def create_list(client: CatalogClient, **fields: Any) -> PriceList:
    created: PriceList = await client.as_admin(prices.CREATE_PRICE_LIST, {"name": "Sale", **fields})
    return created


async def variant_of(client: CatalogClient, product: Product) -> ProductVariant:
    found: Product = await client.edge(catalog.GET_PRODUCT, {"key": str(product.id)})
    assert found.price == found.variants[0].price
    return found.variants[0]


async def history(client: CatalogClient, product: Product) -> list[tuple[int | None, bool]]:
    """The amounts in the history, the oldest first, and whether each was in force at once."""
    found = (await client.as_admin(prices.LIST_PRICE_HISTORY, {"id": str(product.id)})).items
    return [(one.price and one.price.amount, one.starts_at == one.recorded_at) for one in reversed(found)]


async def prices_shown(client: CatalogClient, product: Product, quantity: int = 1) -> dict[str, int]:
    """The price of a unit wherever a shopper or an order meets it."""
    (word,) = product.tags
    (listed,) = (await client.edge(catalog.LIST_PRODUCTS, {"tag": word})).items
    (found,) = (await client.edge(catalog.SEARCH_PRODUCTS, {"q": word})).items
    (quote,) = (await client.cart(catalog.QUOTE, {"skus": [sku_of(product)]})).items
    (held,) = (await client.hold(line(sku_of(product), quantity))).lines
    shown = {"detail": await variant_of(client, product), "list": listed.variants[0], "search": found.variants[0]}
    prices = {name: variant.price.amount for name, variant in shown.items()}
    return {**prices, "quote": quote.price_of(quantity).amount, "hold": held.unit_price.amount}


async def test_each_change_of_a_base_price_is_in_the_history(client: CatalogClient, files: ImportFiles) -> None:
    product = await create(client, 1000)
    sku, slug = sku_of(product), product.slug
    await change(client, product, price=usd(900))
    await change(client, product, name="Lamp", tags=["other"])
    await change(client, product, is_active=False)
    await change(client, product, is_active=True, price=usd(850))
    body = {"id": str(product.id), "name": "Lamp", "sku": sku, "price": usd(800)}
    await client.as_admin(catalog.REPLACE_PRODUCT, body)
    await files.run_import(f"{HEADER}{slug},Lamp,,,,,TRUE,Title,Default Title,{sku},,,7.50,,\n")
    await client.as_admin(catalog.DEACTIVATE_PRODUCT, {"id": str(product.id)})
    amounts = [1000, 900, None, 850, 800, 750, None]
    assert await history(client, product) == [(amount, True) for amount in amounts]


async def test_a_draft_has_no_price_in_force(client: CatalogClient) -> None:
    draft = await create(client, 100, status="draft")
    assert await history(client, draft) == []
    await change(client, draft, price=usd(1000), status="active")
    await change(client, draft, price=usd(900))
    assert await history(client, draft) == [(1000, True), (900, True)]
    assert (await variant_of(client, draft)).prior_price == Money(**usd(1000))
    later = await create(client, 100, publish_at=FUTURE)
    assert await history(client, later) == [(100, False)]
    await change(client, later, status="active")
    assert await history(client, later) == [(100, False), (100, True)]


async def test_the_history_cannot_be_changed(client: CatalogClient, database: Callable[[str], Awaitable[Any]]) -> None:
    product = await create(client)
    connection = await database("catalog")
    for statement in ("UPDATE price_history SET price = 1", "DELETE FROM price_history", "TRUNCATE price_history"):
        with pytest.raises(asyncpg.CheckViolationError):
            await connection.execute(statement)
    assert await history(client, product) == [(1000, True)]


async def test_a_reduction_shows_the_lowest_price_before_it(client: CatalogClient) -> None:
    product = await create(client, 1000, compare_at_price=usd(1200))
    assert (await variant_of(client, product)).prior_price is None
    reduced = await change(client, product, price=usd(900))
    assert reduced.variants[0].prior_price is not None
    further = await change(client, product, price=usd(850), name="Lamp, reduced")
    assert [one.prior_price and one.prior_price.amount for one in further.variants] == [1000]
    shown = await variant_of(client, product)
    assert (shown.price.amount, shown.compare_at_price and shown.compare_at_price.amount) == (850, 1200)
    assert (await change(client, product, price=usd(950))).variants[0].prior_price is None


async def test_the_price_in_force_is_shown_and_sold_everywhere(client: CatalogClient) -> None:
    product = await create(client, 1000)
    (word,) = product.tags
    price_list = await create_list(client, priority=5)
    await schedule(client, product, 700, list_id=str(price_list.id))
    await schedule(client, product, 600, list_id=str(price_list.id), min_quantity=10)
    await schedule(client, product, 100, starts_at=FUTURE)
    assert set((await prices_shown(client, product)).values()) == {700}
    shown = {"detail": 700, "list": 700, "search": 700, "quote": 600, "hold": 600}
    assert await prices_shown(client, product, 10) == shown
    variant = await variant_of(client, product)
    assert variant.prior_price == Money(amount=1000, currency="USD")
    assert [(one.min_quantity, one.price.amount) for one in variant.price_breaks] == [(10, 600)]
    changed = await change(client, product, name=f"Lamp % {word}")
    read = await client.as_admin(catalog.GET_PRODUCT, {"key": str(product.id)})
    for one in (*changed.variants, *read.variants):
        assert (one.price.amount, one.own_price and one.own_price.amount) == (700, 1000)
    assert variant.own_price is None
    for filters, is_found in (({"max_price": 700}, True), ({"max_price": 699}, False), ({"min_price": 701}, False)):
        found = (await client.edge(catalog.LIST_PRODUCTS, {"tag": word, "sort": "price", **filters})).items
        assert bool(found) == is_found
    facets = (await client.edge(catalog.SEARCH_PRODUCTS, {"tag": word})).facets
    assert [(one.value, one.count) for one in facets["price"]] == [("0..1000", 1)]
    await client.as_admin(prices.REPLACE_PRICE_LIST, {"id": str(price_list.id), "name": "Sale", "ends_at": PAST})
    assert set((await prices_shown(client, product, 10)).values()) == {1000}
    await client.as_admin(prices.REPLACE_PRICE_LIST, {"id": str(price_list.id), "name": "Sale"})
    assert set((await prices_shown(client, product)).values()) == {700}
    await client.as_admin(prices.DELETE_PRICE_LIST, {"id": str(price_list.id)})
    assert set((await prices_shown(client, product, 10)).values()) == {1000}


async def test_a_price_changes_by_time_for_shoppers_lists_and_orders(
    client: CatalogClient, database: Callable[[str], Awaitable[Any]]
) -> None:
    """Lists follow as soon as the price mover has run; all else follows by the database's clock."""
    product = await create(client, 1000)
    connection = await database("catalog")
    await schedule(client, product, 800, starts_at=FUTURE, ends_at=FAR_FUTURE)
    assert await history(client, product) == [(1000, True), (1000, True), (800, False), (1000, False)]
    assert set((await prices_shown(client, product)).values()) == {1000}
    before = [await client.edge.raw(operation, body) for operation, body in _reads(product)]
    assert all(float(reply_headers[headers.VALID_SECONDS]) > 0 for _, reply_headers in before)
    batch = await client.edge(catalog.GET_PRODUCTS, {"items": [{"key": str(product.id)}]})
    assert batch.items[0].valid_seconds > 0
    at = now() + timedelta(seconds=0.3)
    await schedule(client, product, 700, starts_at=at.isoformat())

    async def has_come() -> bool:
        return bool(await connection.fetchval("SELECT clock_timestamp() >= $1", at))

    await eventually(has_come)
    assert set((await prices_shown(client, product)).values()) == {700}
    after, reply_headers = await client.edge.raw(catalog.GET_PRODUCT, {"key": str(product.id)})
    assert (after != before[0][0], reply_headers[headers.VERSION]) == (True, before[0][1][headers.VERSION])

    async def is_sorted() -> bool:
        return bool(await connection.fetchval("SELECT price = 700 FROM product WHERE id = $1", product.id))

    await eventually(is_sorted)


def _reads(product: Product) -> list[tuple[Any, dict[str, Any]]]:
    (word,) = product.tags
    return [
        (catalog.GET_PRODUCT, {"key": str(product.id)}),
        (catalog.LIST_PRODUCTS, {"tag": word}),
        (catalog.SEARCH_PRODUCTS, {"q": word}),
    ]


async def test_a_price_is_shown_and_sold_before_the_price_mover_comes(
    client: CatalogClient, database: Callable[[str], Awaitable[Any]]
) -> None:
    """In a transaction of the test, which the mover does not see."""
    product = await create(client, 1000)
    sku = sku_of(product)
    await schedule(client, product, 700, starts_at=FUTURE)
    connection = await database("catalog")
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute(_BEGIN_NOW, product.id)
    await connection.execute("UPDATE product SET planned_prices_end = now() WHERE id = $1", product.id)
    found = await ProductDocumentCache().find(connection, [product.id], [])
    document = found[str(product.id)]
    quotes = SkuQuoteList.model_validate_json(await read_quotes(connection, [sku], "USD"))
    held = await holds.place(connection, new_id(), b"", {sku: 1}, 60, "USD")
    await transaction.rollback()
    shown = Product.model_validate_json(document.body)
    assert (shown.price.amount, document.valid_seconds) == (700, 0)
    assert [quote.unit_price.amount for quote in quotes.items] == [700]
    assert [one["unit_price"]["amount"] for one in orjson.loads(held.body or "")["lines"]] == [700]


_BEGIN_NOW = """
UPDATE price_period SET ends_at = CASE WHEN starts_at < now() THEN now() END, starts_at = least(starts_at, now())
WHERE product_id = $1
"""


async def test_a_price_of_a_product_is_checked(client: CatalogClient) -> None:
    product = await create(client)
    for fields, failure in (
        ({"price": {"amount": 1, "currency": "EUR"}, "min_quantity": 2}, CurrencyMismatch),
        ({"compare_at_price": {"amount": 1, "currency": "EUR"}, "min_quantity": 2}, CurrencyMismatch),
        ({}, InvalidRequest),
        ({"starts_at": FUTURE, "ends_at": PAST}, InvalidRequest),
        ({"sku": "unknown", "min_quantity": 2}, InvalidRequest),
        ({"list_id": str(new_id())}, PriceListUnknown),
        ({"id": str(new_id()), "min_quantity": 2}, NotFound),
    ):
        with pytest.raises(failure):
            await schedule(client, product, 5, **fields)
    price = await schedule(client, product, 900, min_quantity=5)
    with pytest.raises(PriceExists):
        await schedule(client, product, 800, min_quantity=5)
    listed = (await client.as_admin(prices.LIST_PRICES, {"id": str(product.id)})).items
    assert listed == [price]
    await client.as_admin(prices.DELETE_PRICE, {"id": str(product.id), "price_id": str(price.id)})
    assert set((await prices_shown(client, product, 5)).values()) == {1000}
    for operation in (prices.LIST_PRICES, prices.LIST_PRICE_HISTORY):
        with pytest.raises(NotFound):
            await client.as_admin(operation, {"id": str(new_id())})


async def test_the_history_is_listed_page_by_page(client: CatalogClient) -> None:
    product = await create(client, 1000)
    for amount in (900, 800):
        await change(client, product, price=usd(amount))
    amounts, after = [], None
    while True:
        body = {"id": str(product.id), "limit": 1, **({"after": after} if after else {})}
        page = await client.as_admin(prices.LIST_PRICE_HISTORY, body)
        amounts += [entry.price.amount for entry in page.items]
        after = page.next
        if after is None:
            break
    assert amounts == [800, 900, 1000]


async def test_a_list_and_its_prices_change_at_once(client: CatalogClient) -> None:
    """Whoever comes last, the plan is that of the list and the prices as they are in the end."""
    products = [await create(client, 1000) for _ in range(2)]
    price_list = await create_list(client)
    later = {"id": str(price_list.id), "name": "Sale", "starts_at": FUTURE}
    await asyncio.gather(
        *(schedule(client, product, 700, list_id=str(price_list.id)) for product in products),
        *(client.as_admin(prices.REPLACE_PRICE_LIST, later) for _ in range(2)),
        *(change(client, product, price=usd(990)) for product in products),
    )
    for product in products:
        assert set((await prices_shown(client, product)).values()) == {990}
    await client.as_admin(prices.REPLACE_PRICE_LIST, {"id": str(price_list.id), "name": "Sale"})
    for product in products:
        assert set((await prices_shown(client, product)).values()) == {700}


async def test_a_new_price_waits_for_a_change_of_its_list(
    client: CatalogClient, database: Callable[[str], Awaitable[Any]]
) -> None:
    product, price_list = await create(client, 1000), await create_list(client)
    connection = await database("catalog")
    async with connection.transaction():
        await connection.execute("UPDATE price_list SET starts_at = $2 WHERE id = $1", price_list.id, END_OF_TIME)
        adding = asyncio.create_task(schedule(client, product, 700, list_id=str(price_list.id)))

        async def waits() -> bool:
            return bool(await connection.fetchval(_WAITS))

        await eventually(waits)
    await adding
    assert set((await prices_shown(client, product)).values()) == {1000}


_WAITS = """
SELECT EXISTS (
    SELECT FROM pg_locks
    WHERE NOT granted AND locktype = 'transactionid' AND transactionid = pg_current_xact_id()::xid
)
"""
"""Whether another one waits for this transaction's end. `pg_stat_activity` does not do: a transaction reads it once."""


async def test_a_variant_that_is_gone_has_no_price(client: CatalogClient) -> None:
    product = await create(client, 1000)
    await schedule(client, product, 700, min_quantity=2)
    body = {"id": str(product.id), "name": "Lamp", "sku": f"N-{new_id().hex}", "price": usd(500)}
    replaced = await client.as_admin(catalog.REPLACE_PRODUCT, body)
    assert [one.price.amount for one in replaced.variants] == [500]
    entries: list[PriceHistoryEntry] = (await client.as_admin(prices.LIST_PRICE_HISTORY, {"id": str(product.id)})).items
    last = {entry.sku: entry.price and entry.price.amount for entry in reversed(entries)}
    assert last == {sku_of(product): None, body["sku"]: 500}
