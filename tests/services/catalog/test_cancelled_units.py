"""Units of a sold hold that its order does not keep return to stock, each once."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

from contracts.catalog import Product
from contracts.order import CancelReason, OrderUnitsCancelled, SkuQuantity
from infra.database.transaction import Transaction
from infra.foundation.ids import new_id
from infra.messaging.consumer import RetryLater
from services.catalog.handlers import events
from tests.services.catalog.conftest import NO_MONEY, CatalogClient, line

NewProduct = Callable[..., Awaitable[Product]]
Apply = Callable[..., Awaitable[None]]


def units_cancelled(hold_id: UUID, **remaining: int) -> OrderUnitsCancelled:
    return OrderUnitsCancelled(
        order_id=hold_id,
        number="S-1",
        user_id=None,
        total=NO_MONEY,
        cancellation_id=new_id(),
        hold_id=hold_id,
        payment_id=new_id(),
        amount=NO_MONEY,
        items=[],
        remaining=[SkuQuantity(sku=sku, quantity=quantity) for sku, quantity in remaining.items()],
        reason=CancelReason.CUSTOMER,
    )


@pytest.fixture
async def apply(database: Callable[[str], Awaitable[Any]]) -> Apply:
    """Applies events in one transaction, as a batch of the catalog does."""
    connection = await database("catalog")

    async def apply_all(*cancelled: OrderUnitsCancelled) -> None:
        async with connection.transaction():
            tx, deps = Transaction(connection), object()
            for event in cancelled:
                await events.order_units_cancelled(deps, tx, event)  # type: ignore[arg-type]  # it uses none
            await tx.flush()

    return apply_all


async def test_units_return_once_their_hold_is_sold(client: CatalogClient, sku: str, apply: Apply) -> None:
    hold = await client.hold(line(sku, 4))
    event = units_cancelled(hold.hold_id, **{sku: 3})
    with pytest.raises(RetryLater):
        await apply(event)
    await client.publish_paid(hold.hold_id, sku, 4)
    await client.wait_for_stock(sku, 6, 0)
    await apply(event)
    await apply(event)
    assert await client.stock_level(sku) == (7, 0)


async def test_events_in_any_order_return_the_same_units(client: CatalogClient, sku: str, apply: Apply) -> None:
    hold = await client.hold(line(sku, 4))
    await client.publish_paid(hold.hold_id, sku, 4)
    await client.wait_for_stock(sku, 6, 0)
    later, earlier = units_cancelled(hold.hold_id, **{sku: 1}), units_cancelled(hold.hold_id, **{sku: 3})
    await apply(later, earlier)
    assert await client.stock_level(sku) == (9, 0)
    await client.publish_cancelled(hold.hold_id)
    await client.wait_for_stock(sku, 10, 0)
    await apply(later)
    assert await client.stock_level(sku) == (10, 0)


async def test_a_line_of_which_nothing_is_kept_leaves_the_hold(
    client: CatalogClient, new_product: NewProduct, apply: Apply, database: Callable[[str], Awaitable[Any]]
) -> None:
    connection = await database("catalog")
    skus = [(await new_product()).variants[0].sku for _ in range(3)]
    hold = await client.hold(*(line(sku, 2) for sku in skus))
    await connection.execute("UPDATE hold SET status = 'sold' WHERE id = $1", hold.hold_id)
    await connection.execute("SELECT settle_holds(1, $1)", hold.hold_id)
    await apply(units_cancelled(hold.hold_id, **{skus[0]: 2, skus[2]: 1}))
    assert [await client.stock_level(sku) for sku in skus] == [(8, 0), (10, 0), (9, 0)]
    row = await connection.fetchrow("SELECT skus, quantities, product_ids FROM hold WHERE id = $1", hold.hold_id)
    ids = {held.sku: held.product_id for held in hold.lines}
    found = dict(zip(row["skus"], zip(row["quantities"], row["product_ids"], strict=True), strict=True))
    assert found == {skus[0]: (2, ids[skus[0]]), skus[2]: (1, ids[skus[2]])}
    query = "SELECT count(*) FROM stock_out_of_balance WHERE sku = ANY($1::text[])"
    assert await connection.fetchval(query, skus) == 0
