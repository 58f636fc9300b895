"""Refunds by administrators: in parts, at the same moment, over what is left, and with a gateway that errs."""

from typing import Any

import pytest

from contracts import payment as contract
from contracts.failure import Forbidden, IdempotencyKeyReused, InvalidRequest, NotFound
from contracts.payment import CardNumberRefused, NotRefundable, Payment, RefundExceedsPayment
from infra.foundation.ids import new_id
from tests.services.payment.conftest import ADMIN, PaymentHarness
from tests.support.eventually import eventually


async def test_in_parts_and_then_all_that_is_left(till: PaymentHarness) -> None:
    placed, payment = await till.captured(amount=1000)
    part = await till.refund(payment, 400, reason="One of two was broken")
    assert (part.status, part.refunded.amount) == ("partially_refunded", 400)
    rest = await till.refund(payment)
    assert (rest.status, rest.refunded.amount) == ("refunded", 1000)
    assert await till.captured_at_gateway(placed) == 0
    await eventually(lambda: till.events.event_names(payment.id) == ["captured", "refunded", "refunded"])
    first, second = [heard.event for heard in till.events._recorded[str(payment.id)][1:]]
    assert (first.amount.amount, first.refunded.amount, first.full) == (400, 400, False)
    assert (second.amount.amount, second.refunded.amount, second.full) == (600, 1000, True)


async def test_never_over_what_is_left(till: PaymentHarness) -> None:
    placed, payment = await till.captured(amount=1000)
    with pytest.raises(RefundExceedsPayment):
        await till.refund(payment, 1001)
    await till.refund(payment, 999)
    with pytest.raises(RefundExceedsPayment):
        await till.refund(payment, 2)
    await till.refund(payment, 1)
    with pytest.raises(RefundExceedsPayment):
        await till.refund(payment, 1)
    assert await till.captured_at_gateway(placed) == 0


async def test_at_the_same_moment_no_more_than_was_paid(till: PaymentHarness, parallel: Any) -> None:
    placed, payment = await till.captured(amount=1000)
    results = await parallel(*(till.refund(payment, 300) for _ in range(10)))
    done = [result for result in results if isinstance(result, Payment)]
    refused = [result for result in results if isinstance(result, RefundExceedsPayment)]
    assert (len(done), len(refused)) == (3, 7)
    await till.wait_until_idle()
    assert await till.captured_at_gateway(placed) == 100
    assert (await till.wait_for_payment(placed, "partially_refunded")).refunded.amount == 900


async def test_one_key_gives_back_once_and_answers_alike(till: PaymentHarness, parallel: Any) -> None:
    placed, payment = await till.captured(amount=1000)
    key = new_id().hex
    results = await parallel(*(till.refund(payment, 300, key=key) for _ in range(8)))
    assert [result.refunded.amount for result in results] == [300] * 8
    assert await till.refund(payment, 300, key=key) == results[0]
    with pytest.raises(IdempotencyKeyReused):
        await till.refund(payment, 301, key=key)
    assert await till.captured_at_gateway(placed) == 700


async def test_a_gateway_that_errs_is_asked_again(till: PaymentHarness) -> None:
    placed, payment = await till.captured(method="sim_error_once", amount=800)
    await till.refund(payment, 800)
    await till.wait_for_payment(placed, "refunded")
    assert await till.captured_at_gateway(placed) == 0
    calls = "SELECT calls FROM simulator.refund WHERE charge_key = $1"
    assert await till.db.fetchval(calls, payment.id) == 2


async def test_a_refund_that_the_gateway_refuses_frees_the_money(till: PaymentHarness) -> None:
    placed, payment = await till.captured(amount=800)
    theirs = "INSERT INTO simulator.refund (key, charge_key, amount, state) VALUES ($1, $2, 500, 'refunded')"
    await till.db.execute(theirs, new_id(), payment.id)
    still = await till.refund(payment, 400)
    assert (still.status, still.refunded.amount) == ("captured", 0)
    assert (await till.refund(payment, 300)).refunded.amount == 300
    codes = "SELECT array_agg(coalesce(failure_code, '-') ORDER BY id) FROM refund WHERE payment_id = $1"
    assert await till.db.fetchval(codes, payment.id) == ["refund_refused", "-"]
    await till.db.execute("DELETE FROM simulator.refund WHERE charge_key = $1 AND amount = 500", payment.id)
    assert await till.captured_at_gateway(placed) == 500


async def test_only_captured_payments_of_ones_shop_by_administrators(till: PaymentHarness) -> None:
    placed = till.order("sim_declined")
    await placed.place()
    failed = await till.wait_for_payment(placed, "failed")
    with pytest.raises(NotRefundable):
        await till.refund(failed)
    with pytest.raises(NotFound):
        await till.refund(failed.model_copy(update={"id": new_id()}))
    with pytest.raises(Forbidden):
        await till.ask(contract.REFUND, {"id": str(failed.id)}, identity=placed.customer)


async def test_bad_refunds_are_refused_and_leave_nothing(till: PaymentHarness) -> None:
    _, payment = await till.captured(amount=1000)
    for amount in (0, -5, 10**13):
        with pytest.raises(InvalidRequest):
            await till.refund(payment, amount)
    with pytest.raises(CardNumberRefused):
        await till.refund(payment, 1, reason="back to card 4242-4242-4242-4242 please")
    with pytest.raises(InvalidRequest):
        await till.refund(payment, 1, reason="NUL \0 in it")
    assert await till.db.fetchval("SELECT count(*) FROM refund WHERE payment_id = $1", payment.id) == 0
    assert ADMIN.is_admin
