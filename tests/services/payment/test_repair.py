"""Payments put right on an operator's word: what can be wrong is planted, mended once, and then left alone."""

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
SETTLED = ["settled as the gateway says: captured"]


async def repair(till: PaymentHarness, payment_id: UUID, *, say: bool = False) -> list[str]:
    (mended,) = (await till.as_operator(contract.REPAIR, {"ids": [str(payment_id)], "say": say})).items
    assert mended.id == payment_id
    did: list[str] = mended.did
    return did


async def declined_payment(till: PaymentHarness) -> tuple[PlacedOrder, Payment]:
    placed = till.order("sim_declined", amount=700)
    await placed.place()
    return placed, await till.wait_for_payment(placed, "failed")


async def lose_payment(till: PaymentHarness, placed: PlacedOrder) -> UUID:
    """A payment under way that nobody is to work on."""
    payment_id = new_id()
    await till.db.execute("INSERT INTO bill (order_id, payment_id) VALUES ($1, $2)", placed.id, payment_id)
    await till.db.execute(
        """
        INSERT INTO payment (id, order_id, amount, currency, provider, traceparent, request_id)
        VALUES ($1, $2, $3, 'USD', 'simulator', '', '')
        """,
        payment_id,
        placed.id,
        placed.amount,
    )
    return payment_id


async def is_balanced(till: PaymentHarness, payment_id: UUID) -> bool:
    return not await till.db.fetchval("SELECT true FROM ledger_disagreement WHERE payment_id = $1", payment_id)


async def test_what_is_right_is_left_alone(till: PaymentHarness) -> None:
    _, payment = await till.captured()
    assert await repair(till, payment.id) == []
    assert await repair(till, new_id()) == []
    assert till.events.event_names(payment.id) in ([], ["captured"])


async def test_captured_there_and_not_here_is_settled(till: PaymentHarness) -> None:
    placed, payment = await declined_payment(till)
    await till.db.execute(CAPTURE_AT_GATEWAY, payment.id)
    assert await repair(till, payment.id) == SETTLED
    assert await repair(till, payment.id) == []
    assert (await till.wait_for_payment(placed, "captured")).failure_code is None
    assert await is_balanced(till, payment.id)
    await till.events.wait_for(payment.id, "captured")
    assert till.events.event_names(payment.id) == ["failed", "captured"]


async def test_captured_there_for_an_order_that_has_ended_goes_back_once(till: PaymentHarness) -> None:
    placed, payment = await declined_payment(till)
    await placed.cancel()
    await till.wait_until_consumed()
    await till.db.execute(CAPTURE_AT_GATEWAY, payment.id)
    mended = await asyncio.gather(*(repair(till, payment.id) for _ in range(5)))
    assert sorted(mended) == [[], [], [], [], SETTLED]
    await till.wait_for_payment(placed, "refunded")
    assert len(await till.db.fetch(REFUNDS, payment.id)) == 1
    assert await till.captured_at_gateway(placed) == 0
    await till.events.wait_for(payment.id, "refunded")
    assert till.events.event_names(payment.id) == ["failed", "captured", "refunded"]


async def test_captured_there_after_another_payment_of_the_order_goes_back(till: PaymentHarness) -> None:
    placed = till.order(None, amount=900)
    first = await till.pay(placed, "sim_declined")
    second = await till.pay(placed)
    await till.db.execute(CAPTURE_AT_GATEWAY, first.id)
    assert await repair(till, second.id) == []
    assert (await repair(till, first.id))[0] == SETTLED[0]
    await till.wait_until_idle()
    assert sorted(payment.status for payment in await till.payments(placed)) == ["captured", "refunded"]
    assert await till.captured_at_gateway(placed) == placed.amount
    assert await repair(till, first.id) == []


async def test_taken_for_an_order_that_has_ended_goes_back_once(till: PaymentHarness) -> None:
    placed, payment = await till.captured()
    await till.db.execute("UPDATE bill SET cancelled = true WHERE order_id = $1", placed.id)
    mended = await asyncio.gather(*(repair(till, payment.id) for _ in range(5)))
    assert len([did for did in mended if did]) == 1
    await till.wait_for_payment(placed, "refunded")
    assert len(await till.db.fetch(REFUNDS, payment.id)) == 1
    assert await till.captured_at_gateway(placed) == 0


