"""Stock put right on an operator's word. What the stock keeper would mend itself meanwhile is tried apart from it."""

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
async def apart(stack: Stack) -> AsyncIterator[asyncpg.Connection]:
    """A transaction that nobody sees and that comes to nothing."""
    connection = await asyncpg.connect(stack.dsn("catalog"))
    begun = connection.transaction()
    await begun.start()
    try:
        yield connection
    finally:
        await begun.rollback()
        await connection.close()


async def mend(operator: RpcCaller, **what: Any) -> Any:
    return await operator(catalog.REPAIR, what)


async def test_what_is_right_is_left_alone(shelf: CatalogClient, sku: str, operator: RpcCaller) -> None:
    hold = await shelf.hold(line(sku, 3))
    mended = await mend(operator, ids=[str(hold.hold_id), str(new_id())], skus=[sku, "no-such-sku"], say=True)
    assert [one.did for one in (*mended.items, *mended.skus)] == [[], [], [], []]
    assert await shelf.stock_level(sku) == (10, 3)


@pytest.mark.parametrize("wrong", [0, 5, 10])
async def test_as_much_is_reserved_as_holds_have(
    shelf: CatalogClient, sku: str, operator: RpcCaller, database: Database, wrong: int
) -> None:
    await shelf.hold(line(sku, 2))
    sold = await shelf.hold(line(sku, 1))
    await shelf.publish_paid(sold.hold_id, sku, 1)
    await shelf.wait_for_stock(sku, 9, 2)
    await (await database("catalog")).execute(
        "UPDATE stock SET reserved = least($2, on_hand) WHERE sku = $1", sku, wrong
    )
    assert [(one.sku, one.did) for one in (await mend(operator, skus=[sku])).skus] == [(sku, ["2 are reserved"])]
    assert [one.did for one in (await mend(operator, skus=[sku])).skus] == [[]]
    assert await shelf.stock_level(sku) == (9, 2)


async def test_a_hold_that_could_not_be_settled_is_settled_after_its_sku(
    shelf: CatalogClient,
    sku: str,
    new_product: Callable[..., Awaitable[Product]],
    operator: RpcCaller,
    database: Database,
) -> None:
    """The law of stock forbids to return what is not reserved. The holds of others do not wait for that."""
    untouched = (await new_product()).variants[0].sku
    hold = await shelf.hold(line(sku, 4))
    await (await database("catalog")).execute("UPDATE stock SET reserved = 0 WHERE sku = $1", sku)
    await (await database("catalog")).execute("UPDATE hold SET status = 'released' WHERE id = $1", hold.hold_id)
    other = await shelf.hold(line(untouched, 4))
    await shelf.publish_paid(other.hold_id, untouched, 4)
    await shelf.wait_for_stock(untouched, 6, 0)
    only = await mend(operator, ids=[str(hold.hold_id)])
    assert only.items[0].did == []
    await mend(operator, ids=[str(hold.hold_id)], skus=[sku])
    await shelf.wait_for_stock(sku, 10, 0)
    assert (await mend(operator, ids=[str(hold.hold_id)], skus=[sku])).items[0].did == []


async def test_what_has_run_out_ends_and_its_stock_returns(
    shelf: CatalogClient, sku: str, apart: asyncpg.Connection
) -> None:
    hold = await shelf.hold(line(sku, 4))
    assert await repairing.expire(apart, hold.hold_id) is None
    await apart.execute("UPDATE hold SET expires_at = now() WHERE id = $1", hold.hold_id)
    expired = await repairing.expire(apart, hold.hold_id)
    assert expired is not None
    assert expired.hold_id == hold.hold_id
    assert await repairing.settle(apart, hold.hold_id) is None
    found = await repairing.lock_hold(apart, hold.hold_id)
    assert found is not None
    assert (found.status, found.wanted, found.taken) == ("expired", "nothing", "nothing")
    assert await apart.fetchval("SELECT reserved FROM stock WHERE sku = $1", sku) == 0


async def test_what_was_paid_and_sold_out_meanwhile_is_lost_and_said_so(
    shelf: CatalogClient, sku: str, operator: RpcCaller, events: EventRecorder
) -> None:
    hold = await shelf.hold(line(sku, 6))
    await shelf.order(catalog.RELEASE, {"hold_id": str(hold.hold_id)})
    await shelf.hold(line(sku, 10))
    with pytest.raises(OutOfStock):
        await shelf.hold(line(sku, 1))
    await shelf.publish_paid(hold.hold_id, sku, 6)
    await events.wait_for(hold.hold_id, "hold_lost")

    mended = await mend(operator, ids=[str(hold.hold_id)], say=True)

    assert mended.items[0].did == ["said again: hold_lost"]
    assert (await mend(operator, ids=[str(hold.hold_id)])).items[0].did == []


amounts = st.integers(min_value=0, max_value=20)


@given(on_hand=amounts, reserved=amounts, held=amounts)
def test_what_is_reserved_is_what_is_held_and_never_more_than_there_is(on_hand: int, reserved: int, held: int) -> None:
    changes = correct_reserved({"A": StockRecord(on_hand, reserved)}, {"A": held} if held else {})
    assert changes == ({"A": held} if held != reserved and held <= on_hand else {})
