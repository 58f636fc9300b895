"""Repair of payments: each test plants a defect, which is repaired once and then left alone."""

import asyncio
from uuid import UUID

import pytest

from contracts import payment as contract
from contracts.order import OrderStatus
from contracts.payment import Payment
from infra.foundation.ids import new_id
from tests.services.payment.conftest import PaymentHarness, PlacedOrder
from tests.support.eventually import eventually

CAPTURE_AT_GATEWAY = "UPDATE simulator.charge SET state = 'captured', effective_at = now() WHERE key = $1"
INSERT_BLOCKING_REFUND = "INSERT INTO simulator.refund (key, charge_key, amount, state) VALUES ($1, $2, $3, 'refunded')"
DELETE_BLOCKING_REFUND = "DELETE FROM simulator.refund WHERE key = $1"
REFUNDS = "SELECT id, status FROM refund WHERE payment_id = $1 ORDER BY id"
SETTLED = ["settled as the gateway reports: captured"]


async def repair(harness: PaymentHarness, payment_id: UUID, *, say: bool = False) -> list[str]:
    (item,) = (await harness.as_operator(contract.REPAIR, {"ids": [str(payment_id)], "say": say})).items
    assert item.id == payment_id
    done: list[str] = item.did
    return done


async def declined_payment(harness: PaymentHarness) -> tuple[PlacedOrder, Payment]:
    placed = harness.order("sim_declined", amount=700)
    await placed.place()
    return placed, await harness.wait_for_payment(placed, "failed")


async def lose_payment(harness: PaymentHarness, placed: PlacedOrder) -> UUID:
    """A processing payment without an attempt."""
    payment_id = new_id()
    await harness.db.execute("INSERT INTO bill (order_id, payment_id) VALUES ($1, $2)", placed.id, payment_id)
    await harness.db.execute(
        """
        INSERT INTO payment (id, order_id, amount, currency, provider, traceparent, request_id)
        VALUES ($1, $2, $3, 'USD', 'simulator', '', '')
        """,
        payment_id,
        placed.id,
        placed.amount,
    )
    return payment_id


async def is_balanced(harness: PaymentHarness, payment_id: UUID) -> bool:
    return not await harness.db.fetchval("SELECT true FROM ledger_disagreement WHERE payment_id = $1", payment_id)


async def test_a_correct_one_is_not_changed(harness: PaymentHarness) -> None:
    _, payment = await harness.captured()
    assert await repair(harness, payment.id) == []
    assert await repair(harness, new_id()) == []
    assert harness.events.event_names(payment.id) in ([], ["captured"])


async def test_a_capture_known_to_the_gateway_alone_is_settled(harness: PaymentHarness) -> None:
    placed, payment = await declined_payment(harness)
    await harness.db.execute(CAPTURE_AT_GATEWAY, payment.id)
    assert await repair(harness, payment.id) == SETTLED
    assert await repair(harness, payment.id) == []
    assert (await harness.wait_for_payment(placed, "captured")).failure_code is None
    assert await is_balanced(harness, payment.id)
    await harness.events.wait_for(payment.id, "captured")
    assert harness.events.event_names(payment.id) == ["failed", "captured"]


async def test_a_missed_capture_of_a_cancelled_order_is_refunded_once(harness: PaymentHarness) -> None:
    placed, payment = await declined_payment(harness)
    await placed.cancel()
    await harness.wait_until_consumed()
    await harness.db.execute(CAPTURE_AT_GATEWAY, payment.id)
    results = await asyncio.gather(*(repair(harness, payment.id) for _ in range(5)))
    assert sorted(results) == [[], [], [], [], SETTLED]
    await harness.wait_for_payment(placed, "refunded")
    assert len(await harness.db.fetch(REFUNDS, payment.id)) == 1
    assert await harness.captured_at_gateway(placed) == 0
    await harness.events.wait_for(payment.id, "refunded")
    assert harness.events.event_names(payment.id) == ["failed", "captured", "refunded"]


async def test_a_missed_capture_beside_another_payment_is_refunded(harness: PaymentHarness) -> None:
    placed = harness.order(None, amount=900)
    first = await harness.pay(placed, "sim_declined")
    second = await harness.pay(placed)
    await harness.db.execute(CAPTURE_AT_GATEWAY, first.id)
    assert await repair(harness, second.id) == []
    assert (await repair(harness, first.id))[0] == SETTLED[0]
    await harness.wait_until_idle()
    assert sorted(payment.status for payment in await harness.payments(placed)) == ["captured", "refunded"]
    assert await harness.captured_at_gateway(placed) == placed.amount
    assert await repair(harness, first.id) == []


