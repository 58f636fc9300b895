"""Sending money back, on an administrator's word."""

from contracts.failure import NotFound
from contracts.payment import Payment, Refund
from infra.foundation.failpoints import crash_point
from infra.messaging.rpc import Answer, Ask
from services.payment.deps import Shop
from services.payment.domain import payments as domain
from services.payment.handlers.idempotent_payment import answer, id_for
from services.payment.store import payments, refunds


async def refund(shop: Shop, ask: Ask[Refund]) -> Payment | Answer[Payment]:
    """Sets the money aside under the payment's lock, then waits a moment for the gateway."""
    body = ask.body
    domain.refuse_card(body.reason)
    refund_id = await id_for(shop, ask)
    with shop.outcomes.expect(refund_id) as outcome:
        async with shop.db.transaction() as tx:
            payment = await payments.lock(tx.connection, body.id)
            if payment is None:
                raise NotFound
            if ask.key is None or not await refunds.exists(tx.connection, refund_id):
                amount = domain.refund_amount(payment, body.amount)
                await refunds.add(tx.connection, refund_id, body.id, amount, body.reason)
                tx.does(ask)
                tx.detail(before={"status": payment.status}, after={"refund": refund_id, "amount": amount})
                tx.afterwards(shop.refunder.pipeline.wake)
                tx.afterwards(lambda: crash_point("payment.refund_set_aside"))
        await outcome.wait(shop.patience)
    return await answer(shop, ask, body.id)
