"""How events change an order: early, late, repeated or out of order."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

from contracts import order as contract
from contracts.catalog import HoldLost, Product
from contracts.event import Event
from contracts.identity import Identity
from contracts.order import CancelReason, Order, OrderCancelled, OrderPaid, OrderStatus
from contracts.payment import PaymentCaptured, PaymentFailed, PaymentRefunded
from infra.foundation.ids import new_id
from tests.services.order.conftest import OrderClient
from tests.support.event_recorder import EventRecorder
from tests.support.eventually import eventually
from tests.support.rpc import RpcCaller

NewProduct = Callable[..., Awaitable[Product]]
Publish = Callable[[Event], Awaitable[None]]
LOCK_ATTEMPT = """
SELECT true FROM attempt WHERE payment_id = (SELECT id FROM payment WHERE order_id = $1) FOR UPDATE
"""
"""While its row is locked, payment does not ask the gateway again how the attempt to charge ended."""


@pytest.fixture
async def lamp(new_product: NewProduct) -> Product:
    return await new_product()


@pytest.fixture
async def pending(order_client: OrderClient, new_customer: Callable[[], Identity], lamp: Product) -> Order:
    return await order_client.place(new_customer(), (lamp, 2))


def captured(order: Order, payment_id: UUID) -> PaymentCaptured:
    return PaymentCaptured(payment_id=payment_id, order_id=order.id, amount=order.total)


def failed(order: Order, payment_id: UUID) -> PaymentFailed:
    return PaymentFailed(payment_id=payment_id, order_id=order.id, amount=order.total, failure_code="declined")


def refunded(order: Order, payment_id: UUID, *, full: bool) -> PaymentRefunded:
    money = order.total
    return PaymentRefunded(
        payment_id=payment_id, order_id=order.id, amount=money, refund_id=new_id(), refunded=money, full=full
    )


async def hold_of(database: Callable[[str], Awaitable[Any]], order: Order) -> UUID:
    hold_id: UUID = await (await database("order")).fetchval("SELECT hold_id FROM orders WHERE id = $1", order.id)
    return hold_id


@pytest.fixture
def wait_until_consumed(
    publish: Publish, order_client: OrderClient, new_product: NewProduct, new_customer: Callable[[], Identity]
) -> Any:
    """Waits until all events published so far are consumed: a last one, about another order, has had its effect."""

    async def wait() -> None:
        other = await order_client.place(new_customer(), (await new_product(), 1))
        await publish(captured(other, new_id()))
        await order_client.wait_for_status(other.id, OrderStatus.PAID)

    return wait


async def test_a_capture_pays_the_order_and_sells_the_stock(
    order_client: OrderClient, lamp: Product, new_customer: Callable[[], Identity], events: EventRecorder
) -> None:
    order = await order_client.place(new_customer(), (lamp, 3), payment_method="sim_ok")
    paid = await order_client.wait_for_status(order.id, OrderStatus.PAID)
    assert paid.payment_id is not None
    event = (await events.wait_for(order.id, "paid")).event
    assert isinstance(event, OrderPaid)
    assert (event.payment_id, [(item.sku, item.quantity) for item in event.items]) == (
        paid.payment_id,
        [(lamp.variants[0].sku, 3)],
    )
    await order_client.wait_for_stock(lamp, on_hand=7, reserved=0)


@pytest.mark.parametrize("method", ["sim_declined", "sim_insufficient_funds"])
async def test_a_decline_cancels_the_order_and_returns_the_stock(
    method: str, order_client: OrderClient, lamp: Product, new_customer: Callable[[], Identity], events: EventRecorder
) -> None:
    order = await order_client.place(new_customer(), (lamp, 3), payment_method=method)
    cancelled = await order_client.wait_for_status(order.id, OrderStatus.CANCELLED)
    assert cancelled.history[-1].note == "payment_failed"
    event = (await events.wait_for(order.id, "cancelled")).event
    assert isinstance(event, OrderCancelled)
    assert event.reason is CancelReason.PAYMENT_FAILED
    await order_client.wait_for_stock(lamp, on_hand=10, reserved=0)


async def test_a_repeated_capture_pays_once(
    order_client: OrderClient, pending: Order, publish: Publish, wait_until_consumed: Any, events: EventRecorder
) -> None:
    payment_id = new_id()
    for _ in range(3):
        await publish(captured(pending, payment_id))
    await publish(failed(pending, new_id()))
    await wait_until_consumed()
    order = await order_client.read(pending.id)
    assert (order.status, order.payment_id, len(order.history)) == (OrderStatus.PAID, payment_id, 2)
    await events.wait_for(pending.id, "paid")
    assert events.event_names(pending.id).count("paid") == 1


async def test_a_failure_before_a_capture_cancels_for_good(
    order_client: OrderClient, pending: Order, publish: Publish, wait_until_consumed: Any
) -> None:
    await publish(failed(pending, new_id()))
    await publish(captured(pending, new_id()))
    await wait_until_consumed()
    order = await order_client.read(pending.id)
    assert (order.status, order.payment_id, len(order.history)) == (OrderStatus.CANCELLED, None, 2)


async def test_a_partial_refund_changes_nothing_and_a_full_one_ends_the_order(
    order_client: OrderClient, pending: Order, publish: Publish, wait_until_consumed: Any, events: EventRecorder
) -> None:
    payment_id = new_id()
    await publish(captured(pending, payment_id))
    await publish(refunded(pending, payment_id, full=False))
    await publish(refunded(pending, new_id(), full=True))
    await wait_until_consumed()
    assert (await order_client.read(pending.id)).status is OrderStatus.PAID

    for _ in range(2):
        await publish(refunded(pending, payment_id, full=True))

    order = await order_client.wait_for_status(pending.id, OrderStatus.REFUNDED)
    assert len(order.history) == 3
    await events.wait_for(pending.id, "refunded")


async def test_a_refund_before_its_capture_is_retried(
    order_client: OrderClient, pending: Order, publish: Publish
) -> None:
    payment_id = new_id()
    await publish(refunded(pending, payment_id, full=True))
    await publish(captured(pending, payment_id))
    order = await order_client.wait_for_status(pending.id, OrderStatus.REFUNDED)
    assert [entry.status for entry in order.history] == [OrderStatus.PENDING, OrderStatus.PAID, OrderStatus.REFUNDED]


@pytest.mark.parametrize("was", [OrderStatus.PENDING, OrderStatus.PAID])
async def test_a_lost_hold_cancels_the_order(
    was: OrderStatus,
    order_client: OrderClient,
    pending: Order,
    publish: Publish,
    database: Callable[[str], Awaitable[Any]],
    events: EventRecorder,
) -> None:
    if was is OrderStatus.PAID:
        await publish(captured(pending, new_id()))
        await order_client.wait_for_status(pending.id, OrderStatus.PAID)
    await publish(HoldLost(hold_id=await hold_of(database, pending), order_id=None))
    order = await order_client.wait_for_status(pending.id, OrderStatus.CANCELLED)
    assert order.history[-1].note == "hold_lost"
    event = (await events.wait_for(pending.id, "cancelled")).event
    assert isinstance(event, OrderCancelled)
    assert (event.was, event.reason) == (was, CancelReason.HOLD_LOST)


async def test_a_lost_hold_without_an_order_is_ignored(
    order_client: OrderClient, pending: Order, publish: Publish, database: Callable[[str], Awaitable[Any]]
) -> None:
    await publish(HoldLost(hold_id=new_id(), order_id=None))
    await publish(HoldLost(hold_id=await hold_of(database, pending), order_id=pending.id))
    await order_client.wait_for_status(pending.id, OrderStatus.CANCELLED)


async def test_an_order_not_paid_in_time_is_cancelled(
    order_client: OrderClient,
    pending: Order,
    lamp: Product,
    database: Callable[[str], Awaitable[Any]],
    events: EventRecorder,
) -> None:
    await (await database("order")).execute("UPDATE orders SET pay_by = now() WHERE id = $1", pending.id)
    order = await order_client.wait_for_status(pending.id, OrderStatus.CANCELLED)
    assert order.history[-1].note == "unpaid"
    event = (await events.wait_for(pending.id, "cancelled")).event
    assert isinstance(event, OrderCancelled)
    assert (event.was, event.reason) == (OrderStatus.PENDING, CancelReason.UNPAID)
    await order_client.wait_for_stock(lamp, on_hand=10, reserved=0)


async def test_a_capture_after_the_deadline_is_refunded(
    order_client: OrderClient,
    lamp: Product,
    new_customer: Callable[[], Identity],
    rpc: RpcCaller,
    database: Callable[[str], Awaitable[Any]],
    events: EventRecorder,
) -> None:
    """The gateway has captured, but payment hears of it only after the order has ended."""
    buyer = new_customer()
    order = await order_client.place(buyer, (lamp, 1), payment_method="sim_timeout")
    payments = await database("payment")
    async with payments.transaction():
        await eventually(lambda: payments.fetchval(LOCK_ATTEMPT, order.id))
        await (await database("order")).execute("UPDATE orders SET pay_by = now() WHERE id = $1", order.id)
        await order_client.wait_for_status(order.id, OrderStatus.CANCELLED)

    async def nothing_captured() -> bool:
        found = await (await database("payment")).fetch("SELECT status FROM payment WHERE order_id = $1", order.id)
        return all(row["status"] in ("failed", "refunded") for row in found)

    await events.wait_for(order.id, "cancelled")
    await eventually(nothing_captured)
    assert (await rpc(contract.GET, {"id": str(order.id)}, identity=buyer)).status is OrderStatus.CANCELLED
    await order_client.wait_for_stock(lamp, on_hand=10, reserved=0)


async def test_the_deadline_is_before_the_end_of_the_hold(
    pending: Order, database: Callable[[str], Awaitable[Any]]
) -> None:
    hold_id = await hold_of(database, pending)
    pay_by = await (await database("order")).fetchval("SELECT pay_by FROM orders WHERE id = $1", pending.id)
    ends = await (await database("catalog")).fetchval("SELECT expires_at FROM hold WHERE id = $1", hold_id)
    assert (ends - pay_by).total_seconds() >= 590
