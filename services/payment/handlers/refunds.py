"""Sending money back, on an administrator's word."""

from contracts.failure import NotFound
from contracts.payment import Payment, RefundPayment
from infra.foundation.failpoints import failpoint
from infra.messaging.rpc import Reply, Request
from services.payment.deps import PaymentDeps
from services.payment.domain import payments as domain
from services.payment.handlers.idempotent_payment import reply_with_payment, reserve_id
from services.payment.store import payments, refunds


async def refund(shop: PaymentDeps, ask: Request[RefundPayment]) -> Payment | Reply[Payment]:
    """Sets the money aside under the payment's lock, then waits a moment for the gateway."""
    body = ask.body
    domain.reject_card_number(body.reason)
    refund_id = await reserve_id(shop, ask)
    with shop.completions.expect(refund_id) as outcome:
        async with shop.db.transaction() as tx:
            payment = await payments.lock(tx.connection, body.id)
            if payment is None:
                raise NotFound
            if ask.idempotency_key is None or not await refunds.exists(tx.connection, refund_id):
                amount = domain.refund_amount(payment, body.amount)
                await refunds.add(tx.connection, refund_id, body.id, amount, body.reason)
                tx.audit_action(ask)
                tx.audit_changes(before={"status": payment.status}, after={"refund": refund_id, "amount": amount})
                tx.on_commit(shop.refund_worker.worker.wake)
                tx.on_commit(lambda: failpoint("payment.refund_set_aside"))
        await outcome.wait(shop.wait_seconds)
    return await reply_with_payment(shop, ask, body.id)
