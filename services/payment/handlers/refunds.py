"""Refunding a payment, for administrators."""

from contracts.failure import NotFound
from contracts.payment import Payment, RefundPayment
from infra.foundation.failpoints import failpoint
from infra.messaging.rpc_client import Reply, Request
from services.payment.deps import PaymentDeps
from services.payment.domain.payments import reject_card_number
from services.payment.domain.refunds import refund_amount
from services.payment.handlers.idempotent_payment import reply_with_payment, reserve_id
from services.payment.store import payments, refunds
from services.payment.workers.refund_parts import add_refund


async def refund(deps: PaymentDeps, request: Request[RefundPayment]) -> Payment | Reply[Payment]:
    """Reserves the amount under the payment's lock, then waits a moment for the gateway."""
    body = request.body
    reject_card_number(body.reason)
    refund_id = await reserve_id(deps, request)
    with deps.completions.expect(refund_id) as completion:
        async with deps.db.transaction() as tx:
            payment = await payments.lock(tx.connection, body.id)
            if payment is None:
                raise NotFound
            if request.idempotency_key is None or not await refunds.exists(tx.connection, refund_id):
                amount = refund_amount(payment, body.amount)
                await add_refund(deps, tx, payment, amount, body.reason, refund_id=refund_id, whole_only=True)
                tx.audit_action(request)
                tx.audit_changes(before={"status": payment.status}, after={"refund": refund_id, "amount": amount})
                tx.on_commit(lambda: failpoint("payment.refund_reserved"))
        await completion.wait(deps.wait_seconds)
    return await reply_with_payment(deps, request, body.id)
