"""Repair of orders: missed events are applied, and past events are published again."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from contracts import order as contract
from contracts import payment
from contracts.catalog import Product
from contracts.identity import Identity
from contracts.order import Order, OrderCancelled, OrderStatus
from infra.foundation.ids import new_id
from tests.services.order.conftest import OrderClient
from tests.support.event_recorder import EventRecorder
from tests.support.eventually import eventually
from tests.support.http import ADDRESS
from tests.support.rpc import RpcCaller

Database = Callable[[str], Awaitable[Any]]
FORGET_EVENTS = """
UPDATE orders SET status = $2, history = (SELECT jsonb_agg(entry ORDER BY at) FROM
        jsonb_array_elements(history) WITH ORDINALITY AS past (entry, at) WHERE at <= $3),
    payment_id = CASE WHEN $2 = 'pending' THEN NULL ELSE payment_id END
WHERE id = $1
"""


@pytest.fixture
async def lamp(new_product: Callable[..., Awaitable[Product]]) -> Product:
    return await new_product()


@pytest.fixture
async def paid(order_client: OrderClient, new_customer: Callable[[], Identity], lamp: Product) -> Order:
    order = await order_client.place(new_customer(), (lamp, 2), payment_method="sim_ok")
    await order_client.wait_for_stock(lamp, on_hand=8, reserved=0)
    return await order_client.wait_for_status(order.id, OrderStatus.PAID)


async def repair(operator: RpcCaller, order: Order, *, say: bool = False) -> list[str]:
    (item,) = (await operator(contract.REPAIR, {"ids": [str(order.id)], "say": say})).items
    assert item.id == order.id
    done: list[str] = item.did
    return done


async def test_a_correct_one_is_not_changed(operator: RpcCaller, paid: Order) -> None:
    assert await repair(operator, paid) == []
    (unknown,) = (await operator(contract.REPAIR, {"ids": [str(new_id())]})).items
    assert unknown.did == []


async def test_a_missed_capture_is_applied(
    order_client: OrderClient,
    operator: RpcCaller,
    paid: Order,
    lamp: Product,
    database: Database,
    events: EventRecorder,
) -> None:
    await (await database("order")).execute(FORGET_EVENTS, paid.id, "pending", 1)
    assert await repair(operator, paid) == [f"marked as paid: payment {paid.payment_id} was captured"]
    assert await repair(operator, paid) == []
    order = await order_client.read(paid.id)
    assert (order.status, order.payment_id, len(order.history)) == (OrderStatus.PAID, paid.payment_id, 2)
    await eventually(lambda: events.event_names(paid.id) == ["placed", "paid", "paid"])
    await order_client.wait_for_stock(lamp, on_hand=8, reserved=0)


async def test_a_missed_refund_is_applied(
    order_client: OrderClient, rpc: RpcCaller, operator: RpcCaller, admin: Identity, paid: Order, database: Database
) -> None:
    await rpc(contract.UPDATE, {"id": str(paid.id), "shipping_address": ADDRESS}, identity=admin)
    await rpc(payment.REFUND, {"id": str(paid.payment_id)}, identity=admin)
    await order_client.wait_for_status(paid.id, OrderStatus.REFUNDED)
    await (await database("order")).execute(FORGET_EVENTS, paid.id, "pending", 1)
    assert await repair(operator, paid) == [
        f"marked as paid: payment {paid.payment_id} was captured",
        f"marked as refunded: payment {paid.payment_id} was refunded",
    ]
    assert await repair(operator, paid) == []
    assert (await order_client.read(paid.id)).status is OrderStatus.REFUNDED


async def test_an_overdue_order_is_cancelled(
    order_client: OrderClient,
    operator: RpcCaller,
    new_customer: Callable[[], Identity],
    lamp: Product,
    database: Database,
) -> None:
    """By this repair or by the service itself, whichever is first."""
    order = await order_client.place(new_customer(), (lamp, 1))
    assert await repair(operator, order) == []
    await (await database("order")).execute("UPDATE orders SET pay_by = now() WHERE id = $1", order.id)
    assert await repair(operator, order) in ([], ["cancelled: not paid before its deadline"])
    assert (await order_client.read(order.id)).history[-1].note == "unpaid"
    await order_client.wait_for_stock(lamp, on_hand=10, reserved=0)


async def test_an_order_awaiting_payment_gets_its_stock_held_again(
    order_client: OrderClient,
    operator: RpcCaller,
    new_customer: Callable[[], Identity],
    lamp: Product,
    database: Database,
    rpc: RpcCaller,
    admin: Identity,
) -> None:
    order = await order_client.place(new_customer(), (lamp, 10))
    hold_id = await (await database("order")).fetchval("SELECT hold_id FROM orders WHERE id = $1", order.id)
    await (await database("catalog")).execute("SELECT release_hold($1)", hold_id)
    other = await order_client.place(new_customer(), (lamp, 1))
    assert await repair(operator, order) == []
    await rpc(contract.CANCEL, {"id": str(other.id)}, identity=admin)
    await order_client.wait_for_stock(lamp, on_hand=10, reserved=0)
    assert await repair(operator, order) == ["stock held again"]
    assert await repair(operator, order) == []
    await order_client.wait_for_stock(lamp, on_hand=10, reserved=10)


async def test_republished_events_change_nothing(
    order_client: OrderClient,
    rpc: RpcCaller,
    operator: RpcCaller,
    admin: Identity,
    paid: Order,
    lamp: Product,
    events: EventRecorder,
) -> None:
    await rpc(contract.UPDATE, {"id": str(paid.id), "shipping_address": ADDRESS}, identity=admin)
    await rpc(contract.CANCEL, {"id": str(paid.id)}, identity=admin)
    await order_client.wait_for_stock(lamp, on_hand=10, reserved=0)
    names = ["placed", "paid", "cancelled"]
    await eventually(lambda: events.event_names(paid.id) == names)

    assert await repair(operator, paid, say=True) == [f"published again: {name}" for name in names]

    await eventually(lambda: events.event_names(paid.id) == names + names)
    published = [recorded.event for recorded in events._recorded[str(paid.id)]]
    unversioned = [event.model_copy(update={"order_version": None}) for event in published]
    assert unversioned[:3] == published[3:], "the history does not tell the versions"
    assert isinstance(published[5], OrderCancelled)
    assert published[5].was is OrderStatus.PAID
    await order_client.wait_for_stock(lamp, on_hand=10, reserved=0)


async def test_an_inconsistent_history_is_not_republished(operator: RpcCaller, paid: Order, database: Database) -> None:
    await (await database("order")).execute("UPDATE orders SET status = 'delivered' WHERE id = $1", paid.id)
    assert await repair(operator, paid, say=True) == []
    await (await database("order")).execute("UPDATE orders SET status = 'paid' WHERE id = $1", paid.id)
    assert await repair(operator, paid, say=True) == ["published again: placed", "published again: paid"]
