"""What becomes of an order by what is heard about it: early, late, twice, the wrong way round."""

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
Say = Callable[[Event], Awaitable[None]]


@pytest.fixture
async def lamp(new_product: NewProduct) -> Product:
    return await new_product()


@pytest.fixture
async def pending(counter: OrderClient, new_customer: Callable[[], Identity], lamp: Product) -> Order:
    return await counter.place(new_customer(), (lamp, 2))


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
def all_heard(say: Say, counter: OrderClient, new_product: NewProduct, new_customer: Callable[[], Identity]) -> Any:
    """Waits until everything that payment has said so far is heard: a fact about another order, said last."""

    async def wait() -> None:
        other = await counter.place(new_customer(), (await new_product(), 1))
        await say(captured(other, new_id()))
        await counter.wait_for_status(other.id, OrderStatus.PAID)

    return wait


async def test_what_is_captured_is_paid_and_sold(
    counter: OrderClient, lamp: Product, new_customer: Callable[[], Identity], events: EventRecorder
) -> None:
    order = await counter.place(new_customer(), (lamp, 3), payment_method="sim_ok")
    paid = await counter.wait_for_status(order.id, OrderStatus.PAID)
    assert paid.payment_id is not None
    said = (await events.wait_for(order.id, "paid")).event
    assert isinstance(said, OrderPaid)
    assert (said.payment_id, [(item.sku, item.quantity) for item in said.items]) == (
        paid.payment_id,
        [(lamp.variants[0].sku, 3)],
    )
    await counter.wait_for_stock(lamp, on_hand=7, reserved=0)


@pytest.mark.parametrize("method", ["sim_declined", "sim_insufficient_funds"])
async def test_what_is_declined_is_cancelled_and_its_stock_returns(
    method: str, counter: OrderClient, lamp: Product, new_customer: Callable[[], Identity], events: EventRecorder
) -> None:
    order = await counter.place(new_customer(), (lamp, 3), payment_method=method)
    cancelled = await counter.wait_for_status(order.id, OrderStatus.CANCELLED)
    assert cancelled.history[-1].note == "payment_failed"
    said = (await events.wait_for(order.id, "cancelled")).event
    assert isinstance(said, OrderCancelled)
    assert said.reason is CancelReason.PAYMENT_FAILED
    await counter.wait_for_stock(lamp, on_hand=10, reserved=0)


async def test_captured_twice_is_paid_once(
    counter: OrderClient, pending: Order, say: Say, all_heard: Any, events: EventRecorder
) -> None:
    payment_id = new_id()
    for _ in range(3):
        await say(captured(pending, payment_id))
    await say(failed(pending, new_id()))
    await all_heard()
    order = await counter.read(pending.id)
    assert (order.status, order.payment_id, len(order.history)) == (OrderStatus.PAID, payment_id, 2)
    await events.wait_for(pending.id, "paid")
    assert events.event_names(pending.id).count("paid") == 1


async def test_failed_before_captured_stays_cancelled(
    counter: OrderClient, pending: Order, say: Say, all_heard: Any
) -> None:
    await say(failed(pending, new_id()))
    await say(captured(pending, new_id()))
    await all_heard()
    order = await counter.read(pending.id)
    assert (order.status, order.payment_id, len(order.history)) == (OrderStatus.CANCELLED, None, 2)


async def test_a_refund_in_part_changes_nothing_and_a_full_one_ends_the_order(
    counter: OrderClient, pending: Order, say: Say, all_heard: Any, events: EventRecorder
) -> None:
    payment_id = new_id()
    await say(captured(pending, payment_id))
    await say(refunded(pending, payment_id, full=False))
    await say(refunded(pending, new_id(), full=True))
    await all_heard()
    assert (await counter.read(pending.id)).status is OrderStatus.PAID

    for _ in range(2):
        await say(refunded(pending, payment_id, full=True))

    order = await counter.wait_for_status(pending.id, OrderStatus.REFUNDED)
    assert len(order.history) == 3
    await events.wait_for(pending.id, "refunded")


