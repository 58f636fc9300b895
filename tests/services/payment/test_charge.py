"""Charges from the event and from asks, with every token of the simulator."""

import asyncio
from typing import Any

import pytest

from contracts import headers
from contracts import payment as contract
from contracts.card_numbers import contains_card_number
from contracts.failure import IdempotencyKeyReused, InvalidRequest, NotFound
from contracts.order import OrderStatus
from contracts.payment import AlreadyPaid, CardNumberRefused, NotPayable, Payment, PaymentMethodUnknown
from infra.foundation import trace
from infra.foundation.ids import new_id
from tests.services.payment.conftest import PaymentHarness
from tests.support.eventually import eventually

VISA = "4242 4242 4242 4242"


async def test_a_placed_order_is_charged_by_itself(till: PaymentHarness) -> None:
    placed = till.order("sim_ok", amount=2500)
    await placed.place()
    payment = await till.wait_for_payment(placed, "captured")
    assert payment.amount == placed.total
    assert payment.provider == "simulator"
    said = await till.events.wait_for(payment.id, "captured")
    assert said.event.order_id == placed.id
    assert await till.captured_at_gateway(placed) == 2500


async def test_an_order_that_is_paid_later_is_not_charged(till: PaymentHarness) -> None:
    placed = till.order("sim_ok")
    await placed.place(charge=False)
    await till.wait_until_consumed()
    assert await till.payments(placed) == []


async def test_the_trace_of_the_order_goes_through_the_payment(till: PaymentHarness) -> None:
    placed, begun = till.order(), trace.start(sampled=True)
    await placed.place(traceparent=begun.traceparent)
    payment = await till.wait_for_payment(placed, "captured")
    said = await till.events.wait_for(payment.id, "captured")
    assert begun.trace_id in said.headers[headers.TRACEPARENT]


@pytest.mark.parametrize(
    ("method", "code"),
    [
        ("sim_declined", "card_declined"),
        ("sim_insufficient_funds", "insufficient_funds"),
        ("sim_never_heard_of", "payment_method_unknown"),
        (None, "payment_method_missing"),
    ],
)
async def test_what_cannot_be_charged_fails_for_good(till: PaymentHarness, method: str | None, code: str) -> None:
    placed = till.order(method)
    await placed.place()
    payment = await till.wait_for_payment(placed, "failed")
    assert payment.failure_code == code
    said = await till.events.wait_for(payment.id, "failed")
    assert said.event.failure_code == code
    assert await till.captured_at_gateway(placed) == 0


@pytest.mark.parametrize("method", ["sim_timeout", "sim_error_once", "sim_lost_answer"])
async def test_a_gateway_that_does_not_tell_is_asked_again_under_the_same_key(
    till: PaymentHarness, method: str
) -> None:
    placed = till.order(method)
    await placed.place()
    payment = await till.wait_for_payment(placed, "captured")
    assert await till.captured_at_gateway(placed) == placed.amount
    assert await till.db.fetchval("SELECT calls FROM simulator.charge WHERE key = $1", payment.id) > 1
    await till.events.wait_for(payment.id, "captured")
    assert till.events.event_names(payment.id) == ["captured"]


async def test_a_second_step_is_asked_for_and_taken_once(till: PaymentHarness) -> None:
    placed = till.order("sim_action")
    await placed.place()
    payment = await till.wait_for_payment(placed, "requires_action")
    await till.events.wait_for(payment.id, "action_required")
    body = {"id": str(payment.id), "client_secret": payment.client_secret}
    confirmed: Payment = await till.ask(contract.CONFIRM, body, identity=placed.customer)
    again: Payment = await till.ask(contract.CONFIRM, body, identity=placed.customer)
    assert confirmed.status == again.status == "captured"
    assert confirmed.client_secret is None
    assert await till.captured_at_gateway(placed) == placed.amount
    await till.events.wait_for(payment.id, "captured")
    assert till.events.event_names(payment.id) == ["action_required", "captured"]


