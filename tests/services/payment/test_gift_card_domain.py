"""Gift cards without a store: what each pays, where a refund goes, and that every sum adds up."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.gift_cards import GiftCardInsufficient, GiftCardInvalid
from contracts.money import Money
from contracts.payment import NotRefundable
from infra.foundation.ids import new_id
from services.payment.domain import charges
from services.payment.domain.charges import ChargeOutcome, ChargeState
from services.payment.domain.gift_cards import (
    GiftCardRecord,
    RefundPart,
    SpentShare,
    code_digest,
    last_four,
    require_possible,
    share_due,
    split_refund,
)
from tests.services.payment.test_domain import make_attempt

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
AMOUNTS = st.integers(1, 5_000)


def make_card(balance: int = 1000, **changed: Any) -> GiftCardRecord:
    values = {"last4": "V8ZD", "currency": "USD", "initial": 10_000, "held": 0, "state": "active", "expires_at": None}
    return GiftCardRecord(id=new_id(), balance=balance, created_at=AT, **{**values, **changed})


def usd(amount: int) -> Money:
    return Money(amount=amount, currency="USD")


@given(st.lists(AMOUNTS, min_size=1, max_size=5), st.integers(0, 20_000))
def test_cards_pay_in_turn_what_is_still_due(balances: list[int], due: int) -> None:
    cards = [make_card(balance) for balance in balances]
    shares = share_due(cards, usd(due), AT)
    paid = sum(share.amount for share in shares)
    assert paid == min(due, sum(balances))
    assert [share.gift_card_id for share in shares] == [card.id for card in cards[: len(shares)]]
    for share, card in zip(shares[:-1], cards, strict=False):
        assert share.amount == card.available, "a card is emptied before the next one is used"
    assert all(0 < share.amount <= card.available for share, card in zip(shares, cards, strict=False))


def test_a_card_that_is_given_twice_counts_once() -> None:
    card = make_card(300)
    assert [share.amount for share in share_due([card, card], usd(1000), AT)] == [300]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"state": "disabled"}, "disabled"),
        ({"expires_at": AT}, "expired"),
        ({"currency": "EUR"}, "currency"),
    ],
    ids=["disabled", "expired", "currency"],
)
def test_a_card_that_cannot_be_used_is_refused_with_its_place(changed: dict[str, Any], reason: str) -> None:
    with pytest.raises(GiftCardInvalid) as refused:
        share_due([make_card(5), make_card(**changed)], usd(5), AT)
    assert (refused.value.reason, refused.value.errors[0].pointer) == (reason, "/gift_cards/1")


def test_a_card_with_nothing_available_is_insufficient_only_where_it_is_needed() -> None:
    empty = make_card(500, held=500)
    with pytest.raises(GiftCardInsufficient):
        share_due([empty], usd(1), AT)
    assert [share.amount for share in share_due([make_card(50), empty], usd(50), AT)] == [50]
    assert make_card(expires_at=AT + timedelta(seconds=1)).refusal(AT) is None


@given(st.integers(0, 5_000), st.lists(AMOUNTS, max_size=4), st.lists(AMOUNTS, min_size=1, max_size=6))
def test_any_refunds_add_up_and_go_to_the_gateway_first(gateway: int, shares: list[int], requested: list[int]) -> None:
    """In any steps: no source gets back more than it paid, and a card gets nothing while the gateway has some left."""
    cards = [make_card() for _ in shares]
    returned, gateway_left = dict.fromkeys((card.id for card in cards), 0), gateway
    for wanted in requested:
        spent = [SpentShare(card, share, returned[card.id]) for card, share in zip(cards, shares, strict=True)]
        left = gateway_left + sum(share.amount - share.refunded for share in spent)
        amount = min(wanted, left)
        if not amount:
            break
        parts = split_refund(amount, gateway_left, spent, AT)
        assert sum(part.amount for part in parts) == amount
        for part in parts:
            if part.card is None:
                gateway_left -= part.amount
            else:
                assert gateway_left == 0
                returned[part.card.id] += part.amount
    assert gateway_left >= 0
    assert all(returned[card.id] <= share for card, share in zip(cards, shares, strict=True))


def test_the_last_card_used_is_refunded_first_and_a_disabled_one_stays_owed() -> None:
    first, disabled = make_card(), make_card(state="disabled")
    spent = [SpentShare(first, 300, 0), SpentShare(disabled, 200, 0)]
    parts = split_refund(600, 250, spent, AT)
    assert parts == [RefundPart(250), RefundPart(200, disabled, disabled.refusal(AT)), RefundPart(150, first)]
    with pytest.raises(NotRefundable, match="Only 400 can be refunded"):
        require_possible(parts)
    require_possible(parts[:1])


def test_a_code_is_found_however_it_is_written() -> None:
    digest = code_digest("7K2M-9QXC-0T4B-V8ZD", "a secret")
    assert code_digest(" 7k2m 9qxc ot4b v8zd", "a secret") == digest
    assert code_digest("7K2M-9QXC-0T4B-V8ZD", "another secret") != digest
    assert last_four("7k2m-9qxc-0t4b-v8zd") == "V8ZD"


@pytest.mark.parametrize(
    ("changed", "outcome"),
    [
        ({}, None),
        ({"money": usd(0)}, ChargeOutcome(ChargeState.CAPTURED)),
        ({"money": usd(0), "cancelled": True}, ChargeOutcome(ChargeState.VOIDED, "order_cancelled")),
        ({"money": usd(0), "overdue": True}, ChargeOutcome(ChargeState.VOIDED)),
        ({"gift_cards_held": False}, ChargeOutcome(ChargeState.DECLINED, "gift_cards_released")),
    ],
    ids=["due", "nothing due", "nothing due, cancelled", "nothing due, overdue", "released"],
)
def test_a_gateway_is_asked_only_for_what_is_due(changed: dict[str, Any], outcome: ChargeOutcome | None) -> None:
    attempt = make_attempt(**changed)
    assert charges.outcome_without_gateway(attempt) == outcome
    assert charges.needs_method(attempt) is (outcome is None)
