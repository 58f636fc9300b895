"""SKUs that are not tracked, and SKUs that are sold below zero, in any order of orders and changes."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import catalog
from contracts.catalog import MAX_ORDER_UNITS, OutOfStock, Product, SkuQuote, StockReserved
from contracts.failure import InvalidRequest
from infra.foundation.ids import new_id
from infra.foundation.pagination import encode_cursor
from services.catalog.domain.stock import StockChange, StockRecord, correct_reserved, plan_levels
from tests.services.catalog.conftest import CatalogClient, ImportFiles, line, usd
from tests.support.event_recorder import EventRecorder
from tests.support.eventually import eventually

Database = Callable[[str], Awaitable[Any]]
GUEST = {"order_share": 0.5, "total_share": 0.5}
units = st.integers(0, 20)


async def create(client: CatalogClient, **stock: Any) -> Product:
    """A product with one variant and this stock."""
    mark = new_id().hex
    body = {"name": "Lamp", "tags": [mark], "sku": f"L-{mark}", "price": usd(1999), **stock}
    product: Product = await client.as_admin(catalog.CREATE_PRODUCT, body)
    return product


async def change(client: CatalogClient, product: Product, **stock: Any) -> Product:
    changed: Product = await client.as_admin(catalog.CHANGE_PRODUCT, {"id": str(product.id), **stock})
    return changed


def sku_of(product: Product) -> str:
    return product.variants[0].sku


async def read_stock(client: CatalogClient, sku: str) -> tuple[int, int, int, bool, bool]:
    level = await client.as_admin(catalog.GET_STOCK, {"sku": sku})
    return level.on_hand, level.reserved, level.available, level.tracked, level.backorder


async def require_balance(database: Database, sku: str) -> None:
    """Waits until each hold has moved what it should; then the units are those of the movements and the holds."""
    connection = await database("catalog")

    async def is_settled() -> bool:
        return not await connection.fetch("SELECT FROM hold WHERE skus @> ARRAY[$1] AND wanted <> taken", sku)

    await eventually(is_settled)
    assert await connection.fetch("SELECT * FROM stock_out_of_balance WHERE sku = $1", sku) == []


async def wait_for_status(database: Database, hold_id: UUID, status: str) -> None:
    connection = await database("catalog")

    async def is_reached() -> bool:
        return bool(await connection.fetchval("SELECT status = $2 FROM hold WHERE id = $1", hold_id, status))

    await eventually(is_reached)


async def read_shown(client: CatalogClient, product: Product) -> tuple[int, bool, bool, SkuQuote]:
    """What shoppers see: units to order, whether they wait for them, whether lists have it in stock, and its quote."""
    shown = await client.edge(catalog.GET_PRODUCT, {"key": str(product.id)})
    listed = await client.edge(catalog.LIST_PRODUCTS, {"tag": product.tags[0], "in_stock": True})
    quotes = await client.cart(catalog.QUOTE, {"skus": [sku_of(product)]})
    (variant,) = shown.variants
    return variant.available, variant.on_backorder, product.id in {one.id for one in listed.items}, quotes.items[0]


async def test_a_sku_that_is_not_tracked_can_always_be_ordered(client: CatalogClient, database: Database) -> None:
    product = await create(client, stock=None)
    sku = sku_of(product)
    held = await asyncio.gather(*(client.hold(line(sku, MAX_ORDER_UNITS)) for _ in range(5)))
    assert await read_stock(client, sku) == (0, 0, 0, False, False)
    available, waits, is_listed, quote = await read_shown(client, product)
    assert (available, waits, is_listed) == (MAX_ORDER_UNITS, False, True)
    assert (quote.available, quote.in_stock) == (MAX_ORDER_UNITS, None)
    for hold in held[:2]:
        await client.publish_paid(hold.hold_id, sku, MAX_ORDER_UNITS)
    await client.publish_cancelled(held[0].hold_id)
    counted = await create(client, stock=10)
    await client.publish_cancelled((await client.hold(line(sku_of(counted), 1))).hold_id)  # after the events before it
    await client.wait_for_stock(sku_of(counted), 10, 0)
    assert await read_stock(client, sku) == (0, 0, 0, False, False)
    await require_balance(database, sku)


async def test_a_sku_with_backorder_is_sold_below_zero(client: CatalogClient, database: Database) -> None:
    product = await create(client, stock=10, backorder=True)
    sku = sku_of(product)
    assert (await read_shown(client, product))[:3] == (MAX_ORDER_UNITS, False, True)
    held = await asyncio.gather(*(client.hold(line(sku, 6)) for _ in range(5)))
    assert await read_stock(client, sku) == (10, 30, -20, True, True)
    available, waits, is_listed, quote = await read_shown(client, product)
    assert (available, waits, is_listed) == (MAX_ORDER_UNITS, True, True)
    assert (quote.available, quote.in_stock) == (MAX_ORDER_UNITS, 0)
    for hold in held:
        await client.publish_paid(hold.hold_id, sku, 6)
    await client.wait_for_stock(sku, -20, 0)
    await client.publish_cancelled(held[0].hold_id)
    await client.wait_for_stock(sku, -14, 0)
    await require_balance(database, sku)


async def test_a_hold_gives_back_what_it_took_however_the_sku_is_counted_by_then(
    client: CatalogClient, database: Database
) -> None:
    product = await create(client, stock=10)
    sku = sku_of(product)
    sold, cancelled = await client.hold(line(sku, 3)), await client.hold(line(sku, 1))
    await change(client, product, stock=None)
    free = await client.hold(line(sku, 40))
    assert await read_stock(client, sku) == (10, 4, 6, False, False)
    await client.publish_paid(sold.hold_id, sku, 3)
    await client.publish_cancelled(cancelled.hold_id)
    await client.wait_for_stock(sku, 7, 0)
    await change(client, product, stock=7)
    await client.publish_paid(free.hold_id, sku, 40)
    await client.publish_cancelled(sold.hold_id)
    await client.wait_for_stock(sku, 10, 0)
    await client.publish_cancelled(free.hold_id)
    other = await client.hold(line(sku, 2))
    await client.publish_paid(other.hold_id, sku, 2)  # applied after the events before it
    await client.wait_for_stock(sku, 8, 0)
    await require_balance(database, sku)


async def test_orders_and_changes_at_the_same_moment_lose_no_unit(client: CatalogClient, database: Database) -> None:
    product = await create(client, stock=10)
    sku = sku_of(product)
    changes: tuple[dict[str, Any], ...] = ({"backorder": True}, {"stock": None}, {"backorder": False}, {"stock": 12})

    async def order(turn: int) -> None:
        with suppress(OutOfStock):
            hold = await client.hold(line(sku, 3))
            if turn % 2:
                await client.publish_paid(hold.hold_id, sku, 3)
            await client.publish_cancelled(hold.hold_id)

    async def switch(turn: int) -> None:
        with suppress(StockReserved):
            await change(client, product, **changes[turn % len(changes)])

    await asyncio.gather(*(step(turn) for turn in range(16) for step in (order, switch)))
    connection = await database("catalog")

    async def is_settled() -> bool:
        return not await connection.fetch("SELECT id FROM hold WHERE skus @> ARRAY[$1] AND taken <> 'nothing'", sku)

    await eventually(is_settled)
    assert (await read_stock(client, sku))[1] == 0
    await require_balance(database, sku)


@pytest.mark.parametrize("becomes", ["tracked", "untracked", "backorder"])
async def test_a_late_payment_takes_units_as_the_sku_is_counted_by_then(
    client: CatalogClient, database: Database, becomes: str
) -> None:
    product = await create(client, stock=None if becomes == "tracked" else 4)
    sku = sku_of(product)
    hold_id = (await client.hold(line(sku, 4))).hold_id
    await client.order(catalog.RELEASE, {"hold_id": str(hold_id)})
    after: dict[str, dict[str, Any]] = {
        "tracked": {"stock": 5},
        "untracked": {"stock": None},
        "backorder": {"stock": 1, "backorder": True},
    }
    await change(client, product, **after[becomes])
    await client.publish_paid(hold_id, sku, 4)
    await wait_for_status(database, hold_id, "sold")
    await client.wait_for_stock(sku, {"tracked": 1, "untracked": 4, "backorder": -3}[becomes], 0)
    await client.publish_cancelled(hold_id)
    await wait_for_status(database, hold_id, "cancelled")
    await client.wait_for_stock(sku, {"tracked": 5, "untracked": 4, "backorder": 1}[becomes], 0)
    await require_balance(database, sku)


async def test_without_backorder_missing_units_stop_the_sale_until_they_are_there(client: CatalogClient) -> None:
    product = await create(client, stock=1, backorder=True)
    sku = sku_of(product)
    await client.hold(line(sku, 4))
    await change(client, product, backorder=False)
    available, waits, is_listed, quote = await read_shown(client, product)
    assert (available, waits, is_listed, quote.available) == (0, False, False, 0)
    with pytest.raises(OutOfStock) as refused:
        await client.hold(line(sku, 1))
    assert refused.value.errors[0].detail == "1 requested, 0 left."
    adjustment = {"sku": sku, "reason": "delivery"}
    with pytest.raises(StockReserved):
        await client.as_admin(catalog.ADJUST_STOCK, {**adjustment, "delta": -1})
    for delta in (2, 1):
        await client.as_admin(catalog.ADJUST_STOCK, {**adjustment, "delta": delta})
        with pytest.raises(OutOfStock):
            await client.hold(line(sku, 1))
    with pytest.raises(StockReserved):
        await client.as_admin(catalog.ADJUST_STOCK, {**adjustment, "delta": -1})
    await client.as_admin(catalog.ADJUST_STOCK, {**adjustment, "delta": 1})
    await client.hold(line(sku, 1))
    assert await read_stock(client, sku) == (5, 5, 0, True, False)


async def test_movements_state_negative_units_in_pages(client: CatalogClient) -> None:
    product = await create(client, stock=2, backorder=True)
    adjustment = {"sku": sku_of(product), "reason": "counted"}
    for delta in (-5, -1, 10):
        await client.as_admin(catalog.ADJUST_STOCK, {**adjustment, "delta": delta})
    found, after = [], None
    for _ in range(4):
        page = await client.as_admin(catalog.LIST_STOCK_MOVEMENTS, {"sku": sku_of(product), "limit": 1, "after": after})
        found.append(page.items[0].on_hand)
        after = page.next
    assert (found, after) == ([6, -4, -3, 2], None)


async def test_low_stock_lists_what_is_counted(client: CatalogClient) -> None:
    skus = [sku_of(await create(client, **stock)) for stock in ({"stock": None}, {"stock": 0, "backorder": True})]
    await client.hold(line(skus[1], 3))
    for sku, is_low in zip(skus, (False, True), strict=True):
        before = sku[:-1] + chr(ord(sku[-1]) - 1)
        page = await client.as_admin(catalog.LIST_STOCK, {"below": 1, "after": encode_cursor(before), "limit": 1})
        assert (sku in [level.sku for level in page.items]) == is_low


async def test_guests_may_hold_any_number_of_what_does_not_end(client: CatalogClient) -> None:
    for stock in ({"stock": None}, {"stock": 0, "backorder": True}):
        sku = sku_of(await create(client, **stock))
        body = {"hold_id": str(new_id()), "lines": [line(sku, 50)], "seconds": 600, "guest_limit": GUEST}
        assert (await client.order(catalog.HOLD, body)).lines[0].quantity == 50


async def test_a_product_of_several_variants_states_the_stock_of_each(client: CatalogClient) -> None:
    variants = [
        {"sku": f"{size}-{new_id().hex}", "price": usd(100), "options": {"Size": size}, **stock}
        for size, stock in (("S", {"stock": None}), ("M", {"stock": 3, "backorder": True}), ("L", {}))
    ]
    product = await client.as_admin(catalog.CREATE_PRODUCT, {"name": "Lamp", "variants": variants})
    assert [variant.available for variant in product.variants] == [MAX_ORDER_UNITS, MAX_ORDER_UNITS, 0]
    with pytest.raises(InvalidRequest) as refused:
        await change(client, product, stock=1, backorder=None)
    assert [error.pointer for error in refused.value.errors] == ["/stock", "/backorder"]
    without_stock = [
        {name: value for name, value in one.items() if name not in {"stock", "backorder"}} for one in variants
    ]
    again = await change(client, product, variants=without_stock)
    assert [variant.available for variant in again.variants] == [MAX_ORDER_UNITS, MAX_ORDER_UNITS, 0]


async def test_a_sku_of_another_product_is_counted_anew(client: CatalogClient, events: EventRecorder) -> None:
    """The units that are written off are not those of the new product, so no event says that few are left."""
    first = await create(client, stock=10, backorder=True)
    await client.as_admin(catalog.DEACTIVATE_PRODUCT, {"id": str(first.id)})
    second = await create(client, sku=sku_of(first), stock=20)
    assert await read_stock(client, sku_of(second)) == (20, 0, 20, True, False)
    await events.wait_for_fields("stock_adjusted", sku=sku_of(second), on_hand=20)
    assert "stock_low" not in events.event_names(second.id)


async def test_a_product_file_states_how_skus_are_counted(client: CatalogClient, files: ImportFiles) -> None:
    mark = new_id().hex
    header = "Title,URL handle,SKU,Option1 name,Option1 value,Price,Inventory tracker,Inventory quantity,"
    rows = (
        f"Lamp {mark},{mark},F-{mark},Kind,File,5,,,FALSE",
        f",{mark},B-{mark},,Brass,5,shopify,-2,TRUE",
        f",{mark},T-{mark},,Tin,5,,3,",
    )
    text = "\n".join((f"{header}Continue selling when out of stock", *rows))
    assert (await files.run_import(text)).created == 1
    found = [await read_stock(client, f"{initial}-{mark}") for initial in "FBT"]
    assert found == [(0, 0, 0, False, False), (-2, 0, -2, True, True), (3, 0, 3, True, False)]
    assert (await files.run_import(text)).unchanged == 1
    changed = text.replace("shopify,-2,TRUE", "shopify,-2,FALSE").replace("File,5,,,FALSE", "File,5,shopify,4,")
    assert (await files.run_import(changed)).updated == 1
    found = [await read_stock(client, f"{initial}-{mark}") for initial in "FBT"]
    assert found == [(4, 0, 4, True, False), (0, 0, 0, True, False), (3, 0, 3, True, False)]


@given(on_hand=st.integers(-20, 20), reserved=units, wanted=st.none() | units, backorder=st.booleans())
def test_units_never_fall_below_the_reserved_ones_without_backorder(
    on_hand: int, reserved: int, wanted: int | None, *, backorder: bool
) -> None:
    before = StockRecord(on_hand, reserved)
    try:
        planned = plan_levels({"A": before}, {"A": StockChange(wanted, backorder=backorder)}, {}, [])
    except StockReserved:
        assert wanted is not None
        assert wanted < min(reserved, on_hand)
        assert not backorder
    else:
        after = planned.get("A", before)
        assert backorder or after.on_hand >= min(reserved, on_hand)
        assert after.on_hand == (on_hand if wanted is None else wanted)


@given(on_hand=st.integers(-20, 20))
def test_a_removed_variant_keeps_what_is_missing(on_hand: int) -> None:
    before = StockRecord(on_hand, 0, backorder=True)
    after = plan_levels({"A": before}, {}, {}, ["A"]).get("A", before)
    assert after.on_hand == min(on_hand, 0)


def test_reserved_units_may_exceed_those_on_hand_where_the_sku_allows_it() -> None:
    stock = {"A": StockRecord(1, 0, backorder=True), "B": StockRecord(1, 0, is_tracked=False), "C": StockRecord(1, 0)}
    assert correct_reserved(stock, {"A": 3, "B": 3, "C": 3}) == {"A": 3, "B": 3}
