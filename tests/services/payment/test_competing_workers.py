"""Two processes with the same work: a process whose lease has expired cannot change what another one has settled.

The processes are workers of the test on the database of the running service, which leaves their leased work alone.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from uuid import UUID

import pytest

from infra.database.postgres import connect
from infra.foundation.ids import new_id
from infra.messaging.rpc_client import RpcClient
from services.payment.deps import PaymentDeps
from services.payment.domain.charges import ChargeAttempt, ChargeOutcome, ChargeState, ChargeStep
from services.payment.domain.gift_card_guesses import GiftCardGuessLimit
from services.payment.domain.refunds import RefundAttempt
from services.payment.gateways import GatewayRegistry
from services.payment.gateways.simulator import Simulator
from services.payment.workers.charge import ChargeResult, ChargeWorker
from services.payment.workers.refund import RefundResult, RefundWorker
from tests.services.payment.conftest import GIFT_CARD_SECRET, PaymentHarness, PlacedOrder, settings_of
from tests.support.eventually import eventually

CAPTURED = ChargeOutcome(ChargeState.CAPTURED)
LEASE_END = "now() + interval '1 hour'"


@dataclass(frozen=True)
class PaymentProcess:
    """The workers of one process."""

    charges: ChargeWorker
    refunds: RefundWorker


@pytest.fixture(scope="session")
async def processes(harness: PaymentHarness) -> AsyncIterator[tuple[PaymentProcess, PaymentProcess]]:
    async with AsyncExitStack() as opened:

        async def process() -> PaymentProcess:
            db = await opened.enter_async_context(connect(settings_of(harness.stack), "payment-test"))
            db.wake_relay = harness.wake_relay
            deps = PaymentDeps(
                db,
                RpcClient(harness.orders.client, 1),
                GatewayRegistry([Simulator(db, late_seconds=0.3)]),
                gateway_timeout_seconds=1,
                gateway_concurrency=1,
                charge_deadline_seconds=60,
                wait_seconds=1,
                gift_card_secret=GIFT_CARD_SECRET,
                gift_card_guesses=GiftCardGuessLimit(0, GIFT_CARD_SECRET),
            )
            return PaymentProcess(ChargeWorker(deps), RefundWorker(deps))

        yield await process(), await process()


async def claim_attempt(harness: PaymentHarness, placed: PlacedOrder, method: str = "sim_ok") -> ChargeAttempt:
    """An attempt that one of the processes has claimed."""
    payment_id = new_id()
    await harness.db.execute("INSERT INTO bill (order_id, payment_id) VALUES ($1, $2)", placed.id, payment_id)
    await harness.db.execute(
        f"""
        WITH opened AS (
            INSERT INTO payment (id, order_id, amount, currency, provider, traceparent, request_id)
            VALUES ($1, $2, $3, 'USD', 'simulator', '', '') RETURNING id
        )
        INSERT INTO attempt (payment_id, step, tries, due_at) SELECT id, 'charge', 1, {LEASE_END} FROM opened
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


async def count_ledger_entries(harness: PaymentHarness, payment_id: UUID) -> int:
    return int(await harness.db.fetchval("SELECT count(*) FROM ledger_entry WHERE payment_id = $1", payment_id))


async def test_two_processes_settle_at_the_same_moment(
    harness: PaymentHarness, processes: tuple[PaymentProcess, PaymentProcess]
) -> None:
    placed = harness.order()
    attempt = await claim_attempt(harness, placed)
    results = await asyncio.gather(*(process.charges.perform(attempt) for process in processes))
    await asyncio.gather(
        *(process.charges.settle([result]) for process, result in zip(processes, results, strict=True))
    )
    await harness.events.wait_for(attempt.payment_id, "captured")
    assert harness.events.event_names(attempt.payment_id) == ["captured"]
    assert await count_ledger_entries(harness, attempt.payment_id) == 2
    assert await harness.captured_at_gateway(placed) == placed.amount


async def test_a_result_after_the_other_process_has_settled_changes_nothing(
    harness: PaymentHarness, processes: tuple[PaymentProcess, PaymentProcess]
) -> None:
    """The late process stalls after its call to the gateway, and before it."""
    late, other = processes
    for before_call in (True, False):
        placed = harness.order()
        attempt = await claim_attempt(harness, placed)
        result = None if before_call else await late.charges.perform(attempt)
        await other.charges.settle([await other.charges.perform(replace(attempt, tries=2))])
        await late.charges.settle([result or await late.charges.perform(attempt)])
        await harness.events.wait_for(attempt.payment_id, "captured")
        assert harness.events.event_names(attempt.payment_id) == ["captured"]
        assert await count_ledger_entries(harness, attempt.payment_id) == 2
        assert await harness.captured_at_gateway(placed) == placed.amount


