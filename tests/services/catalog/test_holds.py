"""Stock is held, sold and returned, and never exceeded, in any order of requests and events."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

from contracts import catalog
from contracts.catalog import Hold, HoldMismatch, OutOfStock, Product, SkuUnknown
from contracts.failure import Fail
from infra.foundation.ids import new_id
from services.catalog.store import holds
from tests.services.catalog.conftest import CatalogClient, line
from tests.support.event_recorder import EventRecorder
from tests.support.eventually import eventually

NewProduct = Callable[..., Awaitable[Product]]
Database = Callable[[str], Awaitable[Any]]


def without_seconds_left(hold: Hold) -> str:
    """The hold as JSON, without the field that changes with time."""
    return hold.model_dump_json(exclude={"seconds_left"})


async def test_a_hold_prices_and_reserves_every_line(client: CatalogClient, new_product: NewProduct) -> None:
    one, other = await new_product(price=1999), await new_product(price=500)
    skus = [product.variants[0].sku for product in (one, other)]
    held = await client.hold(line(skus[0], 2), {"product_id": str(other.id), "quantity": 3}, line(skus[0], 1))
    assert [(one.sku, one.quantity, one.unit_price.amount) for one in held.lines] == [
        (skus[0], 3, 1999),
        (skus[1], 3, 500),
    ]
    assert (held.lines[1].product_id, held.currency) == (other.id, "USD")
    assert [await client.stock_level(sku) for sku in skus] == [(10, 3), (10, 3)]


async def test_a_hold_reserves_every_line_or_none(client: CatalogClient, sku: str, new_product: NewProduct) -> None:
    short = (await new_product(stock=2)).variants[0].sku
    with pytest.raises(OutOfStock) as refused:
        await client.hold(line(sku, 1), line(short, 3))
    assert [(error.pointer, error.detail) for error in refused.value.errors] == [("/items/1", "3 requested, 2 left.")]
    assert await client.stock_level(sku) == (10, 0)


async def test_refuses_unknown_and_ambiguous_lines(client: CatalogClient, sku: str) -> None:
    several = await client.as_admin(
        catalog.CREATE_PRODUCT,
        {
            "name": "Two",
            "variants": [
                {"sku": f"T-{new_id().hex}", "price": {"amount": 1, "currency": "USD"}, "options": {"Size": size}}
                for size in ("S", "L")
            ],
        },
    )
    with pytest.raises(SkuUnknown) as refused:
        await client.hold(line(sku, 1), line("no-such-sku", 1))
    assert [error.pointer for error in refused.value.errors] == ["/items/1"]
    for product_id in (several.id, new_id()):
        with pytest.raises(SkuUnknown) as refused:
            await client.hold(line(sku, 1), {"product_id": str(product_id), "quantity": 1})
        assert [error.pointer for error in refused.value.errors] == ["/items/1"]
    assert await client.stock_level(sku) == (10, 0)


async def test_the_same_hold_id_returns_the_same_hold(client: CatalogClient, sku: str, new_product: NewProduct) -> None:
    hold_id, other = new_id(), (await new_product()).variants[0].sku
    body = {"hold_id": str(hold_id), "lines": [line(sku, 2), line(other, 1)], "seconds": 600}
    answers = await asyncio.gather(*(client.order.raw(catalog.HOLD, body) for _ in range(20)))
    (first,) = {without_seconds_left(Hold.model_validate_json(answer)) for answer, _ in answers}
    assert without_seconds_left(await client.hold(line(other, 1), line(sku, 1), line(sku, 1), hold_id=hold_id)) == first
    assert await client.stock_level(sku) == (10, 2)
    with pytest.raises(HoldMismatch):
        await client.hold(line(sku, 3), hold_id=hold_id)


async def test_a_hundred_concurrent_holds_share_the_last_ten_units(client: CatalogClient, sku: str) -> None:
    async def try_hold() -> Fail | Hold:
        try:
            return await client.hold(line(sku, 1))
        except OutOfStock as fail:
            return fail

    outcomes = await asyncio.gather(*(try_hold() for _ in range(100)))
    assert sum(isinstance(outcome, Hold) for outcome in outcomes) == 10
    assert await client.stock_level(sku) == (10, 10)


async def test_holds_of_the_same_skus_in_any_order_do_not_deadlock(
    client: CatalogClient, new_product: NewProduct
) -> None:
    skus = [(await new_product(stock=1000)).variants[0].sku for _ in range(4)]

    async def order(turn: int) -> None:
        turned = [*skus[turn % 4 :], *skus[: turn % 4]]
        held = await client.hold(*(line(sku, 1) for sku in turned))
        await client.publish_paid(held.hold_id, turned[0], 1)

    await asyncio.gather(*(order(turn) for turn in range(80)))
    for sku in skus:
        await client.wait_for_stock(sku, 920, 0)


async def test_a_release_returns_the_stock_at_once(client: CatalogClient, sku: str, events: EventRecorder) -> None:
    held = await client.hold(line(sku, 4))
    for _ in range(2):
        await client.order(catalog.RELEASE, {"hold_id": str(held.hold_id)})
    assert await client.stock_level(sku) == (10, 0)
    await client.order(catalog.RELEASE, {"hold_id": str(new_id())})
    again = await client.hold(line(sku, 4), hold_id=held.hold_id)
    assert again.expires_at > held.expires_at
    assert await client.stock_level(sku) == (10, 4)
    assert "hold_lost" not in events.event_names(held.hold_id)


async def test_a_release_settles_the_hold_of_a_cancelled_order(
    client: CatalogClient, sku: str, database: Database
) -> None:
    """A client that orders the last units again at once must find them; the settler runs a moment after the event."""
    held, connection = await client.hold(line(sku, 10)), await database("catalog")
    async with connection.transaction():  # the settler sees nothing of it before its end
        await holds.cancel(connection, held.hold_id, new_id())
        for _ in range(2):
            await holds.release(connection, held.hold_id)
        assert await connection.fetchval("SELECT reserved FROM stock WHERE sku = $1", sku) == 0
    assert await client.stock_level(sku) == (10, 0)


async def test_an_expired_hold_publishes_hold_lost(client: CatalogClient, sku: str, events: EventRecorder) -> None:
    held = await client.hold(line(sku, 4), seconds=1)
    await events.wait_for(held.hold_id, "hold_lost")
    assert await client.stock_level(sku) == (10, 0)
    await client.hold(line(sku, 4), hold_id=held.hold_id)
    assert await client.stock_level(sku) == (10, 4)


async def test_a_paid_hold_is_sold_once(client: CatalogClient, sku: str) -> None:
    held = await client.hold(line(sku, 4))
    for _ in range(3):
        await client.publish_paid(held.hold_id, sku, 4)
    await client.wait_for_stock(sku, 6, 0)
    await client.order(catalog.RELEASE, {"hold_id": str(held.hold_id)})
    assert without_seconds_left(await client.hold(line(sku, 4), hold_id=held.hold_id)) == without_seconds_left(held)
    assert await client.stock_level(sku) == (6, 0)


async def test_a_cancelled_order_returns_its_stock(client: CatalogClient, sku: str) -> None:
    held, sold = await client.hold(line(sku, 4)), await client.hold(line(sku, 1))
    await client.publish_paid(sold.hold_id, sku, 1)
    await client.wait_for_stock(sku, 9, 4)
    for _ in range(2):
        await client.publish_cancelled(held.hold_id)
        await client.publish_cancelled(sold.hold_id)
    await client.wait_for_stock(sku, 10, 0)
    with pytest.raises(HoldMismatch):
        await client.hold(line(sku, 4), hold_id=held.hold_id)


async def test_a_hold_cancelled_before_its_payment_is_not_sold(
    client: CatalogClient, sku: str, database: Database
) -> None:
    known, unknown = (await client.hold(line(sku, 4))).hold_id, new_id()
    for hold_id in (known, unknown):
        await client.publish_cancelled(hold_id)
    await client.wait_for_stock(sku, 10, 0)
    for hold_id in (known, unknown):
        await client.publish_paid(hold_id, sku, 4)
    last = await client.hold(line(sku, 1))
    await client.publish_paid(last.hold_id, sku, 1)  # applied after the events before it
    await client.wait_for_stock(sku, 9, 0)
    catalog_database = await database("catalog")
    statuses = await catalog_database.fetch("SELECT status FROM hold WHERE id = ANY($1)", [known, unknown])
    assert [row["status"] for row in statuses] == ["cancelled", "cancelled"]


async def expired_hold(client: CatalogClient, events: EventRecorder, sku: str, quantity: int) -> UUID:
    held = await client.hold(line(sku, quantity), seconds=1)
    await events.wait_for(held.hold_id, "hold_lost")
    return held.hold_id


async def test_a_late_payment_takes_the_stock_again_if_available(
    client: CatalogClient, sku: str, events: EventRecorder
) -> None:
    hold_id = await expired_hold(client, events, sku, 4)
    await client.publish_paid(hold_id, sku, 4)
    await client.wait_for_stock(sku, 6, 0)
    await client.publish_cancelled(hold_id)
    await client.wait_for_stock(sku, 10, 0)


async def test_a_late_payment_without_stock_loses_the_hold(
    client: CatalogClient, sku: str, events: EventRecorder
) -> None:
    hold_id = await expired_hold(client, events, sku, 4)
    await client.hold(line(sku, 8))
    await client.publish_paid(hold_id, sku, 4)
    await eventually(lambda: events.event_names(hold_id).count("hold_lost") == 2)
    assert await client.stock_level(sku) == (10, 8)
    lost = await events.wait_for_fields("hold_lost", hold_id=hold_id, order_id=hold_id)
    assert lost.event.aggregate_id == hold_id
    await client.publish_cancelled(hold_id)
    await client.wait_for_stock(sku, 10, 8)


async def test_a_payment_without_a_hold_is_sold_if_available(
    client: CatalogClient, sku: str, events: EventRecorder
) -> None:
    there, not_there = new_id(), new_id()
    await client.publish_paid(there, sku, 4)
    await client.wait_for_stock(sku, 6, 0)
    await client.publish_paid(not_there, f"gone-{new_id().hex}", 1)
    await events.wait_for(not_there, "hold_lost")


async def test_units_sold_held_and_left_equal_the_units_put_in(
    client: CatalogClient, sku: str, database: Database, events: EventRecorder
) -> None:
    sold, held = await client.hold(line(sku, 3)), await client.hold(line(sku, 2))
    await client.publish_paid(sold.hold_id, sku, 3)
    await expired_hold(client, events, sku, 1)
    await client.as_admin(catalog.ADJUST_STOCK, {"sku": sku, "delta": 5, "reason": "delivery"})
    await client.wait_for_stock(sku, 12, 2)
    catalog_database = await database("catalog")
    moved = await catalog_database.fetch(
        "SELECT kind, sum(quantity)::int AS quantity FROM stock_movement WHERE sku = $1 GROUP BY kind", sku
    )
    assert {row["kind"]: row["quantity"] for row in moved} == {"adjusted": 15, "sold": -3}
    assert held.lines[0].quantity == 2

    async def in_balance() -> bool:
        return not await catalog_database.fetch("SELECT sku FROM stock_out_of_balance")

    await eventually(in_balance)
