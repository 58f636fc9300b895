"""Two processes with the same work: one slept, or was slow, and its lease ran out. What it tells then changes nothing.

The other processes are chargers and refunders of the test, on the same books as the running service, which leaves alone
what is leased to them.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from uuid import UUID

import pytest

from infra.database.postgres import connect
from infra.foundation.ids import new_id
from infra.messaging.rpc import RpcClient
from services.payment.domain.payments import ChargeAttempt, ChargeOutcome, ChargeState, ChargeStep
from services.payment.gateways import GatewayRegistry
from services.payment.gateways.simulator import Simulator
from services.payment.store.refunds import RefundAttempt
from services.payment.workers.charge import ChargeResult, ChargeWorker
from services.payment.workers.completion import Completions
from services.payment.workers.refund import RefundResult as TriedRefund
from services.payment.workers.refund import RefundWorker
from tests.services.payment.conftest import PaymentHarness, PlacedOrder, settings_of
from tests.support.eventually import eventually

CAPTURED = ChargeOutcome(ChargeState.CAPTURED)
LEASED = "now() + interval '1 hour'"


@dataclass(frozen=True)
class PaymentProcess:
    charger: ChargeWorker
    refunder: RefundWorker


@pytest.fixture(scope="session")
async def twins(till: PaymentHarness) -> AsyncIterator[tuple[PaymentProcess, PaymentProcess]]:
    async with AsyncExitStack() as opened:

        async def process() -> PaymentProcess:
            db = await opened.enter_async_context(connect(settings_of(till.stack), "payment-test"))
            gateways, outcomes = GatewayRegistry([Simulator(db, late_seconds=0.3)]), Completions()
            refunder = RefundWorker(db, gateways, outcomes, timeout_seconds=1, concurrency=1)
            asker = RpcClient(till.orders.client, 1)
            return PaymentProcess(
                ChargeWorker(
                    db, asker, gateways, refunder, outcomes, timeout_seconds=1, deadline_seconds=60, concurrency=1
                ),
                refunder,
            )

        yield await process(), await process()


async def claim_attempt(till: PaymentHarness, placed: PlacedOrder, method: str = "sim_ok") -> ChargeAttempt:
    """An attempt that one of the twins has taken up."""
    payment_id = new_id()
    await till.db.execute("INSERT INTO bill (order_id, payment_id) VALUES ($1, $2)", placed.id, payment_id)
    await till.db.execute(
        f"""
        WITH opened AS (
            INSERT INTO payment (id, order_id, amount, currency, provider, traceparent, request_id)
            VALUES ($1, $2, $3, 'USD', 'simulator', '', '') RETURNING id
        )
        INSERT INTO attempt (payment_id, step, tries, due_at) SELECT id, 'charge', 1, {LEASED} FROM opened
        """,  # noqa: S608 - a constant
        payment_id,
        placed.id,
        placed.amount,
    )
    return ChargeAttempt(
        payment_id=payment_id,
        order_id=placed.id,
        money=placed.total,
        provider="simulator",
        step=ChargeStep.CHARGE,
        method=method,
        tries=1,
        cancelled=False,
        overdue=False,
        traceparent="",
        request_id="",
    )


async def count_ledger_entries(till: PaymentHarness, payment_id: UUID) -> int:
    return int(await till.db.fetchval("SELECT count(*) FROM ledger_entry WHERE payment_id = $1", payment_id))


async def test_both_settle_at_the_same_moment(
    till: PaymentHarness, twins: tuple[PaymentProcess, PaymentProcess]
) -> None:
    placed = till.order()
    attempt = await claim_attempt(till, placed)
    tried = await asyncio.gather(*(twin.charger.perform(attempt) for twin in twins))
    await asyncio.gather(*(twin.charger.settle([one]) for twin, one in zip(twins, tried, strict=True)))
    await till.events.wait_for(attempt.payment_id, "captured")
    assert till.events.event_names(attempt.payment_id) == ["captured"]
    assert await count_ledger_entries(till, attempt.payment_id) == 2
    assert await till.captured_at_gateway(placed) == placed.amount


async def test_one_wakes_up_when_the_other_has_settled(
    till: PaymentHarness, twins: tuple[PaymentProcess, PaymentProcess]
) -> None:
    """In the middle of the call, and before it."""
    sleeper, other = twins
    for slept_before in (True, False):
        placed = till.order()
        attempt = await claim_attempt(till, placed)
        asked = None if slept_before else await sleeper.charger.perform(attempt)
        await other.charger.settle([await other.charger.perform(replace(attempt, tries=2))])
        await sleeper.charger.settle([asked or await sleeper.charger.perform(attempt)])
        await till.events.wait_for(attempt.payment_id, "captured")
        assert till.events.event_names(attempt.payment_id) == ["captured"]
        assert await count_ledger_entries(till, attempt.payment_id) == 2
        assert await till.captured_at_gateway(placed) == placed.amount


async def test_one_wakes_up_when_the_order_has_ended(
    till: PaymentHarness, twins: tuple[PaymentProcess, PaymentProcess]
) -> None:
    """It charges with what it knew before; the other has voided the charge, or found it taken and given it back."""
    sleeper, other = twins
    for slept_before in (True, False):
        placed = till.order()
        attempt = await claim_attempt(till, placed)
        asked = None if slept_before else await sleeper.charger.perform(attempt)
        await placed.cancel()
        await till.wait_until_consumed()
        await other.charger.settle([await other.charger.perform(replace(attempt, tries=2, cancelled=True))])
        await sleeper.charger.settle([asked or await sleeper.charger.perform(attempt)])
        await till.wait_for_payment(placed, "failed" if slept_before else "refunded")
        assert await till.captured_at_gateway(placed) == 0
        refunds = await till.db.fetchval("SELECT count(*) FROM refund WHERE payment_id = $1", attempt.payment_id)
        assert refunds == (0 if slept_before else 1)


async def test_one_tells_of_a_second_step_that_was_taken_meanwhile(
    till: PaymentHarness, twins: tuple[PaymentProcess, PaymentProcess]
) -> None:
    sleeper, other = twins
    placed = till.order()
    attempt = await claim_attempt(till, placed, "sim_action")
    asked = await sleeper.charger.perform(attempt)
    await other.charger.settle([await other.charger.perform(attempt)])
    await till.wait_for_payment(placed, "requires_action")
    await till.db.execute("UPDATE payment SET status = 'processing' WHERE id = $1", attempt.payment_id)
    await till.db.execute(
        f"INSERT INTO attempt (payment_id, step, tries, due_at) VALUES ($1, 'confirm', 1, {LEASED})",  # noqa: S608
        attempt.payment_id,
    )
    await sleeper.charger.settle([asked])
    confirm = replace(attempt, step=ChargeStep.CONFIRM, method=None)
    await other.charger.settle([await other.charger.perform(confirm)])
    await till.wait_for_payment(placed, "captured")
    await till.events.wait_for(attempt.payment_id, "captured")
    assert till.events.event_names(attempt.payment_id) == ["action_required", "captured"]


async def test_one_knows_nothing_when_the_other_does(
    till: PaymentHarness, twins: tuple[PaymentProcess, PaymentProcess]
) -> None:
    placed = till.order()
    attempt = await claim_attempt(till, placed)
    await twins[0].charger.settle([ChargeResult(attempt, CAPTURED)])
    await twins[1].charger.settle([ChargeResult(attempt, None)])
    assert (await till.wait_for_payment(placed, "captured")).amount == placed.total
    await twins[0].charger.perform(attempt)
    assert await till.captured_at_gateway(placed) == placed.amount


async def claimed_refund(till: PaymentHarness, amount: int) -> tuple[PlacedOrder, RefundAttempt]:
    """A refund that one of the twins has taken up."""
    placed, payment = await till.captured(amount=1000)
    refund = RefundAttempt(
        new_id(), payment.id, payment.amount.model_copy(update={"amount": amount}), "simulator", 1, "", ""
    )
    await till.db.execute("UPDATE payment SET refunding = $2 WHERE id = $1", payment.id, amount)
    await till.db.execute(
        f"""
        INSERT INTO refund (id, payment_id, amount, traceparent, request_id, due_at)
        VALUES ($1, $2, $3, '', '', {LEASED})
        """,  # noqa: S608 - a constant
        refund.id,
        payment.id,
        amount,
    )
    return placed, refund


async def test_both_give_back_at_the_same_moment(
    till: PaymentHarness, twins: tuple[PaymentProcess, PaymentProcess]
) -> None:
    placed, refund = await claimed_refund(till, 400)
    tried = await asyncio.gather(*(twin.refunder.perform(refund) for twin in twins))
    await asyncio.gather(*(twin.refunder.settle([one]) for twin, one in zip(twins, tried, strict=True)))
    assert (await till.wait_for_payment(placed, "partially_refunded")).refunded.amount == 400
    assert await till.captured_at_gateway(placed) == 600
    await eventually(lambda: till.events.event_names(refund.payment_id) == ["captured", "refunded"])
    assert await count_ledger_entries(till, refund.payment_id) == 4


async def test_one_is_refused_what_the_other_knows_nothing_of(
    till: PaymentHarness, twins: tuple[PaymentProcess, PaymentProcess]
) -> None:
    """The gateway gives the same answer again, so that a new refund of the same money is the only one."""
    sleeper, other = twins
    placed, refund = await claimed_refund(till, 400)
    blocker = "INSERT INTO simulator.refund (key, charge_key, amount, state) VALUES ($1, $2, 900, 'refunded')"
    await till.db.execute(blocker, new_id(), refund.payment_id)
    await other.refunder.settle([await other.refunder.perform(refund)])
    await till.db.execute("DELETE FROM simulator.refund WHERE charge_key = $1 AND amount = 900", refund.payment_id)
    late = await sleeper.refunder.perform(refund)
    assert late == TriedRefund(refund, is_known=True, refusal_code="refund_refused")
    await sleeper.refunder.settle([late])
    assert (await till.wait_for_payment(placed, "captured")).refunded.amount == 0
    assert await till.captured_at_gateway(placed) == 1000
