"""Repairs payments when an operator asks for it: what has one right answer, once, however often it is requested.

Order is asked whether it has ended, and the gateway what it knows, outside any transaction: their answers are final.
Everything is then decided and done under the locks of the bill and the payment, in the same order as a cancellation
takes them.
"""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from contracts import order
from contracts.failure import Unavailable
from contracts.order import OrderStatus, PayablesRequest
from contracts.payment import PaymentStatus
from contracts.repair import RepairedItem, RepairRequest, RepairResult
from infra.database.postgres import Transaction
from infra.foundation import trace
from infra.foundation.ids import new_id
from infra.messaging.rpc_client import Request
from services.payment.deps import PaymentDeps
from services.payment.domain.charges import ORDER_CANCELLED, ChargeOutcome, ChargeState, ChargeStep
from services.payment.domain.events import past_events
from services.payment.domain.payments import NO_GATEWAY, PaymentRecord
from services.payment.domain.refunds import decide_reversal
from services.payment.domain.repair import Bill, CaptureDecision, decide_capture, missing_outcome
from services.payment.gateways import GatewayError
from services.payment.store import payments
from services.payment.store import repair as store
from services.payment.workers.charge import max_delay_seconds
from services.payment.workers.charge_outcomes import settle_from_gateway
from services.payment.workers.refund_parts import add_refund


@dataclass(frozen=True, slots=True)
class GatewayFacts:
    """What the gateway knows: the charge's outcome, and which refunds that failed here it has made after all."""

    charge: ChargeOutcome | None
    refunded_ids: Sequence[UUID]


async def repair(deps: PaymentDeps, request: Request[RepairRequest]) -> RepairResult:
    """Repairs the payments with these ids one by one, and reports what was done to each.

    An unavailable gateway ends the request; what was done before stays done.
    """
    async with deps.db.connection() as connection:
        found = {payment_id: await payments.find(connection, payment_id) for payment_id in request.body.ids}
    active_orders = await _active_orders(deps, {payment.order_id for payment in found.values() if payment})
    return RepairResult(
        items=[
            RepairedItem(
                id=payment_id, did=await _repair_payment(deps, request, payment, active_orders) if payment else []
            )
            for payment_id, payment in found.items()
        ]
    )


async def _active_orders(deps: PaymentDeps, order_ids: Collection[UUID]) -> Collection[UUID]:
    """Those of the orders that exist and are not cancelled: an order is stored before it can be paid."""
    if not order_ids:
        return ()
    reply = await deps.rpc.request(order.PAYABLES, PayablesRequest(order_ids=list(order_ids)))
    return {payable.order_id for payable in reply.items if payable.status is not OrderStatus.CANCELLED}


async def _repair_payment(
    deps: PaymentDeps, request: Request[RepairRequest], payment: PaymentRecord, active_orders: Collection[UUID]
) -> list[str]:
    async with deps.db.connection() as connection:
        refused_ids = await store.list_refused(connection, payment.id)
    facts = await _ask_gateway(deps, payment, refused_ids)
    payment_id = payment.id
    with trace.activate(trace.parse(payment.traceparent, request_id=payment.request_id)):
        async with deps.db.transaction() as tx:
            tx.audit_action(request, payment_id)
            if payment.order_id not in active_orders:
                await payments.cancel_bill(tx.connection, payment.order_id)
            bill = await store.lock_bill(tx.connection, payment.order_id, payment_id)
            done = await _repair_charge(deps, tx, await _lock(tx, payment_id), bill, facts.charge)
            done += await _repair_refunds(deps, tx, await _lock(tx, payment_id), bill, facts.refunded_ids)
            done += await _repair_bookkeeping(deps, tx, payment_id)
            if request.body.republish:
                done += await _republish(tx, await _lock(tx, payment_id), bill)
            return done


async def _ask_gateway(deps: PaymentDeps, payment: PaymentRecord, refused_ids: Sequence[UUID]) -> GatewayFacts:
    if payment.provider == NO_GATEWAY:
        return GatewayFacts(None, ())
    gateway = deps.gateways.by_name(payment.provider)
    try:
        async with asyncio.timeout(deps.gateway_timeout_seconds):
            charge = await gateway.find_charge(payment.id)
            refunded_ids = [refund_id for refund_id in refused_ids if await gateway.has_refunded(refund_id)]
            return GatewayFacts(charge, refunded_ids)
    except (GatewayError, TimeoutError) as error:
        raise Unavailable("The payment gateway is not available. Try again later.", retry_after=1) from error


