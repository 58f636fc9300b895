"""Repair of payments that gift cards pay in part, and of their entries in the ledger."""

from contracts.order import OrderStatus
from tests.services.payment.conftest import PaymentHarness
from tests.services.payment.test_gift_cards import assert_the_books_agree, entries, issue, left, order_with
from tests.services.payment.test_repair import CAPTURE_AT_GATEWAY, repair
from tests.support.eventually import eventually


async def test_missing_entries_of_cards_are_booked_as_they_were(harness: PaymentHarness) -> None:
    cards = [await issue(harness, 300), await issue(harness, 500)]
    placed = await order_with(harness, *cards, amount=2000)
    await placed.place()
    payment = await harness.wait_for_payment(placed, "captured")
    await harness.refund(payment, 1250)
    await harness.wait_until_idle()
    refunds = await harness.db.fetch("SELECT id FROM refund WHERE payment_id = $1 ORDER BY id", payment.id)
    transactions = [payment.id, *(row["id"] for row in refunds)]
    before = [await entries(harness, transaction) for transaction in transactions]
    assert [len(booked) for booked in before] == [4, 2, 2]
    async with harness.db.acquire() as connection, connection.transaction():
        await connection.execute("ALTER TABLE ledger_entry DISABLE TRIGGER ledger_is_append_only")
        await connection.execute("DELETE FROM ledger_entry WHERE payment_id = $1", payment.id)
        await connection.execute("ALTER TABLE ledger_entry ENABLE TRIGGER ledger_is_append_only")
    assert await repair(harness, payment.id) == ["missing ledger entries booked"]
    assert [await entries(harness, transaction) for transaction in transactions] == before
    assert await repair(harness, payment.id) == []
    await assert_the_books_agree(harness, *cards)


async def test_a_missed_capture_whose_cards_were_returned_is_refunded(harness: PaymentHarness) -> None:
    """The gateway's part alone does not pay the order."""
    card = await issue(harness, 500)
    placed = await order_with(harness, card, amount=2000, method="sim_declined")
    await placed.place()
    payment = await harness.wait_for_payment(placed, "failed")
    await harness.db.execute(CAPTURE_AT_GATEWAY, payment.id)
    assert await repair(harness, payment.id) == ["settled as the gateway reports: captured"]
    refunded = await harness.wait_for_payment(placed, "refunded")
    assert (refunded.amount.amount, refunded.gift_card_amount.amount) == (1500, 0)
    assert await harness.captured_at_gateway(placed) == 0
    await placed.cancel(was=OrderStatus.PENDING)

    async def is_returned() -> bool:
        return await left(harness, card) == (500, 0)

    await eventually(is_returned)
    await assert_the_books_agree(harness, card)
