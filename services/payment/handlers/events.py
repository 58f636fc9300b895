"""Handlers of order events. They may arrive twice, late and out of order; the row of the bill makes them converge."""

from collections.abc import Sequence
from uuid import UUID

from contracts.failure import NotFound
from contracts.order import OrderCancelled, OrderClaimed, OrderPlaced, OrderUnitsCancelled
from infra.database.postgres import Transaction
from infra.foundation import trace
from infra.foundation.ids import new_id
from services.payment.deps import PaymentDeps
from services.payment.domain.charges import ORDER_CANCELLED, UNITS_CANCELLED, ChargeStep
from services.payment.domain.payments import NewPayment, provider_of
from services.payment.domain.refunds import decide_reversal
from services.payment.store import gift_card_holds, payments, refunds
from services.payment.workers.refund_parts import add_refund


async def order_placed(deps: PaymentDeps, tx: Transaction, event: OrderPlaced) -> None:
    """Charges the order, unless it already has a payment or is known to be cancelled."""
    if not event.charge:
        return
    current = trace.current()
    payment = NewPayment(
        new_id(),
        event.order_id,
        event.user_id,
        event.total,
        provider_of(event.total, event.gift_cards, deps.gateways.default_name),
        current.traceparent,
        current.request_id,
        event.gift_cards,
    )
    tx.collect(_open_first, payment)
    tx.on_commit(deps.charges_due.notify)


async def _open_first(tx: Transaction, placed: Sequence[NewPayment]) -> None:
    await payments.open_first(tx.connection, placed)
    hold_ids = {payment.id: payment.gift_cards.hold_id for payment in placed if payment.gift_cards is not None}
    if hold_ids:
        await gift_card_holds.bind(tx.connection, hold_ids)


async def order_cancelled(deps: PaymentDeps, tx: Transaction, event: OrderCancelled) -> None:
    """Stops further charges and returns what was captured. A processing payment is reversed once it is settled."""
    await tx.flush()  # the order may have been placed in the same batch
    payment_id = await payments.cancel_bill(tx.connection, event.order_id)
    if payment_id is not None:
        await _reverse(deps, tx, payment_id)
    if event.gift_cards is not None:  # what a payment has spent or will spend stays
        await gift_card_holds.release(tx.connection, [event.gift_cards.hold_id])


async def _reverse(deps: PaymentDeps, tx: Transaction, payment_id: UUID) -> None:
    payment = await payments.mark_cancelled(tx.connection, payment_id)
    reversal = decide_reversal(payment)
    if reversal.void:
        await payments.schedule_step(tx.connection, payment_id, ChargeStep.VOID)
        tx.on_commit(deps.charges_due.notify)
    if reversal.refund:
        await add_refund(deps, tx, payment, reversal.refund, ORDER_CANCELLED, refund_id=new_id())


async def order_units_cancelled(deps: PaymentDeps, tx: Transaction, event: OrderUnitsCancelled) -> None:
    """Refunds what was paid for the units, once: the refund has the id of the cancellation.

    What an administrator has refunded before is not refunded again.
    """
    payment = await payments.lock(tx.connection, event.payment_id)
    if payment is None:
        raise NotFound(f"There is no payment {event.payment_id}.")
    amount = min(event.amount.amount, decide_reversal(payment).refund)
    if amount and not await refunds.exists(tx.connection, event.cancellation_id):
        await add_refund(deps, tx, payment, amount, UNITS_CANCELLED, refund_id=event.cancellation_id)


async def order_claimed(_deps: PaymentDeps, tx: Transaction, event: OrderClaimed) -> None:
    """Makes the payments of a guest's order those of the customer who has claimed it."""
    await tx.flush()  # the guest's order may have been placed in this batch
    await payments.change_owner(tx.connection, event.order_id, event.user_id)
