"""Refunds by administrators: partial, concurrent, beyond what is left, and with a failing gateway."""

from typing import Any

import pytest

from contracts import payment as contract
from contracts.failure import Forbidden, IdempotencyKeyReused, InvalidRequest, NotFound
from contracts.payment import CardNumberRefused, NotRefundable, Payment, RefundExceedsPayment
from infra.foundation.ids import new_id
from tests.services.payment.conftest import ADMIN, PaymentHarness
from tests.support.eventually import eventually


async def test_a_partial_refund_and_then_the_rest(harness: PaymentHarness) -> None:
    placed, payment = await harness.captured(amount=1000)
    part = await harness.refund(payment, 400, reason="One of two was broken")
    assert (part.status, part.refunded.amount) == ("partially_refunded", 400)
    rest = await harness.refund(payment)
    assert (rest.status, rest.refunded.amount) == ("refunded", 1000)
    assert await harness.captured_at_gateway(placed) == 0
    await eventually(lambda: harness.events.event_names(payment.id) == ["captured", "refunded", "refunded"])
    first, second = [recorded.event for recorded in harness.events._recorded[str(payment.id)][1:]]
    assert (first.amount.amount, first.refunded.amount, first.full) == (400, 400, False)
    assert (second.amount.amount, second.refunded.amount, second.full) == (600, 1000, True)


async def test_a_refund_never_exceeds_what_is_left(harness: PaymentHarness) -> None:
    placed, payment = await harness.captured(amount=1000)
    with pytest.raises(RefundExceedsPayment):
        await harness.refund(payment, 1001)
    await harness.refund(payment, 999)
    with pytest.raises(RefundExceedsPayment):
        await harness.refund(payment, 2)
    await harness.refund(payment, 1)
    with pytest.raises(RefundExceedsPayment):
        await harness.refund(payment, 1)
    assert await harness.captured_at_gateway(placed) == 0


async def test_concurrent_refunds_never_exceed_the_payment(harness: PaymentHarness, run_concurrently: Any) -> None:
    placed, payment = await harness.captured(amount=1000)
    results = await run_concurrently(*(harness.refund(payment, 300) for _ in range(10)))
    done = [result for result in results if isinstance(result, Payment)]
    refused = [result for result in results if isinstance(result, RefundExceedsPayment)]
    assert (len(done), len(refused)) == (3, 7)
    await harness.wait_until_idle()
    assert await harness.captured_at_gateway(placed) == 100
    assert (await harness.wait_for_payment(placed, "partially_refunded")).refunded.amount == 900


async def test_one_key_refunds_once_and_returns_the_same_reply(harness: PaymentHarness, run_concurrently: Any) -> None:
    placed, payment = await harness.captured(amount=1000)
    key = new_id().hex
    results = await run_concurrently(*(harness.refund(payment, 300, key=key) for _ in range(8)))
    assert [result.refunded.amount for result in results] == [300] * 8
    assert await harness.refund(payment, 300, key=key) == results[0]
    with pytest.raises(IdempotencyKeyReused):
        await harness.refund(payment, 301, key=key)
    assert await harness.captured_at_gateway(placed) == 700


async def test_a_failing_gateway_is_called_again(harness: PaymentHarness) -> None:
    placed, payment = await harness.captured(method="sim_error_once", amount=800)
    await harness.refund(payment, 800)
    await harness.wait_for_payment(placed, "refunded")
    assert await harness.captured_at_gateway(placed) == 0
    calls = "SELECT calls FROM simulator.refund WHERE charge_key = $1"
    assert await harness.db.fetchval(calls, payment.id) == 2


async def test_a_refund_refused_by_the_gateway_releases_the_reserved_amount(harness: PaymentHarness) -> None:
    placed, payment = await harness.captured(amount=800)
    insert_refund = "INSERT INTO simulator.refund (key, charge_key, amount, state) VALUES ($1, $2, 500, 'refunded')"
    await harness.db.execute(insert_refund, new_id(), payment.id)
    unchanged = await harness.refund(payment, 400)
    assert (unchanged.status, unchanged.refunded.amount) == ("captured", 0)
    assert (await harness.refund(payment, 300)).refunded.amount == 300
    codes = "SELECT array_agg(coalesce(failure_code, '-') ORDER BY id) FROM refund WHERE payment_id = $1"
    assert await harness.db.fetchval(codes, payment.id) == ["refund_refused", "-"]
    await harness.db.execute("DELETE FROM simulator.refund WHERE charge_key = $1 AND amount = 500", payment.id)
    assert await harness.captured_at_gateway(placed) == 500


async def test_only_administrators_can_refund_and_only_captured_payments(harness: PaymentHarness) -> None:
    placed = harness.order("sim_declined")
    await placed.place()
    failed = await harness.wait_for_payment(placed, "failed")
    with pytest.raises(NotRefundable):
        await harness.refund(failed)
    with pytest.raises(NotFound):
        await harness.refund(failed.model_copy(update={"id": new_id()}))
    with pytest.raises(Forbidden):
        await harness.rpc(contract.REFUND, {"id": str(failed.id)}, identity=placed.customer)


async def test_invalid_refunds_are_refused_and_not_stored(harness: PaymentHarness) -> None:
    _, payment = await harness.captured(amount=1000)
    for amount in (0, -5, 10**13):
        with pytest.raises(InvalidRequest):
            await harness.refund(payment, amount)
    with pytest.raises(CardNumberRefused):
        await harness.refund(payment, 1, reason="back to card 4242-4242-4242-4242 please")
    with pytest.raises(InvalidRequest):
        await harness.refund(payment, 1, reason="NUL \0 in it")
    assert await harness.db.fetchval("SELECT count(*) FROM refund WHERE payment_id = $1", payment.id) == 0
    assert ADMIN.is_admin
