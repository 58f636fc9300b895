"""Gift cards: issued, held by orders, spent by payments, released, and filled again by refunds."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from contracts import gift_cards as contract
from contracts import payment as payment_contract
from contracts.failure import Forbidden, InvalidRequest, NotFound
from contracts.gift_cards import (
    GiftCard,
    GiftCardHold,
    GiftCardInsufficient,
    GiftCardInvalid,
    GiftCardPart,
    TooManyGiftCardAttempts,
)
from contracts.order import OrderStatus
from contracts.payment import NotRefundable
from infra.foundation.ids import new_id
from services.payment.deps import PaymentDeps
from services.payment.domain.gift_card_guesses import GiftCardGuessLimit
from services.payment.domain.gift_cards import code_digest
from services.payment.handlers import gift_cards as handlers
from services.payment.workers.expired_gift_card_holds import release_expired
from tests.services.payment.conftest import ADMIN, PaymentHarness, PlacedOrder
from tests.support.eventually import eventually


async def issue(harness: PaymentHarness, amount: int = 1000, *, currency: str = "USD", **more: Any) -> GiftCard:
    body = {"amount": {"amount": amount, "currency": currency}, **more}
    issued: GiftCard = await harness.rpc(contract.ISSUE_GIFT_CARD, body, identity=ADMIN)
    return issued


async def disable(harness: PaymentHarness, card: GiftCard) -> GiftCard:
    disabled: GiftCard = await harness.rpc(contract.DISABLE_GIFT_CARD, {"id": str(card.id)}, identity=ADMIN)
    return disabled


async def left(harness: PaymentHarness, card: GiftCard) -> tuple[int, int]:
    """The balance of the card, and what is held of it."""
    found = await harness.rpc(contract.GET_GIFT_CARD, {"id": str(card.id)}, identity=ADMIN)
    return found.balance.amount, found.held.amount


async def hold(
    harness: PaymentHarness, due: int, *cards: GiftCard, hold_id: UUID | None = None, seconds: int = 600
) -> GiftCardHold:
    body = {
        "hold_id": str(hold_id or new_id()),
        "codes": [card.code for card in cards],
        "due": {"amount": due, "currency": "USD"},
        "seconds": seconds,
        "client_ip": "192.0.2.1",
    }
    held: GiftCardHold = await harness.as_order(contract.HOLD_GIFT_CARDS, body)
    return held


async def order_with(
    harness: PaymentHarness, *cards: GiftCard, amount: int = 1999, method: str | None = "sim_ok"
) -> PlacedOrder:
    """An order of which the cards pay what they can. Its event is not published yet."""
    placed = harness.order(method, amount=amount)
    held = await hold(harness, amount, *cards)
    with_cards = replace(placed, gift_cards=GiftCardPart(hold_id=held.hold_id, amount=held.amount))
    harness.orders.set(with_cards, OrderStatus.PENDING, method)
    return with_cards


async def assert_the_books_agree(harness: PaymentHarness, *cards: GiftCard) -> None:
    assert await harness.db.fetch("SELECT * FROM ledger_balance WHERE balance <> 0") == []
    assert await harness.db.fetch("SELECT * FROM ledger_disagreement") == []
    disagreeing = "SELECT * FROM gift_card_disagreement WHERE gift_card_id = ANY($1)"
    assert await harness.db.fetch(disagreeing, [card.id for card in cards]) == []


async def entries(harness: PaymentHarness, transaction_id: UUID) -> list[tuple[Any, ...]]:
    rows = await harness.db.fetch(
        "SELECT account, line, amount, cause FROM ledger_entry WHERE transaction_id = $1 ORDER BY account, line",
        transaction_id,
    )
    return [tuple(row) for row in rows]


async def test_a_card_is_issued_once_and_its_code_is_stored_nowhere(harness: PaymentHarness) -> None:
    key, body = new_id().hex, {"amount": {"amount": 2500, "currency": "USD"}}
    card = await harness.rpc(contract.ISSUE_GIFT_CARD, body, identity=ADMIN, key=key)
    assert await harness.rpc(contract.ISSUE_GIFT_CARD, body, identity=ADMIN, key=key) == card
    assert len(card.code.replace("-", "")) == 16
    assert card.code.endswith(card.last4)
    shown = await harness.rpc(contract.FIND_GIFT_CARD, {"code": f" {card.code.lower()} "})
    assert shown == card.model_copy(update={"code": None})
    listed = await harness.rpc(contract.LIST_GIFT_CARDS, {"limit": 1}, identity=ADMIN)
    assert listed.items == [shown]
    assert await entries(harness, card.id) == [
        ("gift_card_funding", 0, 2500, "gift_card_issue"),
        ("gift_card_liability", 0, -2500, "gift_card_issue"),
    ]
    for table in ("gift_card", "idempotency", "trail", "outbox"):
        rows = await harness.db.fetch(f"SELECT t::text FROM {table} AS t")  # noqa: S608 - the names above
        assert not [row for row in rows if card.code in row[0] or card.code.replace("-", "") in row[0]], table
    with pytest.raises(Forbidden):
        await harness.rpc(contract.ISSUE_GIFT_CARD, body, identity=harness.order().customer)
    with pytest.raises(InvalidRequest):
        await issue(harness, expires_at="2020-01-01")


async def test_cards_pay_a_part_and_a_refund_goes_to_the_gateway_first(harness: PaymentHarness) -> None:
    cards = [await issue(harness, 300), await issue(harness, 500)]
    placed = await order_with(harness, *cards, amount=2000)
    assert [await left(harness, card) for card in cards] == [(300, 300), (500, 500)]
    await placed.place()
    payment = await harness.wait_for_payment(placed, "captured")
    assert (payment.amount.amount, payment.gift_card_amount.amount) == (2000, 800)
    assert await harness.captured_at_gateway(placed) == 1200
    assert [await left(harness, card) for card in cards] == [(0, 0), (0, 0)]
    assert await entries(harness, payment.id) == [
        ("gateway_receivable", 0, 1200, "capture"),
        ("gift_card_liability", 1, 300, "capture"),
        ("gift_card_liability", 2, 500, "capture"),
        ("sales", 0, -2000, "capture"),
    ]
    await harness.refund(payment, 1000)
    assert [await left(harness, card) for card in cards] == [(0, 0), (0, 0)]
    part = await harness.refund(payment, 600)
    await harness.wait_until_idle()
    assert (part.status, [await left(harness, card) for card in cards]) == ("partially_refunded", [(0, 0), (400, 0)])
    await placed.cancel(was=OrderStatus.PAID)
    await harness.wait_for_payment(placed, "refunded")
    assert [await left(harness, card) for card in cards] == [(300, 0), (500, 0)]
    assert await harness.captured_at_gateway(placed) == 0
    recorded = await harness.events.wait_for(payment.id, "refunded")
    assert recorded
    await eventually(lambda: harness.events.event_names(payment.id) == ["captured", *["refunded"] * 5])
    refunded = [one.event for one in harness.events._recorded[str(payment.id)][1:]]
    assert sum(one.amount.amount for one in refunded) == refunded[-1].refunded.amount == 2000
    assert [one.full for one in refunded] == [False] * 4 + [True]
    await assert_the_books_agree(harness, *cards)


async def test_a_card_that_pays_all_needs_no_gateway(harness: PaymentHarness) -> None:
    card = await issue(harness, 2500)
    placed = await order_with(harness, card, amount=2000, method=None)
    await placed.place()
    payment = await harness.wait_for_payment(placed, "captured")
    assert (payment.provider, payment.gift_card_amount, await left(harness, card)) == ("none", placed.total, (500, 0))
    assert await harness.db.fetchval("SELECT count(*) FROM simulator.charge WHERE key = $1", payment.id) == 0
    refunded = await harness.refund(payment)
    assert (refunded.status, await left(harness, card)) == ("refunded", (2500, 0))
    assert await harness.events.wait_for(payment.id, "refunded")
    await assert_the_books_agree(harness, card)


async def test_nothing_to_pay_is_a_captured_payment_of_nothing(harness: PaymentHarness) -> None:
    placed = harness.order(None, amount=0)
    await placed.place()
    payment = await harness.wait_for_payment(placed, "captured")
    assert (payment.provider, payment.amount.amount) == ("none", 0)
    assert await harness.captured_at_gateway(placed) == 0


@pytest.mark.parametrize("asked_by", ["customer", "order"])
async def test_an_order_that_is_paid_later_keeps_its_part(harness: PaymentHarness, asked_by: str) -> None:
    card = await issue(harness, 500)
    placed = await order_with(harness, card, amount=2000, method=None)
    await placed.place(charge=False)
    if asked_by == "customer":
        await harness.pay(placed)
    else:
        assert placed.gift_cards is not None
        body = {
            "order_id": str(placed.id),
            "user_id": str(placed.customer.user_id),
            "amount": placed.total.model_dump(),
            "payment_method": "sim_ok",
            "gift_cards": placed.gift_cards.model_dump(mode="json"),
        }
        await harness.as_order(payment_contract.CHARGE, body)
    await harness.wait_for_payment(placed, "captured")
    assert (await harness.captured_at_gateway(placed), await left(harness, card)) == (1500, (0, 0))


async def test_a_declined_payment_leaves_the_hold_to_the_order_until_it_is_cancelled(harness: PaymentHarness) -> None:
    card = await issue(harness, 500)
    placed = await order_with(harness, card, method="sim_declined")
    await placed.place()
    await harness.wait_for_payment(placed, "failed")
    assert await left(harness, card) == (500, 500)
    await harness.pay(placed)
    await placed.cancel()
    await eventually(lambda: _is(harness, card, (500, 0)))
    await harness.wait_until_idle()
    assert await harness.captured_at_gateway(placed) == 0
    await assert_the_books_agree(harness, card)


async def _is(harness: PaymentHarness, card: GiftCard, expected: tuple[int, int]) -> bool:
    return await left(harness, card) == expected


@pytest.mark.parametrize("method", ["sim_action", "sim_timeout"])
async def test_a_cancelled_order_releases_its_cards_once_its_payment_has_ended(
    harness: PaymentHarness, method: str
) -> None:
    card = await issue(harness, 500)
    placed = await order_with(harness, card, method=method)
    await placed.place()
    await harness.wait_for_payment(placed, "requires_action" if method == "sim_action" else "processing")
    await placed.cancel()
    await eventually(lambda: _is(harness, card, (500, 0)))
    await harness.wait_until_idle()
    assert await harness.captured_at_gateway(placed) == 0
    await assert_the_books_agree(harness, card)


async def test_an_order_that_was_never_paid_gives_its_cards_back(harness: PaymentHarness) -> None:
    card = await issue(harness, 500)
    placed = await order_with(harness, card, method=None)
    await placed.cancel()
    await eventually(lambda: _is(harness, card, (500, 0)))


async def test_parallel_orders_never_overdraw_a_card(harness: PaymentHarness, run_concurrently: Any) -> None:
    cards = [await issue(harness, 1000), await issue(harness, 1000)]
    found = await run_concurrently(
        *(hold(harness, 300, *(cards if number % 2 else reversed(cards))) for number in range(20))
    )
    held = [one.amount.amount for one in found if isinstance(one, GiftCardHold)]
    refused = [one for one in found if isinstance(one, GiftCardInsufficient)]
    assert len(held) + len(refused) == 20
    taken = [(await left(harness, card))[1] for card in cards]
    assert sum(taken) == sum(held)
    assert all(1000 - 300 < units <= 1000 for units in taken), "an order is refused only once a card is used up"
    await assert_the_books_agree(harness, *cards)


async def test_a_repeated_hold_has_one_effect(harness: PaymentHarness, run_concurrently: Any) -> None:
    """A process that dies after the hold leaves one that the next try finds, or that expires by itself."""
    card, hold_id = await issue(harness, 500), new_id()
    found = await run_concurrently(*(hold(harness, 300, card, hold_id=hold_id) for _ in range(5)))
    assert [one.amount.amount for one in found] == [300] * 5
    assert found[0].last4 == [card.last4]
    assert await left(harness, card) == (500, 300)
    await harness.as_order(contract.RELEASE_GIFT_CARDS, {"hold_id": str(hold_id)})
    await harness.as_order(contract.RELEASE_GIFT_CARDS, {"hold_id": str(hold_id)})
    assert await left(harness, card) == (500, 0)
    assert (await hold(harness, 200, card, hold_id=hold_id)).amount.amount == 200
    assert await left(harness, card) == (500, 200)


async def test_a_hold_expires_unless_a_payment_will_spend_it(harness: PaymentHarness, deps: PaymentDeps) -> None:
    forgotten, needed = await issue(harness, 500), await issue(harness, 500)
    await hold(harness, 300, forgotten)
    placed = await order_with(harness, needed, method="sim_action")
    await placed.place()
    payment = await harness.wait_for_payment(placed, "requires_action")
    cards = [forgotten.id, needed.id]
    await harness.db.execute("UPDATE gift_card_hold SET expires_at = now() WHERE gift_card_id = ANY($1)", cards)
    while await release_expired(deps):
        pass
    assert (await left(harness, forgotten), await left(harness, needed)) == ((500, 0), (500, 500))
    body = {"id": str(payment.id), "client_secret": payment.client_secret}
    await harness.rpc(payment_contract.CONFIRM, body, identity=placed.customer)
    await harness.wait_for_payment(placed, "captured")
    assert (await left(harness, needed), await harness.captured_at_gateway(placed)) == ((0, 0), 1499)


async def test_a_payment_whose_cards_were_released_charges_nothing(harness: PaymentHarness) -> None:
    card = await issue(harness, 500)
    placed = await order_with(harness, card)
    assert placed.gift_cards is not None
    await harness.as_order(contract.RELEASE_GIFT_CARDS, {"hold_id": str(placed.gift_cards.hold_id)})
    await placed.place()
    failed = await harness.wait_for_payment(placed, "failed")
    assert (failed.failure_code, await left(harness, card)) == ("gift_cards_released", (500, 0))
    assert await harness.db.fetchval("SELECT count(*) FROM simulator.charge WHERE key = $1", failed.id) == 0


async def test_a_disabled_card_pays_no_order_and_takes_no_money_back(harness: PaymentHarness) -> None:
    card = await issue(harness, 500)
    placed = await order_with(harness, card, amount=2000)
    assert (await disable(harness, card)).state == "disabled"
    with pytest.raises(GiftCardInvalid) as refused:
        await hold(harness, 100, card)
    assert refused.value.reason == "disabled"
    await placed.place()
    payment = await harness.wait_for_payment(placed, "captured")
    assert await left(harness, card) == (0, 0), "an order that was placed before keeps its part"
    with pytest.raises(NotRefundable, match="Only 1500 can be refunded"):
        await harness.refund(payment)
    assert (await harness.refund(payment, 1500)).refunded.amount == 1500
    await placed.cancel(was=OrderStatus.PAID)
    owed = "SELECT owed::int, failure_code FROM money_owed WHERE payment_id = $1"
    row = await eventually(lambda: harness.db.fetchrow(owed, payment.id))
    assert (tuple(row), await left(harness, card)) == ((500, "gift_card_disabled"), (0, 0))
    await assert_the_books_agree(harness, card)


async def test_codes_that_pay_nothing_are_refused_with_the_reason(harness: PaymentHarness) -> None:
    good, euro, empty = await issue(harness), await issue(harness, currency="EUR"), await issue(harness, 5)
    await hold(harness, 5, empty)
    unknown = good.model_copy(update={"code": "0000-0000-0000-0000"})
    for cards, reason, pointer in (
        ((good, unknown), "unknown", "/gift_cards/1"),
        ((euro,), "currency", "/gift_cards/0"),
        ((empty, good), None, "/gift_cards/0"),
    ):
        with pytest.raises((GiftCardInvalid, GiftCardInsufficient)) as refused:
            await hold(harness, 100, *cards)
        assert (refused.value.reason, refused.value.errors[0].pointer) == (reason, pointer)
        assert not [card for card in cards if card.code and card.code in str(refused.value.to_problem())]
    assert await left(harness, good) == (1000, 0)
    with pytest.raises(NotFound):
        await harness.rpc(contract.FIND_GIFT_CARD, {"code": unknown.code})


async def test_who_guesses_too_often_is_refused_every_code(harness: PaymentHarness, deps: PaymentDeps) -> None:
    limited = replace(deps, gift_card_guesses=GiftCardGuessLimit(3, str(new_id())))

    async def attempt(code: str, client_ip: str) -> str:
        try:
            (card,) = await handlers._find_by_codes(limited, [code], client_ip)
        except TooManyGiftCardAttempts as refusal:
            return f"{refusal.code}: {refusal.retry_after is not None}"
        return "found" if card else "unknown"

    assert [await attempt(f"GUESS {number}", "2001:db8::1") for number in range(3)] == ["unknown"] * 3
    card = await issue(harness)
    assert card.code is not None
    digest = "UPDATE gift_card SET code_digest = $2 WHERE id = $1"
    await harness.db.execute(digest, card.id, code_digest(card.code, deps.gift_card_secret))
    assert await attempt(card.code, "2001:db8::2") == "too_many_gift_card_attempts: True", (
        "a client has many IPv6 addresses"
    )
    assert [await attempt(card.code, "192.0.2.1") for _ in range(5)] == ["found"] * 5, "a good code is no guess"