async def _lock(tx: Transaction, payment_id: UUID) -> PaymentRecord:
    payment = await payments.lock(tx.connection, payment_id)
    assert payment is not None, "payments are never deleted"
    return payment


async def _repair_charge(
    deps: PaymentDeps, tx: Transaction, payment: PaymentRecord, bill: Bill, known: ChargeOutcome | None
) -> list[str]:
    """Settles the payment as the gateway reports, or restarts a processing one that no worker has work for."""
    attempted = await store.has_attempt(tx.connection, payment.id)
    outcome = missing_outcome(payment, known, attempted=attempted)
    decision = decide_capture(bill)
    if outcome is None:
        if payment.status is not PaymentStatus.PROCESSING or attempted:
            return []
        await store.restart_attempt(tx.connection, payment.id)
        tx.on_commit(deps.charges_due.notify)
        return ["charge restarted: no attempt was pending"]
    if outcome.state is ChargeState.CAPTURED:
        if decision is CaptureDecision.UNDECIDED:
            return []
        if decision is CaptureDecision.KEEP:
            await store.set_bill_payment(tx.connection, payment.order_id, payment.id)
    unwanted = payment.cancelled or decision is CaptureDecision.RETURN
    if outcome.state is ChargeState.CAPTURED and payment.status is PaymentStatus.FAILED and payment.gift_card_amount:
        # Its gift cards were returned when it failed: the gateway's part alone does not pay the order.
        payment, unwanted = await store.drop_gift_card_part(tx.connection, payment), True
    await settle_from_gateway(deps, tx, replace(payment, cancelled=unwanted), outcome)
    return [f"settled as the gateway reports: {outcome.state}"]


async def _repair_refunds(
    deps: PaymentDeps, tx: Transaction, payment: PaymentRecord, bill: Bill, refunded_ids: Sequence[UUID]
) -> list[str]:
    """Brings refunds in line with the gateway and with the reserved amount, then refunds money that must not stay."""
    done = []
    for refund_id in refunded_ids:
        if await store.reopen(tx.connection, refund_id):
            await store.sync_refunding(tx.connection, payment.id)
            done.append(f"refund {refund_id} reopened: the gateway has made it")
    if await store.sync_refunding(tx.connection, payment.id):
        done.append("reserved amount set to the sum of the pending refunds")
    unwanted = payment.cancelled or decide_capture(bill) is CaptureDecision.RETURN
    if not unwanted or payment.status is PaymentStatus.FAILED:
        return done
    return done + await _reverse(deps, tx, payment)


async def _reverse(deps: PaymentDeps, tx: Transaction, payment: PaymentRecord) -> list[str]:
    """Does what a cancellation of the order does: one refund of what is neither refunded nor being refunded."""
    done = [] if payment.cancelled else ["marked as cancelled: the order does not need this payment"]
    reversal = decide_reversal(await payments.mark_cancelled(tx.connection, payment.id))
    if reversal.void:
        await payments.schedule_step(tx.connection, payment.id, ChargeStep.VOID)
        done.append("charge is being voided instead of waiting for the customer's second step")
    if reversal.refund:
        refund_id = new_id()
        await add_refund(deps, tx, payment, reversal.refund, ORDER_CANCELLED, refund_id=refund_id)
        done.append(f"refund {refund_id} of {reversal.refund} {payment.currency} started")
    return done


async def _repair_bookkeeping(deps: PaymentDeps, tx: Transaction, payment_id: UUID) -> list[str]:
    done = []
    if await store.book_missing(tx.connection, payment_id):
        done.append("missing ledger entries booked")
    if await store.make_due(tx.connection, payment_id, max_delay_seconds(deps)):
        done.append("work postponed for too long made due now")
    tx.on_commit(deps.charges_due.notify)
    tx.on_commit(deps.refunds_due.notify)
    return done


async def _republish(tx: Transaction, payment: PaymentRecord, bill: Bill) -> list[str]:
    """Publishes all past events again, unless this repair has published some.

    The failure of a payment that was followed by another payment of the order is left out: it would be misleading.
    """
    if tx.events or (payment.status is PaymentStatus.FAILED and bill.rival_status is not None):
        return []
    events = past_events(payment, await store.list_done(tx.connection, payment.id))
    tx.publish(*events)
    return [f"published again: {event.name}" for event in events]
