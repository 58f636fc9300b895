"""Charges started by events and by requests, with every token of the simulator."""

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


async def test_a_placed_order_is_charged(harness: PaymentHarness) -> None:
    placed = harness.order("sim_ok", amount=2500)
    await placed.place()
    payment = await harness.wait_for_payment(placed, "captured")
    assert payment.amount == placed.total
    assert payment.provider == "simulator"
    recorded = await harness.events.wait_for(payment.id, "captured")
    assert recorded.event.order_id == placed.id
    assert await harness.captured_at_gateway(placed) == 2500


async def test_an_order_to_be_paid_later_is_not_charged(harness: PaymentHarness) -> None:
    placed = harness.order("sim_ok")
    await placed.place(charge=False)
    await harness.wait_until_consumed()
    assert await harness.payments(placed) == []


async def test_the_payment_continues_the_trace_of_the_order(harness: PaymentHarness) -> None:
    placed, started = harness.order(), trace.start(sampled=True)
    await placed.place(traceparent=started.traceparent)
    payment = await harness.wait_for_payment(placed, "captured")
    recorded = await harness.events.wait_for(payment.id, "captured")
    assert started.trace_id in recorded.headers[headers.TRACEPARENT]


@pytest.mark.parametrize(
    ("method", "code"),
    [
        ("sim_declined", "card_declined"),
        ("sim_insufficient_funds", "insufficient_funds"),
        ("sim_never_heard_of", "payment_method_unknown"),
        (None, "payment_method_missing"),
    ],
)
async def test_a_refused_charge_fails_for_good(harness: PaymentHarness, method: str | None, code: str) -> None:
    placed = harness.order(method)
    await placed.place()
    payment = await harness.wait_for_payment(placed, "failed")
    assert payment.failure_code == code
    recorded = await harness.events.wait_for(payment.id, "failed")
    assert recorded.event.failure_code == code
    assert await harness.captured_at_gateway(placed) == 0


@pytest.mark.parametrize("method", ["sim_timeout", "sim_error_once", "sim_lost_answer"])
async def test_an_unknown_outcome_is_requested_again_under_the_same_key(harness: PaymentHarness, method: str) -> None:
    placed = harness.order(method)
    await placed.place()
    payment = await harness.wait_for_payment(placed, "captured")
    assert await harness.captured_at_gateway(placed) == placed.amount
    assert await harness.db.fetchval("SELECT calls FROM simulator.charge WHERE key = $1", payment.id) > 1
    await harness.events.wait_for(payment.id, "captured")
    assert harness.events.event_names(payment.id) == ["captured"]


async def test_a_required_second_step_is_done_once(harness: PaymentHarness) -> None:
    placed = harness.order("sim_action")
    await placed.place()
    payment = await harness.wait_for_payment(placed, "requires_action")
    await harness.events.wait_for(payment.id, "action_required")
    body = {"id": str(payment.id), "client_secret": payment.client_secret}
    confirmed: Payment = await harness.rpc(contract.CONFIRM, body, identity=placed.customer)
    again: Payment = await harness.rpc(contract.CONFIRM, body, identity=placed.customer)
    assert confirmed.status == again.status == "captured"
    assert confirmed.client_secret is None
    assert await harness.captured_at_gateway(placed) == placed.amount
    await harness.events.wait_for(payment.id, "captured")
    assert harness.events.event_names(payment.id) == ["action_required", "captured"]


async def test_a_second_step_needs_the_secret_and_the_owner(harness: PaymentHarness) -> None:
    placed = harness.order("sim_action")
    await placed.place()
    payment = await harness.wait_for_payment(placed, "requires_action")
    good = {"id": str(payment.id), "client_secret": payment.client_secret}
    for body, who in [
        ({**good, "client_secret": "guessed"}, placed.customer),
        (good, harness.order().customer),
        ({**good, "id": str(new_id())}, placed.customer),
    ]:
        with pytest.raises(NotFound):
            await harness.rpc(contract.CONFIRM, body, identity=who)
    assert (await harness.wait_for_payment(placed, "requires_action")).refunded.amount == 0


async def test_paying_an_order_usually_returns_captured(harness: PaymentHarness) -> None:
    placed = harness.order(None)
    payment = await harness.pay(placed)
    assert payment.status == "captured"
    await harness.events.wait_for(payment.id, "captured")


async def test_a_declined_payment_returns_failed_and_can_be_tried_again(harness: PaymentHarness) -> None:
    placed = harness.order(None)
    failed = await harness.pay(placed, "sim_declined")
    assert (failed.status, failed.failure_code) == ("failed", "card_declined")
    assert (await harness.pay(placed, "sim_ok")).status == "captured"
    assert [payment.status for payment in await harness.payments(placed)] == ["captured", "failed"]


async def test_only_an_own_pending_order_can_be_paid(harness: PaymentHarness) -> None:
    placed = harness.order(None)
    body = {"order_id": str(placed.id), "payment_method": "sim_ok"}
    for stranger in ({**body}, {**body, "order_id": str(new_id())}):
        with pytest.raises(NotFound):
            await harness.rpc(contract.CREATE, stranger, identity=harness.order().customer)
    harness.orders.set(placed, OrderStatus.CANCELLED)
    with pytest.raises(NotPayable):
        await harness.pay(placed)
    harness.orders.set(placed, OrderStatus.PAID)
    with pytest.raises(AlreadyPaid):
        await harness.pay(placed)
    assert await harness.payments(placed) == []


