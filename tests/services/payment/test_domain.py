"""The decisions by themselves: whatever happens in whatever order, what was taken and given back adds up."""

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
from services.payment.domain import payments as domain
from services.payment.domain.payments import ChargeAttempt, ChargeOutcome, ChargeState, ChargeStep, PaymentRecord


def payment(**changed: Any) -> PaymentRecord:
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


def attempt(**changed: Any) -> ChargeAttempt:
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
def test_a_gateway_that_may_have_heard_of_it_has_the_last_word(
    changed: dict[str, Any], step: ChargeStep | None
) -> None:
    assert domain.next_step(attempt(**changed)) is step


def test_only_a_charge_that_goes_on_needs_a_method() -> None:
    assert domain.needs_method(attempt())
    assert not domain.needs_method(attempt(method="sim_ok"))
    assert not domain.needs_method(attempt(cancelled=True))
    assert not domain.needs_method(attempt(step=ChargeStep.CONFIRM))


@given(st.integers(0, 10_000))
def test_delays_grow_to_a_limit(tries: int) -> None:
    assert 0 < domain.retry_delay_seconds(tries) <= domain.retry_delay_seconds(tries + 1) <= domain.MAX_DELAY_SECONDS


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
def test_each_outcome_is_said(outcome: ChargeOutcome, status: PaymentStatus, event: type, *, cancelled: bool) -> None:
    under_way = payment(cancelled=cancelled)
    settlement = domain.settle(under_way, outcome)
    if cancelled and outcome.state is ChargeState.ACTION_REQUIRED:
        assert settlement.follow_up is ChargeStep.VOID
        assert domain.settlement_event(under_way, settlement) is None
        return
    assert settlement.status is status
    assert isinstance(domain.settlement_event(under_way, settlement), event)
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
        domain.require_payable(status)
    else:
        with pytest.raises(refusal):
            domain.require_payable(status)


def test_a_card_number_is_refused_in_any_of_the_texts() -> None:
    domain.reject_card_number(None, "", "thanks")
    with pytest.raises(CardNumberRefused):
        domain.reject_card_number("thanks", "4242 4242 4242 4242")


def test_the_secret_is_told_only_while_it_is_needed() -> None:
    acting = payment(status=PaymentStatus.REQUIRES_ACTION, client_secret="s")
    assert acting.to_contract().client_secret == "s"
    assert replace(acting, status=PaymentStatus.CAPTURED).to_contract().client_secret is None


@pytest.mark.parametrize("status", sorted(set(PaymentStatus) - domain.REFUNDABLE - {PaymentStatus.REFUNDED}))
def test_only_what_was_captured_goes_back(status: PaymentStatus) -> None:
    with pytest.raises(NotRefundable):
        domain.refund_amount(payment(status=status), 1)


Moves = st.lists(st.tuples(st.sampled_from(["ask", "done", "refused", "cancel"]), st.none() | st.integers(1, 1500)))


@given(st.integers(1, 1000), Moves)
def test_no_sequence_of_refunds_gives_back_more_than_was_taken(
    amount: int, moves: list[tuple[str, int | None]]
) -> None:
    now, under_way, given_back = payment(amount=amount, status=PaymentStatus.CAPTURED), [], 0
    for move, asked in moves:
        if move == "ask":
            try:
                wanted = domain.refund_amount(now, asked)
            except RefundExceedsPayment:
                assert (asked or 1) > now.refundable
                continue
            under_way.append(wanted)
            now = replace(now, refunding=now.refunding + wanted)
        elif move == "cancel":
            wanted = domain.decide_reversal(now).refund
            assert wanted == (now.refundable if now.status in domain.REFUNDABLE else 0)
            if wanted:
                under_way.append(wanted)
                now = replace(now, refunding=now.refunding + wanted)
        elif under_way:
            part = under_way.pop()
            now = replace(now, refunding=now.refunding - part)
            if move == "done":
                given_back += part
                event = domain.refunded_event(now, new_id(), part)
                total, status = domain.total_refunded(now, part)
                now = replace(now, refunded=total, status=status)
                assert event.refunded.amount == given_back
                assert event.full == (status is PaymentStatus.REFUNDED) == (given_back == amount)
        assert now.refunded + now.refunding <= amount
        assert now.refunded == given_back


@given(st.permutations(["cancel", "cancel", "outcome", "outcome"]), st.sampled_from(list(ChargeState)))
def test_a_cancelled_order_ends_with_nothing_taken_in_any_order(order: list[str], state: ChargeState) -> None:
    now, refunds, said = payment(), 0, []
    for move in order:
        if move == "cancel":
            now = replace(now, cancelled=True)
            reversal = domain.decide_reversal(now)
            refunds, now = refunds + reversal.refund, replace(now, refunding=now.refunding + reversal.refund)
            if reversal.void:
                now = replace(now, status=PaymentStatus.PROCESSING)
        elif now.status is PaymentStatus.PROCESSING:
            now, refund, event = _settled(now, ChargeOutcome(state))
            refunds += refund
            said += [event] if event else []
    if now.status is PaymentStatus.PROCESSING:
        now, refund, event = _settled(now, ChargeOutcome(ChargeState.VOIDED))
        said += [event] if event else []
    assert now.status in (PaymentStatus.CAPTURED, PaymentStatus.FAILED)
    assert refunds == (now.amount if now.status is PaymentStatus.CAPTURED else 0)
    assert sum(isinstance(event, PaymentCaptured | PaymentFailed) for event in said) == 1


def _settled(now: PaymentRecord, outcome: ChargeOutcome) -> tuple[PaymentRecord, int, object]:
    settlement = domain.settle(now, outcome)
    event = domain.settlement_event(now, settlement)
    return replace(now, status=settlement.status, refunding=now.refunding + settlement.refund), settlement.refund, event