async def test_a_capture_for_a_cancelled_order_is_refunded_once(harness: PaymentHarness) -> None:
    placed, payment = await harness.captured()
    await harness.db.execute("UPDATE bill SET cancelled = true WHERE order_id = $1", placed.id)
    results = await asyncio.gather(*(repair(harness, payment.id) for _ in range(5)))
    assert len([done for done in results if done]) == 1
    await harness.wait_for_payment(placed, "refunded")
    assert len(await harness.db.fetch(REFUNDS, payment.id)) == 1
    assert await harness.captured_at_gateway(placed) == 0


@pytest.mark.parametrize("exists", [True, False])
async def test_a_capture_is_refunded_when_the_cancellation_was_missed(harness: PaymentHarness, *, exists: bool) -> None:
    """The same for an order that does not exist: the repair asks order about it."""
    placed, payment = await harness.captured()
    if exists:
        harness.orders.set(placed, OrderStatus.CANCELLED)
    else:
        del harness.orders.payables[placed.id]
    assert len(await repair(harness, payment.id)) == 2
    await harness.wait_for_payment(placed, "refunded")
    await placed.cancel()
    await harness.wait_until_consumed()
    assert len(await harness.db.fetch(REFUNDS, payment.id)) == 1
    assert await repair(harness, payment.id) == []


async def test_a_charge_without_an_attempt_is_restarted(harness: PaymentHarness) -> None:
    placed = harness.order("sim_ok")
    payment_id = await lose_payment(harness, placed)
    assert await repair(harness, payment_id) == ["charge restarted: no attempt was pending"]
    await harness.wait_for_payment(placed, "captured")
    assert await repair(harness, payment_id) == []
    assert await harness.captured_at_gateway(placed) == placed.amount


async def test_a_charge_without_a_method_is_voided(harness: PaymentHarness) -> None:
    placed = harness.order(None)
    payment_id = await lose_payment(harness, placed)
    await repair(harness, payment_id)
    await harness.wait_for_payment(placed, "failed")
    assert await harness.db.fetchval("SELECT state FROM simulator.charge WHERE key = $1", payment_id) == "voided"


async def test_the_second_step_of_a_cancelled_order_is_voided(harness: PaymentHarness) -> None:
    placed = harness.order("sim_action")
    await placed.place()
    payment = await harness.wait_for_payment(placed, "requires_action")
    await harness.db.execute("UPDATE bill SET cancelled = true WHERE order_id = $1", placed.id)
    assert await repair(harness, payment.id) == [
        "marked as cancelled: the order does not need this payment",
        "charge is being voided instead of waiting for the customer's second step",
    ]
    assert (await harness.wait_for_payment(placed, "failed")).failure_code == "order_cancelled"


@pytest.mark.parametrize("table", ["attempt", "refund"])
async def test_work_postponed_for_too_long_is_made_due(harness: PaymentHarness, table: str) -> None:
    if table == "attempt":
        placed = harness.order("sim_ok")
        payment_id = await lose_payment(harness, placed)
        insert = "INSERT INTO attempt (payment_id, step, due_at) VALUES ($1, 'charge', now() + interval '1 day')"
        await harness.db.execute(insert, payment_id)
    else:
        placed, payment = await harness.captured(amount=500)
        payment_id = payment.id
        await harness.db.execute("UPDATE payment SET refunding = 500 WHERE id = $1", payment_id)
        insert = """
        INSERT INTO refund (id, payment_id, amount, due_at, traceparent, request_id)
        VALUES ($1, $2, 500, now() + interval '1 day', '', '')
        """
        await harness.db.execute(insert, new_id(), payment_id)
    assert await repair(harness, payment_id) == ["work postponed for too long made due now"]
    await harness.wait_for_payment(placed, "captured" if table == "attempt" else "refunded")


