"""Putting payments right, on an operator's word: what has one right answer, and that once however often it is asked.

Order is asked whether it has ended, and the gateway what it knows, outside any transaction: what they say is final.
Then everything is decided and done under the locks of the bill and the payment, in that order, as cancelling does.
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
from infra.messaging.rpc import Request
from services.payment.deps import PaymentDeps
from services.payment.domain import payments as domain
from services.payment.domain.payments import CaptureDecision, ChargeOutcome, ChargeStep, PaymentRecord
from services.payment.gateways import GatewayError
from services.payment.store import payments, refunds
from services.payment.store import repair as repairs


@dataclass(frozen=True, slots=True)
class GatewayFacts:
    """What the gateway says: of the charge, and which of the refunds that failed here it has given back."""

    charge: ChargeOutcome | None
    refunded_ids: Sequence[UUID]


async def repair(shop: PaymentDeps, ask: Request[RepairRequest]) -> RepairResult:
    """One payment after the other; a gateway that does not tell ends it, and what was done so far stays done."""
    async with shop.db.connection() as connection:
        found = {one: await payments.find(connection, one) for one in ask.body.ids}
    wanted = await _wanted(shop, {payment.order_id for payment in found.values() if payment})
    return RepairResult(
        items=[
            RepairedItem(id=one, did=await _mend(shop, ask, payment, payment.order_id in wanted) if payment else [])
            for one, payment in found.items()
        ]
    )


async def _wanted(shop: PaymentDeps, order_ids: Collection[UUID]) -> Collection[UUID]:
    """Those of the orders that are there and have not ended: an order is written before anybody can pay it."""
    if not order_ids:
        return ()
    reply = await shop.rpc.request(order.PAYABLES, PayablesRequest(order_ids=list(order_ids)))
    return {payable.order_id for payable in reply.items if payable.status is not OrderStatus.CANCELLED}


async def _mend(shop: PaymentDeps, ask: Request[RepairRequest], payment: PaymentRecord, wanted: bool) -> list[str]:  # noqa: FBT001 - of `_wanted`
    async with shop.db.connection() as connection:
        refused = await repairs.list_refused(connection, payment.id)
    known = await _ask_gateway(shop, payment, refused)
    payment_id = payment.id
    with trace.activate(trace.parse(payment.traceparent, request_id=payment.request_id)):
        async with shop.db.transaction() as tx:
            tx.audit_action(ask, payment_id)
            if not wanted:
                await payments.cancel_bill(tx.connection, payment.order_id)
            bill = await repairs.lock_bill(tx.connection, payment.order_id, payment_id)
            did = await _charge(shop, tx, await _locked(tx, payment_id), bill, known.charge)
            did += await _money_back(tx, await _locked(tx, payment_id), bill, known.refunded_ids)
            did += await _books(shop, tx, payment_id)
            if ask.body.say:
                did += await _say(tx, await _locked(tx, payment_id), bill)
            return did


async def _ask_gateway(shop: PaymentDeps, payment: PaymentRecord, refused: Sequence[UUID]) -> GatewayFacts:
    gateway = shop.gateways.by_name(payment.provider)
    try:
        async with asyncio.timeout(shop.refund_worker.timeout_seconds):
            charge = await gateway.find_charge(payment.id)
            return GatewayFacts(charge, [refund_id for refund_id in refused if await gateway.has_refunded(refund_id)])
    except (GatewayError, TimeoutError) as error:
        raise Unavailable("A gateway does not tell what it knows", retry_after=1) from error


async def _locked(tx: Transaction, payment_id: UUID) -> PaymentRecord:
    payment = await payments.lock(tx.connection, payment_id)
    assert payment is not None, "payments stay"
    return payment


async def _charge(
    shop: PaymentDeps, tx: Transaction, payment: PaymentRecord, bill: domain.Bill, known: ChargeOutcome | None
) -> list[str]:
    """The payment becomes what the gateway says; one under way that nobody works on is taken up again."""
    attempted = await repairs.has_attempt(tx.connection, payment.id)
    outcome = domain.missing_outcome(payment, known, attempted=attempted)
    claim = domain.decide_capture(bill)
    if outcome is None:
        if payment.status is not PaymentStatus.PROCESSING or attempted:
            return []
        await repairs.restart_attempt(tx.connection, payment.id)
        tx.on_commit(shop.charge_worker.worker.wake)
        return ["taken up again: nobody worked on it"]
    if outcome.state is domain.ChargeState.CAPTURED:
        if claim is CaptureDecision.UNDECIDED:
            return []
        if claim is CaptureDecision.KEEP:
            await repairs.set_bill_payment(tx.connection, payment.order_id, payment.id)
    unwanted = payment.cancelled or claim is CaptureDecision.RETURN
    await shop.charge_worker.settle_from_gateway(tx, replace(payment, cancelled=unwanted), outcome)
    return [f"settled as the gateway says: {outcome.state}"]


async def _money_back(
    tx: Transaction, payment: PaymentRecord, bill: domain.Bill, given_back: Sequence[UUID]
) -> list[str]:
    """Refunds are what the gateway says, and as much is set aside as they are; then nothing unwanted is kept."""
    did = []
    for refund_id in given_back:
        if await repairs.reopen(tx.connection, refund_id):
            await repairs.sync_refunding(tx.connection, payment.id)
            did.append(f"refund {refund_id} is under way again: the gateway has given it back")
    if await repairs.sync_refunding(tx.connection, payment.id):
        did.append("as much is set aside as is on its way back")
    unwanted = payment.cancelled or domain.decide_capture(bill) is CaptureDecision.RETURN
    if not unwanted or payment.status is PaymentStatus.FAILED:
        return did
    return did + await _reverse(tx, payment)


async def _reverse(tx: Transaction, payment: PaymentRecord) -> list[str]:
    """As if its order was cancelled now: exactly one refund of what neither went back nor is on its way."""
    did = [] if payment.cancelled else ["marked as a payment that nobody wants any more"]
    reversal = domain.decide_reversal(await payments.mark_cancelled(tx.connection, payment.id))
    if reversal.void:
        await payments.schedule_step(tx.connection, payment.id, ChargeStep.VOID)
        did.append("its second step is not waited for any more")
    if reversal.refund:
        refund_id = new_id()
        await refunds.add(tx.connection, refund_id, payment.id, reversal.refund, domain.ORDER_CANCELLED)
        did.append(f"refund {refund_id} gives back {reversal.refund} {payment.currency}")
    return did


async def _books(shop: PaymentDeps, tx: Transaction, payment_id: UUID) -> list[str]:
    did = []
    if await repairs.book_missing(tx.connection, payment_id):
        did.append("the ledger has what it had missed")
    if await repairs.make_due(tx.connection, payment_id, shop.charge_worker.max_delay_seconds):
        did.append("what was put off for too long is due now")
    tx.on_commit(shop.charge_worker.worker.wake)
    tx.on_commit(shop.refund_worker.worker.wake)
    return did


async def _say(tx: Transaction, payment: PaymentRecord, bill: domain.Bill) -> list[str]:
    """All that was said of it, unless some of it is being said now; not a failure that another payment came after."""
    if tx.events or (payment.status is PaymentStatus.FAILED and bill.rival_status is not None):
        return []
    events = domain.past_events(payment, await repairs.list_done(tx.connection, payment.id))
    tx.publish(*events)
    return [f"said again: {event.name}" for event in events]