async def test_a_refund_heard_before_its_capture_waits_for_it(counter: OrderClient, pending: Order, say: Say) -> None:
    payment_id = new_id()
    await say(refunded(pending, payment_id, full=True))
    await say(captured(pending, payment_id))
    order = await counter.wait_for_status(pending.id, OrderStatus.REFUNDED)
    assert [entry.status for entry in order.history] == [OrderStatus.PENDING, OrderStatus.PAID, OrderStatus.REFUNDED]


@pytest.mark.parametrize("was", [OrderStatus.PENDING, OrderStatus.PAID])
async def test_an_order_that_lost_its_hold_is_cancelled(
    was: OrderStatus,
    counter: OrderClient,
    pending: Order,
    say: Say,
    database: Callable[[str], Awaitable[Any]],
    events: EventRecorder,
) -> None:
    if was is OrderStatus.PAID:
        await say(captured(pending, new_id()))
        await counter.wait_for_status(pending.id, OrderStatus.PAID)
    await say(HoldLost(hold_id=await hold_of(database, pending), order_id=None))
    order = await counter.wait_for_status(pending.id, OrderStatus.CANCELLED)
    assert order.history[-1].note == "hold_lost"
    said = (await events.wait_for(pending.id, "cancelled")).event
    assert isinstance(said, OrderCancelled)
    assert (said.was, said.reason) == (was, CancelReason.HOLD_LOST)


async def test_a_lost_hold_that_no_order_came_for_is_passed_over(
    counter: OrderClient, pending: Order, say: Say, database: Callable[[str], Awaitable[Any]]
) -> None:
    await say(HoldLost(hold_id=new_id(), order_id=None))
    await say(HoldLost(hold_id=await hold_of(database, pending), order_id=pending.id))
    await counter.wait_for_status(pending.id, OrderStatus.CANCELLED)


async def test_nobody_pays_in_time(
    counter: OrderClient,
    pending: Order,
    lamp: Product,
    database: Callable[[str], Awaitable[Any]],
    events: EventRecorder,
) -> None:
    await (await database("order")).execute("UPDATE orders SET pay_by = now() WHERE id = $1", pending.id)
    order = await counter.wait_for_status(pending.id, OrderStatus.CANCELLED)
    assert order.history[-1].note == "unpaid"
    said = (await events.wait_for(pending.id, "cancelled")).event
    assert isinstance(said, OrderCancelled)
    assert (said.was, said.reason) == (OrderStatus.PENDING, CancelReason.UNPAID)
    await counter.wait_for_stock(lamp, on_hand=10, reserved=0)


async def test_money_that_comes_after_the_deadline_goes_back(
    counter: OrderClient,
    lamp: Product,
    new_customer: Callable[[], Identity],
    ask: RpcCaller,
    database: Callable[[str], Awaitable[Any]],
    events: EventRecorder,
) -> None:
    """The gateway answers late; the order has ended by then."""
    who = new_customer()
    order = await counter.place(who, (lamp, 1), payment_method="sim_timeout")
    await (await database("order")).execute("UPDATE orders SET pay_by = now() WHERE id = $1", order.id)
    await counter.wait_for_status(order.id, OrderStatus.CANCELLED)

    async def nothing_kept() -> bool:
        found = await (await database("payment")).fetch("SELECT status FROM payment WHERE order_id = $1", order.id)
        return all(row["status"] in ("failed", "refunded") for row in found)

    await events.wait_for(order.id, "cancelled")
    await eventually(nothing_kept)
    assert (await ask(contract.GET, {"id": str(order.id)}, identity=who)).status is OrderStatus.CANCELLED
    await counter.wait_for_stock(lamp, on_hand=10, reserved=0)


async def test_a_deadline_is_before_the_end_of_the_hold(
    pending: Order, database: Callable[[str], Awaitable[Any]]
) -> None:
    hold_id = await hold_of(database, pending)
    pay_by = await (await database("order")).fetchval("SELECT pay_by FROM orders WHERE id = $1", pending.id)
    ends = await (await database("catalog")).fetchval("SELECT expires_at FROM hold WHERE id = $1", hold_id)
    assert (ends - pay_by).total_seconds() >= 590
