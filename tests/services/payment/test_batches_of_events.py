"""Events of orders that arrive in one batch are applied together, and each order ends as if they had come alone."""

from typing import Any

from contracts.order import CancelReason, OrderCancelled, OrderPlaced, OrderStatus
from infra.foundation import trace
from infra.foundation.ids import new_id
from infra.messaging.event_parser import ReceivedEvent
from services.payment.app import EVENT_HANDLERS
from services.payment.deps import PaymentDeps
from tests.services.payment.conftest import PaymentHarness, PlacedOrder


def placed_event(order: PlacedOrder) -> OrderPlaced:
    return OrderPlaced(**order._common_fields, cart_id=None, cart_version=None, charge=True, items=[])


def cancelled_event(order: PlacedOrder) -> OrderCancelled:
    fields = order._common_fields
    return OrderCancelled(**fields, payment_id=None, was=OrderStatus.PENDING, reason=CancelReason.CUSTOMER)


async def apply_together(deps: PaymentDeps, *events: Any) -> None:
    received = [ReceivedEvent(new_id(), event, trace.start()) for event in events]

    async def apply(tx: Any, one: ReceivedEvent) -> None:
        await EVENT_HANDLERS[type(one.event)](deps, tx, one.event)

    await deps.db.apply(received, apply)


async def test_every_order_of_a_batch_is_charged_once(harness: PaymentHarness, deps: PaymentDeps) -> None:
    orders = [harness.order(amount=100 + number) for number in range(4)]
    repeated = placed_event(orders[0])
    await apply_together(deps, *map(placed_event, orders), repeated)
    opened = await harness.db.fetch(
        "SELECT bill.xmin::text, payment.order_id, amount FROM bill JOIN payment ON payment.id = bill.payment_id"
        " WHERE payment.order_id = ANY($1::uuid[])",
        [order.id for order in orders],
    )
    assert {row["order_id"]: row["amount"] for row in opened} == {order.id: order.amount for order in orders}
    assert len({row["xmin"] for row in opened}) == 1
    for order in orders:
        payment = await harness.wait_for_payment(order, "captured")
        assert payment.amount == order.total
    assert [len(await harness.payments(order)) for order in orders] == [1] * 4


async def test_an_order_cancelled_in_its_own_batch_is_not_charged(harness: PaymentHarness, deps: PaymentDeps) -> None:
    early, late, charged = (harness.order() for _ in range(3))
    harness.orders.set(early, OrderStatus.CANCELLED)
    harness.orders.set(late, OrderStatus.CANCELLED)
    events = (placed_event(early), cancelled_event(early), cancelled_event(late), placed_event(late))
    await apply_together(deps, *events, placed_event(charged))
    await harness.wait_for_payment(charged, "captured")
    await harness.wait_for_payment(early, "failed")
    assert await harness.payments(late) == []
    assert await harness.captured_at_gateway(early) == 0