async def test_a_second_step_needs_the_secret_and_its_owner(till: PaymentHarness) -> None:
    placed = till.order("sim_action")
    await placed.place()
    payment = await till.wait_for_payment(placed, "requires_action")
    good = {"id": str(payment.id), "client_secret": payment.client_secret}
    for body, who in [
        ({**good, "client_secret": "guessed"}, placed.customer),
        (good, till.order().customer),
        ({**good, "id": str(new_id())}, placed.customer),
    ]:
        with pytest.raises(NotFound):
            await till.ask(contract.CONFIRM, body, identity=who)
    assert (await till.wait_for_payment(placed, "requires_action")).refunded.amount == 0


async def test_paying_an_order_usually_answers_captured(till: PaymentHarness) -> None:
    placed = till.order(None)
    payment = await till.pay(placed)
    assert payment.status == "captured"
    await till.events.wait_for(payment.id, "captured")


async def test_paying_in_vain_answers_failed_and_may_be_tried_again(till: PaymentHarness) -> None:
    placed = till.order(None)
    failed = await till.pay(placed, "sim_declined")
    assert (failed.status, failed.failure_code) == ("failed", "card_declined")
    assert (await till.pay(placed, "sim_ok")).status == "captured"
    assert [payment.status for payment in await till.payments(placed)] == ["captured", "failed"]


async def test_only_ones_own_pending_order_can_be_paid(till: PaymentHarness) -> None:
    placed = till.order(None)
    body = {"order_id": str(placed.id), "payment_method": "sim_ok"}
    for stranger in ({**body}, {**body, "order_id": str(new_id())}):
        with pytest.raises(NotFound):
            await till.ask(contract.CREATE, stranger, identity=till.order().customer)
    till.orders.set(placed, OrderStatus.CANCELLED)
    with pytest.raises(NotPayable):
        await till.pay(placed)
    till.orders.set(placed, OrderStatus.PAID)
    with pytest.raises(AlreadyPaid):
        await till.pay(placed)
    assert await till.payments(placed) == []


async def test_an_order_is_paid_once_however_many_ask(till: PaymentHarness, parallel: Any) -> None:
    placed = till.order("sim_ok")
    results = await parallel(placed.place(), *(till.pay(placed) for _ in range(10)))
    refused = [result for result in results if isinstance(result, AlreadyPaid)]
    paid = [result for result in results if isinstance(result, Payment)]
    assert len(paid) <= 1
    assert len(refused) + len(paid) == 10
    await till.wait_for_payment(placed, "captured")
    assert await till.captured_at_gateway(placed) == placed.amount


async def test_one_key_makes_one_payment_and_one_answer(till: PaymentHarness, parallel: Any) -> None:
    placed, key = till.order(None), new_id().hex
    results = await parallel(*(till.pay(placed, key=key) for _ in range(10)))
    assert {payment.status for payment in results} == {"captured"}
    assert len({payment.id for payment in results}) == 1
    assert await till.pay(placed, key=key) == results[0]
    with pytest.raises(IdempotencyKeyReused):
        await till.pay(placed, "sim_declined", key=key)


async def test_the_order_itself_asks_for_a_charge(till: PaymentHarness) -> None:
    placed = till.order(None)
    body = {
        "order_id": str(placed.id),
        "user_id": str(placed.customer.user_id),
        "amount": placed.total.model_dump(),
        "payment_method": "sim_ok",
    }
    payment = await till.as_order(contract.CHARGE, body, key="pay-" + placed.id.hex)
    assert payment.status == "processing"
    assert await till.as_order(contract.CHARGE, body, key="pay-" + placed.id.hex) == payment
    await till.wait_for_payment(placed, "captured")
    with pytest.raises(AlreadyPaid):
        await till.as_order(contract.CHARGE, body)


