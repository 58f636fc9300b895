"""Repairs of holds and stock by an operator.

What the hold settler would repair first is tested in a transaction that it does not see.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import catalog
from contracts.catalog import OutOfStock, Product
from infra.foundation.ids import new_id
from infra.ops.devstack.stack import Stack
from services.catalog.domain.stock import StockRecord, correct_reserved
from services.catalog.store import repair as repairing
from tests.services.catalog.conftest import CatalogClient, line
from tests.support.event_recorder import EventRecorder
from tests.support.rpc import RpcCaller

Database = Callable[[str], Awaitable[Any]]


@pytest.fixture
async def isolated(stack: Stack) -> AsyncIterator[asyncpg.Connection]:
    """A connection whose transaction is rolled back after the test."""
    connection = await asyncpg.connect(stack.dsn("catalog"))
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield connection
    finally:
        await transaction.rollback()
        await connection.close()


async def repair(operator: RpcCaller, **body: Any) -> Any:
    return await operator(catalog.REPAIR, body)


async def test_consistent_stock_is_not_changed(client: CatalogClient, sku: str, operator: RpcCaller) -> None:
    hold = await client.hold(line(sku, 3))
    repaired = await repair(operator, ids=[str(hold.hold_id), str(new_id())], skus=[sku, "no-such-sku"], say=True)
    assert [item.did for item in (*repaired.items, *repaired.skus)] == [[], [], [], []]
    assert await client.stock_level(sku) == (10, 3)


@pytest.mark.parametrize("wrong", [0, 5, 10])
async def test_reserved_units_are_set_to_the_held_units(
    client: CatalogClient, sku: str, operator: RpcCaller, database: Database, wrong: int
) -> None:
    await client.hold(line(sku, 2))
    sold = await client.hold(line(sku, 1))
    await client.publish_paid(sold.hold_id, sku, 1)
    await client.wait_for_stock(sku, 9, 2)
    await (await database("catalog")).execute(
        "UPDATE stock SET reserved = least($2, on_hand) WHERE sku = $1", sku, wrong
    )
    assert [(one.sku, one.did) for one in (await repair(operator, skus=[sku])).skus] == [
        (sku, ["reserved units set to 2"])
    ]
    assert [item.did for item in (await repair(operator, skus=[sku])).skus] == [[]]
    assert await client.stock_level(sku) == (9, 2)


async def test_a_hold_that_cannot_be_settled_is_settled_after_its_sku_is_repaired(
    client: CatalogClient,
    sku: str,
    new_product: Callable[..., Awaitable[Product]],
    operator: RpcCaller,
    database: Database,
) -> None:
    """The stock constraint forbids returning units that are not reserved. Other holds are settled meanwhile."""
    untouched = (await new_product()).variants[0].sku
    hold = await client.hold(line(sku, 4))
    await (await database("catalog")).execute("UPDATE stock SET reserved = 0 WHERE sku = $1", sku)
    await (await database("catalog")).execute("UPDATE hold SET status = 'released' WHERE id = $1", hold.hold_id)
    other = await client.hold(line(untouched, 4))
    await client.publish_paid(other.hold_id, untouched, 4)
    await client.wait_for_stock(untouched, 6, 0)
    only = await repair(operator, ids=[str(hold.hold_id)])
    assert only.items[0].did == []
    await repair(operator, ids=[str(hold.hold_id)], skus=[sku])
    await client.wait_for_stock(sku, 10, 0)
    assert (await repair(operator, ids=[str(hold.hold_id)], skus=[sku])).items[0].did == []


async def test_an_expired_hold_returns_its_stock(client: CatalogClient, sku: str, isolated: asyncpg.Connection) -> None:
    hold = await client.hold(line(sku, 4))
    assert await repairing.expire(isolated, hold.hold_id) is None
    await isolated.execute("UPDATE hold SET expires_at = now() WHERE id = $1", hold.hold_id)
    expired = await repairing.expire(isolated, hold.hold_id)
    assert expired is not None
    assert expired.hold_id == hold.hold_id
    assert await repairing.settle(isolated, hold.hold_id) is None
    found = await repairing.lock_hold(isolated, hold.hold_id)
    assert found is not None
    assert (found.status, found.wanted, found.taken) == ("expired", "nothing", "nothing")
    assert await isolated.fetchval("SELECT reserved FROM stock WHERE sku = $1", sku) == 0


async def test_a_lost_hold_is_published_again(
    client: CatalogClient, sku: str, operator: RpcCaller, events: EventRecorder
) -> None:
    hold = await client.hold(line(sku, 6))
    await client.order(catalog.RELEASE, {"hold_id": str(hold.hold_id)})
    await client.hold(line(sku, 10))
    with pytest.raises(OutOfStock):
        await client.hold(line(sku, 1))
    await client.publish_paid(hold.hold_id, sku, 6)
    await events.wait_for(hold.hold_id, "hold_lost")

    repaired = await repair(operator, ids=[str(hold.hold_id)], say=True)

    assert repaired.items[0].did == ["published again: hold_lost"]
    assert (await repair(operator, ids=[str(hold.hold_id)])).items[0].did == []


amounts = st.integers(min_value=0, max_value=20)


@given(on_hand=amounts, reserved=amounts, held=amounts)
def test_corrects_reserved_to_held_but_never_above_on_hand(on_hand: int, reserved: int, held: int) -> None:
    changes = correct_reserved({"A": StockRecord(on_hand, reserved)}, {"A": held} if held else {})
    assert changes == ({"A": held} if held != reserved and held <= on_hand else {})