async def test_concurrent_payments_pay_an_order_once(harness: PaymentHarness, run_concurrently: Any) -> None:
    placed = harness.order("sim_ok")
    results = await run_concurrently(placed.place(), *(harness.pay(placed) for _ in range(10)))
    refused = [result for result in results if isinstance(result, AlreadyPaid)]
    paid = [result for result in results if isinstance(result, Payment)]
    assert len(paid) <= 1
    assert len(refused) + len(paid) == 10
    await harness.wait_for_payment(placed, "captured")
    assert await harness.captured_at_gateway(placed) == placed.amount


async def test_one_key_makes_one_payment_and_one_reply(harness: PaymentHarness, run_concurrently: Any) -> None:
    placed, key = harness.order(None), new_id().hex
    results = await run_concurrently(*(harness.pay(placed, key=key) for _ in range(10)))
    assert {payment.status for payment in results} == {"captured"}
    assert len({payment.id for payment in results}) == 1
    assert await harness.pay(placed, key=key) == results[0]
    with pytest.raises(IdempotencyKeyReused):
        await harness.pay(placed, "sim_declined", key=key)


async def test_the_order_service_requests_a_charge(harness: PaymentHarness) -> None:
    placed = harness.order(None)
    body = {
        "order_id": str(placed.id),
        "user_id": str(placed.customer.user_id),
        "amount": placed.total.model_dump(),
        "payment_method": "sim_ok",
    }
    payment = await harness.as_order(contract.CHARGE, body, key="pay-" + placed.id.hex)
    assert payment.status == "processing"
    assert await harness.as_order(contract.CHARGE, body, key="pay-" + placed.id.hex) == payment
    await harness.wait_for_payment(placed, "captured")
    with pytest.raises(AlreadyPaid):
        await harness.as_order(contract.CHARGE, body)


async def test_card_numbers_and_unknown_tokens_are_refused_and_not_stored(harness: PaymentHarness) -> None:
    placed = harness.order(None)
    with pytest.raises(CardNumberRefused):
        await harness.pay(placed, VISA)
    with pytest.raises(PaymentMethodUnknown):
        await harness.pay(placed, "pm_of_another_gateway")
    with pytest.raises(InvalidRequest):
        await harness.pay(placed, "")
    assert await harness.payments(placed) == []
    text = "".join(path.read_text() for path in harness.stack.data_dir.logs_dir.glob("payment*"))
    assert "request handled" in text
    assert VISA not in text
    assert "sim_ok" not in text
    assert not contains_card_number(VISA[:-1] + "1")


async def test_the_payment_method_is_deleted_when_the_payment_is_settled(harness: PaymentHarness) -> None:
    placed = harness.order(None)
    payment = await harness.pay(placed)
    assert await harness.db.fetchval("SELECT count(*) FROM attempt WHERE payment_id = $1", payment.id) == 0


async def test_processing_payments_survive_a_killed_process(harness: PaymentHarness) -> None:
    orders = [harness.order("sim_timeout") for _ in range(20)]
    await asyncio.gather(*(placed.place() for placed in orders))
    payments = [await harness.wait_for_payment(placed, "processing") for placed in orders]
    harness.stack.kill("payment")
    await harness.stack.wait_until_ready("payment")
    for placed, payment in zip(orders, payments, strict=True):
        await harness.events.wait_for(payment.id, "captured")
        assert harness.events.event_names(payment.id) == ["captured"]
        assert await harness.captured_at_gateway(placed) == placed.amount


async def test_each_payment_method_is_requested_once(harness: PaymentHarness) -> None:
    before = len(harness.orders.requested_ids)
    orders = [harness.order("sim_ok") for _ in range(50)]
    await asyncio.gather(*(placed.place() for placed in orders))
    for placed in orders:
        await harness.wait_for_payment(placed, "captured")
    assert sorted(harness.orders.requested_ids[before:]) == sorted(placed.id for placed in orders)


async def test_an_overdue_charge_is_voided_and_fails(harness: PaymentHarness) -> None:
    placed = harness.order("sim_timeout")
    payment_id = new_id()
    await harness.db.execute("INSERT INTO bill (order_id, payment_id) VALUES ($1, $2)", placed.id, payment_id)
    await harness.db.execute(
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
    payment = await harness.wait_for_payment(placed, "failed")
    assert payment.failure_code == "gateway_timeout"
    await eventually(lambda: harness.events.event_names(payment_id) == ["failed"])
    assert await harness.db.fetchval("SELECT state FROM simulator.charge WHERE key = $1", payment_id) == "voided"


async def test_an_attempt_claimed_twice_is_settled_once(harness: PaymentHarness) -> None:
    placed = harness.order("sim_declined")
    await placed.place()
    payment = await harness.wait_for_payment(placed, "failed")
    await harness.db.execute("INSERT INTO attempt (payment_id, step) VALUES ($1, 'charge')", payment.id)
    calls = "SELECT calls > 1 FROM simulator.charge WHERE key = $1"
    await eventually(lambda: harness.db.fetchval(calls, payment.id))
    await harness.captured()  # settled after it
    await harness.db.execute("DELETE FROM attempt WHERE payment_id = $1", payment.id)
    await harness.events.wait_for(payment.id, "failed")
    assert harness.events.event_names(payment.id) == ["failed"]
