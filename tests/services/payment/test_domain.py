"""Decisions about payments: in any order of events, captured and refunded amounts add up."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.money import Money
from contracts.order import OrderStatus
from contracts.payment import (
    AlreadyPaid,
    CardNumberRefused,
    NotPayable,
    NotRefundable,
    PaymentActionRequired,
    PaymentCaptured,
    PaymentFailed,
    PaymentStatus,
    RefundExceedsPayment,
)
from infra.foundation.ids import new_id
from services.payment.domain import charges, events, payments, refunds
from services.payment.domain.charges import ChargeAttempt, ChargeOutcome, ChargeState, ChargeStep
from services.payment.domain.payments import PaymentRecord


def make_payment(**changed: Any) -> PaymentRecord:
    fresh = PaymentRecord(
        id=new_id(),
        order_id=new_id(),
        user_id=new_id(),
        amount=1000,
        currency="USD",
        refunded=0,
        refunding=0,
        status=PaymentStatus.PROCESSING,
        provider="simulator",
        failure_code=None,
        client_secret=None,
        cancelled=False,
        traceparent="",
        request_id="",
        created_at=datetime.now(UTC),
    )
    return replace(fresh, **changed)


def make_attempt(**changed: Any) -> ChargeAttempt:
    fresh = ChargeAttempt(
        payment_id=new_id(),
        order_id=new_id(),
        money=Money(amount=1000, currency="USD"),
        provider="simulator",
        step=ChargeStep.CHARGE,
        method=None,
        tries=1,
        cancelled=False,
        overdue=False,
        traceparent="",
        request_id="",
    )
    return replace(fresh, **changed)


@pytest.mark.parametrize(
    ("changed", "step"),
    [
        ({}, ChargeStep.CHARGE),
        ({"tries": 7}, ChargeStep.CHARGE),
        ({"cancelled": True}, None),
        ({"overdue": True}, None),
        ({"cancelled": True, "tries": 2}, ChargeStep.VOID),
        ({"overdue": True, "tries": 2}, ChargeStep.VOID),
        ({"step": ChargeStep.CONFIRM}, ChargeStep.CONFIRM),
        ({"step": ChargeStep.CONFIRM, "cancelled": True}, ChargeStep.VOID),
        ({"step": ChargeStep.VOID}, ChargeStep.VOID),
        ({"step": ChargeStep.VOID, "overdue": True}, ChargeStep.VOID),
    ],
)
def test_a_charge_the_gateway_may_have_received_is_voided(changed: dict[str, Any], step: ChargeStep | None) -> None:
    assert charges.next_step(make_attempt(**changed)) is step


def test_only_a_requested_amount_charge_needs_a_method() -> None:
    assert charges.needs_method(make_attempt())
    assert not charges.needs_method(make_attempt(method="sim_ok"))
    assert not charges.needs_method(make_attempt(cancelled=True))
    assert not charges.needs_method(make_attempt(step=ChargeStep.CONFIRM))


@given(st.integers(0, 10_000))
def test_retry_delays_grow_to_a_maximum(tries: int) -> None:
    assert 0 < charges.retry_delay_seconds(tries) <= charges.retry_delay_seconds(tries + 1) <= charges.MAX_DELAY_SECONDS


@pytest.mark.parametrize(
    ("outcome", "status", "event"),
    [
        (ChargeOutcome(ChargeState.CAPTURED), PaymentStatus.CAPTURED, PaymentCaptured),
        (ChargeOutcome(ChargeState.DECLINED, "card_declined"), PaymentStatus.FAILED, PaymentFailed),
        (ChargeOutcome(ChargeState.VOIDED), PaymentStatus.FAILED, PaymentFailed),
        (
            ChargeOutcome(ChargeState.ACTION_REQUIRED, None, "secret"),
            PaymentStatus.REQUIRES_ACTION,
            PaymentActionRequired,
        ),
    ],
)
@pytest.mark.parametrize("cancelled", [True, False])
def test_every_outcome_has_its_event(
    outcome: ChargeOutcome, status: PaymentStatus, event: type, *, cancelled: bool
) -> None:
    processing = make_payment(cancelled=cancelled)
    settlement = payments.settle(processing, outcome)
    if cancelled and outcome.state is ChargeState.ACTION_REQUIRED:
        assert settlement.follow_up is ChargeStep.VOID
        assert events.settlement_event(processing, settlement) is None
        return
    assert settlement.status is status
    assert isinstance(events.settlement_event(processing, settlement), event)
    assert settlement.refund == (1000 if cancelled and status is PaymentStatus.CAPTURED else 0)


@pytest.mark.parametrize(
    ("status", "refusal"),
    [
        (OrderStatus.PENDING, None),
        (OrderStatus.PAID, AlreadyPaid),
        (OrderStatus.DELIVERED, AlreadyPaid),
        (OrderStatus.CANCELLED, NotPayable),
        (OrderStatus.REFUNDED, NotPayable),
    ],
)
def test_only_a_pending_order_is_payable(status: OrderStatus, refusal: type[Exception] | None) -> None:
    if refusal is None:
        payments.require_payable(status)
    else:
        with pytest.raises(refusal):
            payments.require_payable(status)


def test_a_card_number_is_refused_in_any_of_the_texts() -> None:
    payments.reject_card_number(None, "", "thanks")
    with pytest.raises(CardNumberRefused):
        payments.reject_card_number("thanks", "4242 4242 4242 4242")


def test_the_secret_is_returned_only_while_it_is_needed() -> None:
    acting = make_payment(status=PaymentStatus.REQUIRES_ACTION, client_secret="s")
    assert acting.to_contract().client_secret == "s"
    assert replace(acting, status=PaymentStatus.CAPTURED).to_contract().client_secret is None


@pytest.mark.parametrize("status", sorted(set(PaymentStatus) - refunds.REFUNDABLE - {PaymentStatus.REFUNDED}))
def test_only_a_captured_payment_is_refundable(status: PaymentStatus) -> None:
    with pytest.raises(NotRefundable):
        refunds.refund_amount(make_payment(status=status), 1)


Moves = st.lists(st.tuples(st.sampled_from(["request", "done", "refused", "cancel"]), st.none() | st.integers(1, 1500)))


@given(st.integers(1, 1000), Moves)
def test_no_sequence_of_refunds_exceeds_the_capture(amount: int, moves: list[tuple[str, int | None]]) -> None:
    now, pending_amounts, refunded_total = make_payment(amount=amount, status=PaymentStatus.CAPTURED), [], 0
    for move, requested in moves:
        if move == "request":
            try:
                requested_amount = refunds.refund_amount(now, requested)
            except RefundExceedsPayment:
                assert (requested or 1) > now.refundable
                continue
            pending_amounts.append(requested_amount)
            now = replace(now, refunding=now.refunding + requested_amount)
        elif move == "cancel":
            requested_amount = refunds.decide_reversal(now).refund
            assert requested_amount == (now.refundable if now.status in refunds.REFUNDABLE else 0)
            if requested_amount:
                pending_amounts.append(requested_amount)
                now = replace(now, refunding=now.refunding + requested_amount)
        elif pending_amounts:
            part = pending_amounts.pop()
            now = replace(now, refunding=now.refunding - part)
            if move == "done":
                refunded_total += part
                event = events.refunded_event(now, new_id(), part)
                total, status = refunds.total_refunded(now, part)
                now = replace(now, refunded=total, status=status)
                assert event.refunded.amount == refunded_total
                assert event.full == (status is PaymentStatus.REFUNDED) == (refunded_total == amount)
        assert now.refunded + now.refunding <= amount
        assert now.refunded == refunded_total


@given(st.permutations(["cancel", "cancel", "outcome", "outcome"]), st.sampled_from(list(ChargeState)))
def test_a_cancelled_order_keeps_no_money_in_any_order_of_events(order: list[str], state: ChargeState) -> None:
    now, refunded, published = make_payment(), 0, []
    for move in order:
        if move == "cancel":
            now = replace(now, cancelled=True)
            reversal = refunds.decide_reversal(now)
            refunded, now = refunded + reversal.refund, replace(now, refunding=now.refunding + reversal.refund)
            if reversal.void:
                now = replace(now, status=PaymentStatus.PROCESSING)
        elif now.status is PaymentStatus.PROCESSING:
            now, refund, event = _settle(now, ChargeOutcome(state))
            refunded += refund
            published += [event] if event else []
    if now.status is PaymentStatus.PROCESSING:
        now, refund, event = _settle(now, ChargeOutcome(ChargeState.VOIDED))
        published += [event] if event else []
    assert now.status in (PaymentStatus.CAPTURED, PaymentStatus.FAILED)
    assert refunded == (now.amount if now.status is PaymentStatus.CAPTURED else 0)
    assert sum(isinstance(event, PaymentCaptured | PaymentFailed) for event in published) == 1


def _settle(now: PaymentRecord, outcome: ChargeOutcome) -> tuple[PaymentRecord, int, object]:
    settlement = payments.settle(now, outcome)
    event = events.settlement_event(now, settlement)
    return replace(now, status=settlement.status, refunding=now.refunding + settlement.refund), settlement.refund, event