async def test_a_charge_after_the_order_has_ended_keeps_no_money(
    harness: PaymentHarness, processes: tuple[PaymentProcess, PaymentProcess]
) -> None:
    """The late process charges with outdated knowledge; the other one has voided or refunded the charge."""
    late, other = processes
    for before_call in (True, False):
        placed = harness.order()
        attempt = await claim_attempt(harness, placed)
        result = None if before_call else await late.charges.perform(attempt)
        await placed.cancel()
        await harness.wait_until_consumed()
        await other.charges.settle([await other.charges.perform(replace(attempt, tries=2, cancelled=True))])
        await late.charges.settle([result or await late.charges.perform(attempt)])
        await harness.wait_for_payment(placed, "failed" if before_call else "refunded")
        assert await harness.captured_at_gateway(placed) == 0
        refunds = await harness.db.fetchval("SELECT count(*) FROM refund WHERE payment_id = $1", attempt.payment_id)
        assert refunds == (0 if before_call else 1)


async def test_a_stale_action_required_does_not_undo_the_second_step(
    harness: PaymentHarness, processes: tuple[PaymentProcess, PaymentProcess]
) -> None:
    late, other = processes
    placed = harness.order()
    attempt = await claim_attempt(harness, placed, "sim_action")
    result = await late.charges.perform(attempt)
    await other.charges.settle([await other.charges.perform(attempt)])
    await harness.wait_for_payment(placed, "requires_action")
    await harness.db.execute("UPDATE payment SET status = 'processing' WHERE id = $1", attempt.payment_id)
    await harness.db.execute(
        f"INSERT INTO attempt (payment_id, step, tries, due_at) VALUES ($1, 'confirm', 1, {LEASE_END})",  # noqa: S608
        attempt.payment_id,
    )
    await late.charges.settle([result])
    confirm = replace(attempt, step=ChargeStep.CONFIRM, method=None)
    await other.charges.settle([await other.charges.perform(confirm)])
    await harness.wait_for_payment(placed, "captured")
    await harness.events.wait_for(attempt.payment_id, "captured")
    assert harness.events.event_names(attempt.payment_id) == ["action_required", "captured"]


async def test_an_unknown_outcome_does_not_undo_a_known_one(
    harness: PaymentHarness, processes: tuple[PaymentProcess, PaymentProcess]
) -> None:
    placed = harness.order()
    attempt = await claim_attempt(harness, placed)
    await processes[0].charges.settle([ChargeResult(attempt, CAPTURED)])
    await processes[1].charges.settle([ChargeResult(attempt, None)])
    assert (await harness.wait_for_payment(placed, "captured")).amount == placed.total
    await processes[0].charges.perform(attempt)
    assert await harness.captured_at_gateway(placed) == placed.amount


async def claimed_refund(harness: PaymentHarness, amount: int) -> tuple[PlacedOrder, RefundAttempt]:
    """A refund that one of the processes has claimed."""
    placed, payment = await harness.captured(amount=1000)
    refund = RefundAttempt(
        new_id(), payment.id, payment.amount.model_copy(update={"amount": amount}), "simulator", 1, "", ""
    )
    await harness.db.execute("UPDATE payment SET refunding = $2 WHERE id = $1", payment.id, amount)
    await harness.db.execute(
        f"""
        INSERT INTO refund (id, payment_id, amount, traceparent, request_id, due_at)
        VALUES ($1, $2, $3, '', '', {LEASE_END})
        """,  # noqa: S608 - a constant
        refund.id,
        payment.id,
        amount,
    )
    return placed, refund


async def test_two_processes_refund_at_the_same_moment(
    harness: PaymentHarness, processes: tuple[PaymentProcess, PaymentProcess]
) -> None:
    placed, refund = await claimed_refund(harness, 400)
    results = await asyncio.gather(*(process.refunds.perform(refund) for process in processes))
    await asyncio.gather(
        *(process.refunds.settle([result]) for process, result in zip(processes, results, strict=True))
    )
    assert (await harness.wait_for_payment(placed, "partially_refunded")).refunded.amount == 400
    assert await harness.captured_at_gateway(placed) == 600
    await eventually(lambda: harness.events.event_names(refund.payment_id) == ["captured", "refunded"])
    assert await count_ledger_entries(harness, refund.payment_id) == 4


async def test_a_refused_refund_stays_refused_for_a_late_process(
    harness: PaymentHarness, processes: tuple[PaymentProcess, PaymentProcess]
) -> None:
    """The gateway repeats its answer under the same key, so that only a new refund can return the money."""
    late, other = processes
    placed, refund = await claimed_refund(harness, 400)
    blocker = "INSERT INTO simulator.refund (key, charge_key, amount, state) VALUES ($1, $2, 900, 'refunded')"
    await harness.db.execute(blocker, new_id(), refund.payment_id)
    await other.refunds.settle([await other.refunds.perform(refund)])
    await harness.db.execute("DELETE FROM simulator.refund WHERE charge_key = $1 AND amount = 900", refund.payment_id)
    result = await late.refunds.perform(refund)
    assert result == RefundResult(refund, is_known=True, refusal_code="refund_refused")
    await late.refunds.settle([result])
    assert (await harness.wait_for_payment(placed, "captured")).refunded.amount == 0
    assert await harness.captured_at_gateway(placed) == 1000