async def test_card_numbers_and_unknown_tokens_are_refused_and_leave_no_trace(till: PaymentHarness) -> None:
    placed = till.order(None)
    with pytest.raises(CardNumberRefused):
        await till.pay(placed, VISA)
    with pytest.raises(PaymentMethodUnknown):
        await till.pay(placed, "pm_of_another_gateway")
    with pytest.raises(InvalidRequest):
        await till.pay(placed, "")
    assert await till.payments(placed) == []
    log = till.stack.layout.logs / "payment-1.log"
    text = "".join(path.read_text() for path in [log, *till.stack.layout.logs.glob("payment*")] if path.exists())
    assert "answered" in text
    assert VISA not in text
    assert "sim_ok" not in text
    assert not contains_card_number(VISA[:-1] + "1")


async def test_the_means_of_payment_is_forgotten_when_it_is_settled(till: PaymentHarness) -> None:
    placed = till.order(None)
    payment = await till.pay(placed)
    assert await till.db.fetchval("SELECT count(*) FROM attempt WHERE payment_id = $1", payment.id) == 0


async def test_payments_under_way_survive_a_killed_process(till: PaymentHarness) -> None:
    orders = [till.order("sim_timeout") for _ in range(20)]
    await asyncio.gather(*(placed.place() for placed in orders))
    payments = [await till.wait_for_payment(placed, "processing") for placed in orders]
    till.stack.kill("payment")
    await till.stack.until_ready("payment")
    for placed, payment in zip(orders, payments, strict=True):
        await till.events.wait_for(payment.id, "captured")
        assert till.events.event_names(payment.id) == ["captured"]
        assert await till.captured_at_gateway(placed) == placed.amount


async def test_orders_of_one_moment_are_asked_for_together(till: PaymentHarness) -> None:
    before = len(till.orders.requested_ids)
    orders = [till.order("sim_ok") for _ in range(50)]
    await asyncio.gather(*(placed.place() for placed in orders))
    for placed in orders:
        await till.wait_for_payment(placed, "captured")
    assert sorted(till.orders.requested_ids[before:]) == sorted(placed.id for placed in orders)


async def test_what_is_overdue_is_voided_and_fails(till: PaymentHarness) -> None:
    placed = till.order("sim_timeout")
    payment_id = new_id()
    await till.db.execute("INSERT INTO bill (order_id, payment_id) VALUES ($1, $2)", placed.id, payment_id)
    await till.db.execute(
        """
        WITH late AS (
            INSERT INTO payment (id, order_id, amount, currency, provider, traceparent, request_id)
            VALUES ($1, $2, 100, 'USD', 'simulator', '', '') RETURNING id
        )
        INSERT INTO attempt (payment_id, step, tries, begun_at)
        SELECT id, 'charge', 5, now() - interval '1 day' FROM late
        """,
        payment_id,
        placed.id,
    )
    payment = await till.wait_for_payment(placed, "failed")
    assert payment.failure_code == "gateway_timeout"
    await eventually(lambda: till.events.event_names(payment_id) == ["failed"])
    assert await till.db.fetchval("SELECT state FROM simulator.charge WHERE key = $1", payment_id) == "voided"


async def test_an_attempt_that_two_have_taken_up_is_settled_once(till: PaymentHarness) -> None:
    placed = till.order("sim_declined")
    await placed.place()
    payment = await till.wait_for_payment(placed, "failed")
    await till.db.execute("INSERT INTO attempt (payment_id, step) VALUES ($1, 'charge')", payment.id)
    calls = "SELECT calls > 1 FROM simulator.charge WHERE key = $1"
    await eventually(lambda: till.db.fetchval(calls, payment.id))
    await till.captured()  # settled after it
    await till.db.execute("DELETE FROM attempt WHERE payment_id = $1", payment.id)
    await till.events.wait_for(payment.id, "failed")
    assert till.events.event_names(payment.id) == ["failed"]
