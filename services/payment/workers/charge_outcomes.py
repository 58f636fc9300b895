"""Settles payments: stores what a charge's outcome makes of them, publishes it, and starts what has to follow."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from contracts.payment import PaymentStatus
from infra.database.postgres import Transaction
from infra.foundation import trace
from infra.foundation.ids import new_id
from infra.foundation.telemetry import get_logger
from services.payment.deps import PaymentDeps
from services.payment.domain.charges import ORDER_CANCELLED, ChargeOutcome, ChargeState, ChargeStep
from services.payment.domain.events import settlement_event
from services.payment.domain.payments import PaymentRecord, Settlement, settle
from services.payment.store import attempts, gift_card_holds, payments
from services.payment.workers.refund_parts import add_refund

log = get_logger("souk.payment")


async def settle_payments(
    deps: PaymentDeps,
    tx: Transaction,
    outcomes: Mapping[UUID, ChargeOutcome],
    steps: Mapping[UUID, ChargeStep],
) -> None:
    """Settles those payments that are still processing. `steps` are the steps that led to the outcomes, by payment.

    A process whose lease has expired may report a second step as required after the customer has taken it. So
    `action_required` counts only while the payment has not advanced to another step.
    """
    processing = await payments.lock_processing(tx.connection, list(outcomes))
    if acting := {
        payment.id: steps[payment.id]
        for payment in processing
        if outcomes[payment.id].state is ChargeState.ACTION_REQUIRED
    }:
        advanced = await attempts.advanced(tx.connection, acting)
        processing = [payment for payment in processing if payment.id not in advanced]
    settled = [(payment, settle(payment, outcomes[payment.id])) for payment in processing]
    final = [settlement for _, settlement in settled if settlement.follow_up is None]
    await payments.settle(tx.connection, final)
    await _settle_gift_cards(tx, settled)
    for payment, settlement in settled:
        with trace.activate(trace.parse(payment.traceparent, request_id=payment.request_id)):
            await _follow_up(deps, tx, payment, settlement)


async def settle_from_gateway(
    deps: PaymentDeps, tx: Transaction, payment: PaymentRecord, outcome: ChargeOutcome
) -> None:
    """Settles one payment by what its gateway reports, in any status. The caller has locked its row."""
    settlement = settle(payment, outcome)
    if settlement.follow_up is None:
        await payments.settle(tx.connection, [settlement])
        await _settle_gift_cards(tx, [(payment, settlement)])
    await _follow_up(deps, tx, payment, settlement)


async def _settle_gift_cards(tx: Transaction, settled: Sequence[tuple[PaymentRecord, Settlement]]) -> None:
    """Spends what captured payments hold on gift cards, and returns what failed ones hold.

    The order can still be paid otherwise and keeps the hold, unless it was cancelled.
    """
    with_cards = [(payment, settlement.status) for payment, settlement in settled if payment.gift_card_amount]
    if captured := [payment.id for payment, status in with_cards if status is PaymentStatus.CAPTURED]:
        await gift_card_holds.spend(tx.connection, captured)
    if failed := {payment.id: payment for payment, status in with_cards if status is PaymentStatus.FAILED}:
        hold_ids = await gift_card_holds.return_unspent(tx.connection, list(failed))
        if ended := [hold_id for payment_id, hold_id in hold_ids.items() if failed[payment_id].cancelled]:
            await gift_card_holds.release(tx.connection, ended)


async def _follow_up(deps: PaymentDeps, tx: Transaction, payment: PaymentRecord, settlement: Settlement) -> None:
    """Publishes the settlement and starts what has to be done next."""
    if settlement.follow_up is not None:
        await payments.schedule_step(tx.connection, payment.id, settlement.follow_up)
        tx.on_commit(deps.charges_due.notify)
        return
    if event := settlement_event(payment, settlement):
        tx.publish(event)
    if settlement.refund:
        await add_refund(deps, tx, payment, settlement.refund, ORDER_CANCELLED, refund_id=new_id())
    tx.on_commit(deps.completions.notifier(payment.id))
    log.info("payment settled", payment_id=payment.id, order_id=payment.order_id, status=settlement.status)