@pytest.mark.parametrize("there", [True, False])
async def test_taken_for_an_order_of_whose_end_it_has_not_heard_goes_back(till: PaymentHarness, *, there: bool) -> None:
    """Or for one that is not there at all: order is asked."""
    placed, payment = await till.captured()
    if there:
        till.orders.set(placed, OrderStatus.CANCELLED)
    else:
        del till.orders.payables[placed.id]
    assert len(await repair(till, payment.id)) == 2
    await till.wait_for_payment(placed, "refunded")
    await placed.cancel()
    await till.wait_until_consumed()
    assert len(await till.db.fetch(REFUNDS, payment.id)) == 1
    assert await repair(till, payment.id) == []


async def test_one_that_nobody_works_on_is_taken_up_again(till: PaymentHarness) -> None:
    placed = till.order("sim_ok")
    payment_id = await lose_payment(till, placed)
    assert await repair(till, payment_id) == ["taken up again: nobody worked on it"]
    await till.wait_for_payment(placed, "captured")
    assert await repair(till, payment_id) == []
    assert await till.captured_at_gateway(placed) == placed.amount


async def test_one_whose_method_is_lost_ends_at_the_gateway(till: PaymentHarness) -> None:
    placed = till.order(None)
    payment_id = await lose_payment(till, placed)
    await repair(till, payment_id)
    await till.wait_for_payment(placed, "failed")
    assert await till.db.fetchval("SELECT state FROM simulator.charge WHERE key = $1", payment_id) == "voided"


async def test_a_second_step_of_an_order_that_has_ended_is_not_waited_for(till: PaymentHarness) -> None:
    placed = till.order("sim_action")
    await placed.place()
    payment = await till.wait_for_payment(placed, "requires_action")
    await till.db.execute("UPDATE bill SET cancelled = true WHERE order_id = $1", placed.id)
    assert await repair(till, payment.id) == [
        "marked as a payment that nobody wants any more",
        "its second step is not waited for any more",
    ]
    assert (await till.wait_for_payment(placed, "failed")).failure_code == "order_cancelled"


@pytest.mark.parametrize("table", ["attempt", "refund"])
async def test_what_was_put_off_for_too_long_is_due_now(till: PaymentHarness, table: str) -> None:
    if table == "attempt":
        placed = till.order("sim_ok")
        payment_id = await lose_payment(till, placed)
        insert = "INSERT INTO attempt (payment_id, step, due_at) VALUES ($1, 'charge', now() + interval '1 day')"
        await till.db.execute(insert, payment_id)
    else:
        placed, payment = await till.captured(amount=500)
        payment_id = payment.id
        await till.db.execute("UPDATE payment SET refunding = 500 WHERE id = $1", payment_id)
        insert = """
        INSERT INTO refund (id, payment_id, amount, due_at, traceparent, request_id)
        VALUES ($1, $2, 500, now() + interval '1 day', '', '')
        """
        await till.db.execute(insert, new_id(), payment_id)
    assert await repair(till, payment_id) == ["what was put off for too long is due now"]
    await till.wait_for_payment(placed, "captured" if table == "attempt" else "refunded")


async def test_money_that_should_go_back_and_cannot_waits_for_an_operator(till: PaymentHarness) -> None:
    """The gateway refuses; the debt is to be seen, and each try is a new refund."""
    placed, payment = await till.captured(amount=800)
    blocker = new_id()
    await till.db.execute(INSERT_BLOCKING_REFUND, blocker, payment.id, 500)
    await placed.cancel(was=OrderStatus.PAID)
    owed = "SELECT order_id, owed, failure_code FROM money_owed WHERE payment_id = $1"
    row = await eventually(lambda: till.db.fetchrow(owed, payment.id))
    assert tuple(row) == (placed.id, 800, "refund_refused")

    assert len(await repair(till, payment.id)) == 1
    await eventually(lambda: till.db.fetchrow(owed, payment.id))
    assert [one["status"] for one in await till.db.fetch(REFUNDS, payment.id)] == ["failed", "failed"]

    await till.db.execute(DELETE_BLOCKING_REFUND, blocker)
    assert len(await repair(till, payment.id)) == 1
    await till.wait_for_payment(placed, "refunded")
    assert await till.db.fetchrow(owed, payment.id) is None
    assert [one["status"] for one in await till.db.fetch(REFUNDS, payment.id)] == ["failed", "failed", "done"]
    assert await repair(till, payment.id) == []
    assert await till.captured_at_gateway(placed) == 0


