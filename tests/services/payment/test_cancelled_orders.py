"""Orders that come to nothing before, while and after their money is taken."""

from itertools import permutations
from typing import Any

import pytest

from contracts import payment as contract
from contracts.order import OrderStatus
from contracts.payment import NotPayable
from tests.services.payment.conftest import ADMIN, PaymentHarness
from tests.support.eventually import eventually


async def test_what_was_captured_goes_back(till: PaymentHarness) -> None:
    placed, payment = await till.captured()
    await placed.cancel(was=OrderStatus.PAID)
    refunded = await till.wait_for_payment(placed, "refunded")
    assert refunded.refunded == placed.total
    said = await till.events.wait_for(payment.id, "refunded")
    assert said.event.full
    assert await till.captured_at_gateway(placed) == 0


async def test_only_what_is_left_goes_back(till: PaymentHarness) -> None:
    placed, payment = await till.captured(amount=1000)
    await till.refund(payment, 300)
    await placed.cancel(was=OrderStatus.PAID)
    assert (await till.wait_for_payment(placed, "refunded")).refunded.amount == 1000
    assert await till.captured_at_gateway(placed) == 0
    refunds = "SELECT array_agg(amount ORDER BY id) FROM refund WHERE payment_id = $1"
    assert await till.db.fetchval(refunds, payment.id) == [300, 700]


async def test_a_cancellation_heard_first_leaves_nothing_to_charge(till: PaymentHarness) -> None:
    placed = till.order("sim_ok")
    await placed.cancel()
    await till.wait_until_consumed()
    await placed.place()
    await till.wait_until_consumed()
    assert await till.payments(placed) == []
    till.orders.set(placed, OrderStatus.PENDING)  # as a payment that asked the moment before would see it
    with pytest.raises(NotPayable):
        await till.pay(placed)
    assert await till.captured_at_gateway(placed) == 0


async def test_a_late_capture_of_a_cancelled_order_is_said_and_goes_back(till: PaymentHarness) -> None:
    placed = till.order("sim_timeout")
    await placed.place()
    payment = await till.wait_for_payment(placed, "processing")
    come = "UPDATE simulator.charge SET effective_at = now() WHERE key = $1 RETURNING true"
    await eventually(lambda: till.db.fetchval(come, payment.id))
    await placed.cancel()
    await till.wait_for_payment(placed, "refunded")
    assert await till.captured_at_gateway(placed) == 0
    await till.events.wait_for(payment.id, "refunded")
    assert till.events.event_names(payment.id) == ["captured", "refunded"]


async def test_a_payment_that_the_gateway_still_works_on_is_voided(till: PaymentHarness) -> None:
    placed = till.order("sim_timeout")
    await placed.place()
    payment = await till.wait_for_payment(placed, "processing")
    wait = "UPDATE simulator.charge SET effective_at = now() + interval '1 hour' WHERE key = $1 RETURNING true"
    await eventually(lambda: till.db.fetchval(wait, payment.id))
    await placed.cancel()
    failed = await till.wait_for_payment(placed, "failed")
    assert failed.failure_code == "order_cancelled"
    await till.events.wait_for(payment.id, "failed")
    assert await till.captured_at_gateway(placed) == 0


async def test_a_payment_that_waits_for_its_second_step_is_voided(till: PaymentHarness) -> None:
    placed = till.order("sim_action")
    await placed.place()
    payment = await till.wait_for_payment(placed, "requires_action")
    await placed.cancel()
    failed = await till.wait_for_payment(placed, "failed")
    assert failed.failure_code == "order_cancelled"
    body = {"id": str(payment.id), "client_secret": payment.client_secret}
    with pytest.raises(NotPayable):
        await till.ask(contract.CONFIRM, body, identity=placed.customer)
    assert await till.db.fetchval("SELECT state FROM simulator.charge WHERE key = $1", payment.id) == "voided"


async def test_an_order_that_is_gone_when_its_turn_comes_is_not_charged(till: PaymentHarness) -> None:
    placed = till.order("sim_ok")
    till.orders.set(placed, OrderStatus.CANCELLED, "sim_ok")
    await placed.place()
    assert (await till.wait_for_payment(placed, "failed")).failure_code == "order_cancelled"
    asked = "SELECT count(*) FROM simulator.charge JOIN payment ON payment.id = key WHERE order_id = $1"
    assert await till.db.fetchval(asked, placed.id) == 0
    assert await till.captured_at_gateway(placed) == 0


@pytest.mark.parametrize("order_of_events", sorted(set(permutations(["placed", "placed", "cancelled", "cancelled"]))))
@pytest.mark.parametrize("method", ["sim_ok", "sim_action"])
async def test_twice_and_in_any_order_nothing_stays_taken(
    till: PaymentHarness, order_of_events: tuple[str, ...], method: str, parallel: Any
) -> None:
    placed = till.order(method)
    events = {"placed": placed.place, "cancelled": placed.cancel}
    await parallel(*(events[name]() for name in order_of_events))
    await till.wait_until_consumed()
    await till.wait_until_idle()
    assert await till.captured_at_gateway(placed) == 0
    assert {payment.status for payment in await till.payments(placed)} <= {"failed", "refunded"}


async def test_a_cancellation_under_another_id_gives_back_once(till: PaymentHarness) -> None:
    placed, payment = await till.captured(amount=500)
    for _ in range(3):
        await placed.cancel(was=OrderStatus.PAID)
        placed.event_ids["cancelled"] = placed.event_ids["placed"].__class__(int=placed.event_ids["cancelled"].int ^ 1)
    await till.wait_for_payment(placed, "refunded")
    await till.wait_until_consumed()
    await till.wait_until_idle()
    count = "SELECT count(*), sum(amount)::bigint FROM refund WHERE payment_id = $1"
    assert tuple(await till.db.fetchrow(count, payment.id)) == (1, 500)
    assert (await till.ask(contract.GET, {"id": str(payment.id)}, identity=ADMIN)).refunded.amount == 500


async def test_a_cancelled_order_is_not_tried_again_after_a_failure(till: PaymentHarness) -> None:
    placed = till.order(None)
    assert (await till.pay(placed, "sim_declined")).status == "failed"
    await placed.cancel()
    await till.wait_until_consumed()
    till.orders.set(placed, OrderStatus.PENDING)
    with pytest.raises(NotPayable):
        await till.pay(placed)
    assert await till.captured_at_gateway(placed) == 0
