"""Handlers of order events. They may arrive twice, late and out of order; the row of the bill makes them converge."""

from contracts.order import OrderCancelled, OrderPlaced
from infra.database.postgres import Transaction
from infra.foundation.ids import new_id
from services.payment.deps import PaymentDeps
from services.payment.domain.charges import ORDER_CANCELLED, ChargeStep
from services.payment.domain.refunds import decide_reversal
from services.payment.store import payments, refunds


async def order_placed(deps: PaymentDeps, tx: Transaction, event: OrderPlaced) -> None:
    """Charges the order, unless it already has a payment or is known to be cancelled."""
    if not event.charge:
        return
    opened = await payments.open_payment(
        tx.connection,
        new_id(),
        event.order_id,
        event.user_id,
        event.total,
        deps.gateways.default_name,
        method=None,
        replace_failed=False,
    )
    if opened:
        tx.on_commit(deps.charges_due.notify)


async def order_cancelled(deps: PaymentDeps, tx: Transaction, event: OrderCancelled) -> None:
    """Stops further charges and returns what was captured. A processing payment is reversed once it is settled."""
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