async def test_given_back_there_and_not_here_is_booked(till: PaymentHarness) -> None:
    placed, payment = await till.captured(amount=800)
    blocker = new_id()
    await till.db.execute(INSERT_BLOCKING_REFUND, blocker, payment.id, 800)
    await till.refund(payment, 300)
    ((refund_id, _),) = await till.db.fetch(REFUNDS, payment.id)
    assert await repair(till, payment.id) == []
    await till.db.execute(DELETE_BLOCKING_REFUND, blocker)
    await till.db.execute("UPDATE simulator.refund SET state = 'refunded' WHERE key = $1", refund_id)
    assert len(await repair(till, payment.id)) == 1
    assert (await till.wait_for_payment(placed, "partially_refunded")).refunded.amount == 300
    assert await repair(till, payment.id) == []
    assert await till.captured_at_gateway(placed) == 500
    assert await is_balanced(till, payment.id)


async def test_as_much_is_set_aside_as_is_on_its_way(till: PaymentHarness) -> None:
    placed, payment = await till.captured(amount=800)
    await till.db.execute("UPDATE payment SET refunding = 700 WHERE id = $1", payment.id)
    assert await repair(till, payment.id) == ["as much is set aside as is on its way back"]
    assert await repair(till, payment.id) == []
    await till.refund(payment)
    await till.wait_for_payment(placed, "refunded")


async def test_the_ledger_has_what_it_had_missed(till: PaymentHarness) -> None:
    _, payment = await till.captured(amount=800)
    await till.refund(payment, 300)
    async with till.db.acquire() as connection, connection.transaction():
        await connection.execute("ALTER TABLE ledger_entry DISABLE TRIGGER ledger_is_append_only")
        await connection.execute("DELETE FROM ledger_entry WHERE payment_id = $1", payment.id)
        await connection.execute("ALTER TABLE ledger_entry ENABLE TRIGGER ledger_is_append_only")
    assert not await is_balanced(till, payment.id)
    assert await repair(till, payment.id) == ["the ledger has what it had missed"]
    assert await is_balanced(till, payment.id)
    assert await repair(till, payment.id) == []


async def test_all_that_was_said_is_said_again(till: PaymentHarness) -> None:
    _, payment = await till.captured(amount=1000)
    await till.refund(payment, 400)
    await till.refund(payment)
    said = ["captured", "refunded", "refunded"]
    assert await repair(till, payment.id, say=True) == [f"said again: {name}" for name in said]
    await eventually(lambda: till.events.event_names(payment.id) == said + said)
    heard = [one.event for one in till.events._recorded[str(payment.id)]]
    assert heard[:3] == heard[3:]


async def test_a_failure_is_said_again_unless_another_payment_came_after_it(till: PaymentHarness) -> None:
    placed = till.order(None)
    first = await till.pay(placed, "sim_declined")
    assert await repair(till, first.id, say=True) == ["said again: failed"]
    await till.pay(placed)
    assert await repair(till, first.id, say=True) == []


async def test_what_an_order_was_told_is_told_again(till: PaymentHarness) -> None:
    placed, key = till.order(None), new_id().hex
    charge = {
        "order_id": str(placed.id),
        "user_id": str(placed.customer.user_id),
        "amount": placed.total.model_dump(),
        "payment_method": "sim_ok",
    }
    told = await till.as_order(contract.CHARGE, charge, key=key, client="")
    await till.wait_for_payment(placed, "captured")
    assert await till.as_order(contract.CHARGED, {"charge": charge, "key": key}, client="") == told
    (paid,) = (await till.as_order(contract.PAID, {"order_ids": [str(placed.id), str(new_id())]})).items
    assert (paid.id, paid.order_id, paid.status) == (told.id, placed.id, "captured")
