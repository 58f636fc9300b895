"""Handlers of order events. They may arrive twice, late and out of order; the row of the bill makes them converge."""

from collections.abc import Sequence

from contracts.order import OrderCancelled, OrderPlaced
from infra.database.postgres import Transaction
from infra.foundation import trace
from infra.foundation.ids import new_id
from services.payment.deps import PaymentDeps
from services.payment.domain.charges import ORDER_CANCELLED, ChargeStep
from services.payment.domain.payments import NewPayment
from services.payment.domain.refunds import decide_reversal
from services.payment.store import payments, refunds


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
        deps.gateways.default_name,
        current.traceparent,
        current.request_id,
    )
    tx.collect(_open_first, payment)
    tx.on_commit(deps.charges_due.notify)


async def _open_first(tx: Transaction, placed: Sequence[NewPayment]) -> None:
    await payments.open_first(tx.connection, placed)


async def order_cancelled(deps: PaymentDeps, tx: Transaction, event: OrderCancelled) -> None:
    """Stops further charges and returns what was captured. A processing payment is reversed once it is settled."""
    await tx.flush()  # the order may have been placed in the same batch
    payment_id = await payments.cancel_bill(tx.connection, event.order_id)
    if payment_id is None:
        return
    payment = await payments.mark_cancelled(tx.connection, payment_id)
    reversal = decide_reversal(payment)
    if reversal.void:
        await payments.schedule_step(tx.connection, payment_id, ChargeStep.VOID)
        tx.on_commit(deps.charges_due.notify)
    if reversal.refund:
        await refunds.add(tx.connection, new_id(), payment_id, reversal.refund, ORDER_CANCELLED)
        tx.on_commit(deps.refunds_due.notify)