async def test_a_refused_refund_waits_for_an_operator(harness: PaymentHarness) -> None:
    """The gateway refuses. The amount owed stays visible, and each repair starts a new refund."""
    placed, payment = await harness.captured(amount=800)
    blocker = new_id()
    await harness.db.execute(INSERT_BLOCKING_REFUND, blocker, payment.id, 500)
    await placed.cancel(was=OrderStatus.PAID)
    owed = "SELECT order_id, owed, failure_code FROM money_owed WHERE payment_id = $1"
    row = await eventually(lambda: harness.db.fetchrow(owed, payment.id))
    assert tuple(row) == (placed.id, 800, "refund_refused")

    assert len(await repair(harness, payment.id)) == 1
    await eventually(lambda: harness.db.fetchrow(owed, payment.id))
    assert [row["status"] for row in await harness.db.fetch(REFUNDS, payment.id)] == ["failed", "failed"]

    await harness.db.execute(DELETE_BLOCKING_REFUND, blocker)
    assert len(await repair(harness, payment.id)) == 1
    await harness.wait_for_payment(placed, "refunded")
    assert await harness.db.fetchrow(owed, payment.id) is None
    assert [row["status"] for row in await harness.db.fetch(REFUNDS, payment.id)] == ["failed", "failed", "done"]
    assert await repair(harness, payment.id) == []
    assert await harness.captured_at_gateway(placed) == 0


async def test_a_refund_known_to_the_gateway_alone_is_booked(harness: PaymentHarness) -> None:
    placed, payment = await harness.captured(amount=800)
    blocker = new_id()
    await harness.db.execute(INSERT_BLOCKING_REFUND, blocker, payment.id, 800)
    await harness.refund(payment, 300)
    ((refund_id, _),) = await harness.db.fetch(REFUNDS, payment.id)
    assert await repair(harness, payment.id) == []
    await harness.db.execute(DELETE_BLOCKING_REFUND, blocker)
    await harness.db.execute("UPDATE simulator.refund SET state = 'refunded' WHERE key = $1", refund_id)
    assert len(await repair(harness, payment.id)) == 1
    assert (await harness.wait_for_payment(placed, "partially_refunded")).refunded.amount == 300
    assert await repair(harness, payment.id) == []
    assert await harness.captured_at_gateway(placed) == 500
    assert await is_balanced(harness, payment.id)


async def test_the_reserved_amount_is_corrected(harness: PaymentHarness) -> None:
    placed, payment = await harness.captured(amount=800)
    await harness.db.execute("UPDATE payment SET refunding = 700 WHERE id = $1", payment.id)
    assert await repair(harness, payment.id) == ["reserved amount set to the sum of the pending refunds"]
    assert await repair(harness, payment.id) == []
    await harness.refund(payment)
    await harness.wait_for_payment(placed, "refunded")


async def test_missing_ledger_entries_are_booked(harness: PaymentHarness) -> None:
    _, payment = await harness.captured(amount=800)
    await harness.refund(payment, 300)
    async with harness.db.acquire() as connection, connection.transaction():
        await connection.execute("ALTER TABLE ledger_entry DISABLE TRIGGER ledger_is_append_only")
        await connection.execute("DELETE FROM ledger_entry WHERE payment_id = $1", payment.id)
        await connection.execute("ALTER TABLE ledger_entry ENABLE TRIGGER ledger_is_append_only")
    assert not await is_balanced(harness, payment.id)
    assert await repair(harness, payment.id) == ["missing ledger entries booked"]
    assert await is_balanced(harness, payment.id)
    assert await repair(harness, payment.id) == []


async def test_all_past_events_are_republished(harness: PaymentHarness) -> None:
    _, payment = await harness.captured(amount=1000)
    await harness.refund(payment, 400)
    await harness.refund(payment)
    names = ["captured", "refunded", "refunded"]
    assert await repair(harness, payment.id, say=True) == [f"published again: {name}" for name in names]
    await eventually(lambda: harness.events.event_names(payment.id) == names + names)
    published = [recorded.event for recorded in harness.events._recorded[str(payment.id)]]
    assert published[:3] == published[3:]


async def test_a_failure_is_republished_unless_another_payment_followed(harness: PaymentHarness) -> None:
    placed = harness.order(None)
    first = await harness.pay(placed, "sim_declined")
    assert await repair(harness, first.id, say=True) == ["published again: failed"]
    await harness.pay(placed)
    assert await repair(harness, first.id, say=True) == []


async def test_charged_returns_the_earlier_reply(harness: PaymentHarness) -> None:
    placed, key = harness.order(None), new_id().hex
    charge = {
        "order_id": str(placed.id),
        "user_id": str(placed.customer.user_id),
        "amount": placed.total.model_dump(),
        "payment_method": "sim_ok",
    }
    reply = await harness.as_order(contract.CHARGE, charge, key=key, client="")
    await harness.wait_for_payment(placed, "captured")
    assert await harness.as_order(contract.CHARGED, {"charge": charge, "key": key}, client="") == reply
    (paid,) = (await harness.as_order(contract.PAID, {"order_ids": [str(placed.id), str(new_id())]})).items
    assert (paid.id, paid.order_id, paid.status) == (reply.id, placed.id, "captured")
