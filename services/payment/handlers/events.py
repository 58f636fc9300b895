"""What payment does about orders. Events come twice, late and out of order; the bill's row makes them converge."""

from contracts.order import OrderCancelled, OrderPlaced
from infra.database.postgres import Transaction
from infra.foundation.ids import new_id
from services.payment.deps import PaymentDeps
from services.payment.domain import payments as domain
from services.payment.domain.payments import ChargeStep
from services.payment.store import payments, refunds


async def order_placed(shop: PaymentDeps, tx: Transaction, event: OrderPlaced) -> None:
    """Charges the order, unless it has a payment already or is known to be cancelled."""
    if not event.charge:
        return
    opened = await payments.open_payment(
        tx.connection,
        new_id(),
        event.order_id,
        event.user_id,
        event.total,
        shop.gateways.default_name,
        method=None,
        replace_failed=False,
    )
    if opened:
        tx.on_commit(shop.charge_worker.worker.wake)


async def order_cancelled(shop: PaymentDeps, tx: Transaction, event: OrderCancelled) -> None:
    """Charges nobody from now on, and gives back what was taken. What is under way is reversed once it is settled."""
    payment_id = await payments.cancel_bill(tx.connection, event.order_id)
    if payment_id is None:
        return
    payment = await payments.mark_cancelled(tx.connection, payment_id)
    reversal = domain.decide_reversal(payment)
    if reversal.void:
        await payments.schedule_step(tx.connection, payment_id, ChargeStep.VOID)
        tx.on_commit(shop.charge_worker.worker.wake)
    if reversal.refund:
        await refunds.add(tx.connection, new_id(), payment_id, reversal.refund, domain.ORDER_CANCELLED)
        tx.on_commit(shop.refund_worker.worker.wake)
