"""Orders that are cancelled before, during and after the capture."""

from itertools import permutations
from typing import Any

import pytest

from contracts import payment as contract
from contracts.order import OrderStatus
from contracts.payment import NotPayable
from tests.services.payment.conftest import ADMIN, PaymentHarness
from tests.support.eventually import eventually


async def test_a_captured_payment_is_refunded(harness: PaymentHarness) -> None:
    placed, payment = await harness.captured()
    await placed.cancel(was=OrderStatus.PAID)
    refunded = await harness.wait_for_payment(placed, "refunded")
    assert refunded.refunded == placed.total
    recorded = await harness.events.wait_for(payment.id, "refunded")
    assert recorded.event.full
    assert await harness.captured_at_gateway(placed) == 0


async def test_only_the_rest_is_refunded(harness: PaymentHarness) -> None:
    placed, payment = await harness.captured(amount=1000)
    await harness.refund(payment, 300)
    await placed.cancel(was=OrderStatus.PAID)
    assert (await harness.wait_for_payment(placed, "refunded")).refunded.amount == 1000
    assert await harness.captured_at_gateway(placed) == 0
    refunds = "SELECT array_agg(amount ORDER BY id) FROM refund WHERE payment_id = $1"
    assert await harness.db.fetchval(refunds, payment.id) == [300, 700]


async def test_a_cancellation_that_arrives_first_prevents_the_charge(harness: PaymentHarness) -> None:
    placed = harness.order("sim_ok")
    await placed.cancel()
    await harness.wait_until_consumed()
    await placed.place()
    await harness.wait_until_consumed()
    assert await harness.payments(placed) == []
    harness.orders.set(placed, OrderStatus.PENDING)  # what a request just before the cancellation sees
    with pytest.raises(NotPayable):
        await harness.pay(placed)
    assert await harness.captured_at_gateway(placed) == 0


async def test_a_late_capture_of_a_cancelled_order_is_published_and_refunded(harness: PaymentHarness) -> None:
    placed = harness.order("sim_timeout")
    await placed.place()
    payment = await harness.wait_for_payment(placed, "processing")
    come = "UPDATE simulator.charge SET effective_at = now() WHERE key = $1 RETURNING true"
    await eventually(lambda: harness.db.fetchval(come, payment.id))
    await placed.cancel()
    await harness.wait_for_payment(placed, "refunded")
    assert await harness.captured_at_gateway(placed) == 0
    await harness.events.wait_for(payment.id, "refunded")
    assert harness.events.event_names(payment.id) == ["captured", "refunded"]


async def test_a_charge_the_gateway_is_still_processing_is_voided(harness: PaymentHarness) -> None:
    placed = harness.order("sim_timeout")
    await placed.place()
    payment = await harness.wait_for_payment(placed, "processing")
    wait = "UPDATE simulator.charge SET effective_at = now() + interval '1 hour' WHERE key = $1 RETURNING true"
    await eventually(lambda: harness.db.fetchval(wait, payment.id))
    await placed.cancel()
    failed = await harness.wait_for_payment(placed, "failed")
    assert failed.failure_code == "order_cancelled"
    await harness.events.wait_for(payment.id, "failed")
    assert await harness.captured_at_gateway(placed) == 0


async def test_a_payment_that_requires_action_is_voided(harness: PaymentHarness) -> None:
    placed = harness.order("sim_action")
    await placed.place()
    payment = await harness.wait_for_payment(placed, "requires_action")
    await placed.cancel()
    failed = await harness.wait_for_payment(placed, "failed")
    assert failed.failure_code == "order_cancelled"
    body = {"id": str(payment.id), "client_secret": payment.client_secret}
    with pytest.raises(NotPayable):
        await harness.rpc(contract.CONFIRM, body, identity=placed.customer)
    assert await harness.db.fetchval("SELECT state FROM simulator.charge WHERE key = $1", payment.id) == "voided"


async def test_an_order_cancelled_before_its_charge_is_not_charged(harness: PaymentHarness) -> None:
    placed = harness.order("sim_ok")
    harness.orders.set(placed, OrderStatus.CANCELLED, "sim_ok")
    await placed.place()
    assert (await harness.wait_for_payment(placed, "failed")).failure_code == "order_cancelled"
    charges = "SELECT count(*) FROM simulator.charge JOIN payment ON payment.id = key WHERE order_id = $1"
    assert await harness.db.fetchval(charges, placed.id) == 0
    assert await harness.captured_at_gateway(placed) == 0


@pytest.mark.parametrize("order_of_events", sorted(set(permutations(["placed", "placed", "cancelled", "cancelled"]))))
@pytest.mark.parametrize("method", ["sim_ok", "sim_action"])
async def test_no_money_is_kept_for_repeated_events_in_any_order(
    harness: PaymentHarness, order_of_events: tuple[str, ...], method: str, run_concurrently: Any
) -> None:
    placed = harness.order(method)
    events = {"placed": placed.place, "cancelled": placed.cancel}
    await run_concurrently(*(events[name]() for name in order_of_events))
    await harness.wait_until_consumed()
    await harness.wait_until_idle()
    assert await harness.captured_at_gateway(placed) == 0
    assert {payment.status for payment in await harness.payments(placed)} <= {"failed", "refunded"}


async def test_a_cancellation_with_another_event_id_refunds_once(harness: PaymentHarness) -> None:
    placed, payment = await harness.captured(amount=500)
    for _ in range(3):
        await placed.cancel(was=OrderStatus.PAID)
        placed.event_ids["cancelled"] = placed.event_ids["placed"].__class__(int=placed.event_ids["cancelled"].int ^ 1)
    await harness.wait_for_payment(placed, "refunded")
    await harness.wait_until_consumed()
    await harness.wait_until_idle()
    count = "SELECT count(*), sum(amount)::bigint FROM refund WHERE payment_id = $1"
    assert tuple(await harness.db.fetchrow(count, payment.id)) == (1, 500)
    assert (await harness.rpc(contract.GET, {"id": str(payment.id)}, identity=ADMIN)).refunded.amount == 500


async def test_a_cancelled_order_cannot_be_paid_after_a_failure(harness: PaymentHarness) -> None:
    placed = harness.order(None)
    assert (await harness.pay(placed, "sim_declined")).status == "failed"
    await placed.cancel()
    await harness.wait_until_consumed()
    harness.orders.set(placed, OrderStatus.PENDING)
    with pytest.raises(NotPayable):
        await harness.pay(placed)
    assert await harness.captured_at_gateway(placed) == 0
