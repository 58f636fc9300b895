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
from contracts.order import OrderStatus, PayablesOf
from contracts.payment import PaymentStatus
from contracts.repair import Mended, Repair, Repaired
from infra.database.postgres import Transaction
from infra.foundation import trace
from infra.foundation.ids import new_id
from infra.messaging.rpc import Ask
from services.payment.deps import Shop
from services.payment.domain import payments as domain
from services.payment.domain.payments import Claim, Outcome, Payment, Step
from services.payment.gateways import GatewayError
from services.payment.store import payments, refunds
from services.payment.store import repair as repairs


@dataclass(frozen=True, slots=True)
class Known:
    """What the gateway says: of the charge, and which of the refunds that failed here it has given back."""

    charge: Outcome | None
    given_back: Sequence[UUID]


async def repair(shop: Shop, ask: Ask[Repair]) -> Repaired:
    """One payment after the other; a gateway that does not tell ends it, and what was done so far stays done."""
    async with shop.db.connection() as connection:
        found = {one: await payments.find(connection, one) for one in ask.body.ids}
    wanted = await _wanted(shop, {payment.order_id for payment in found.values() if payment})
    return Repaired(
        items=[
            Mended(id=one, did=await _mend(shop, ask, payment, payment.order_id in wanted) if payment else [])
            for one, payment in found.items()
        ]
    )


async def _wanted(shop: Shop, order_ids: Collection[UUID]) -> Collection[UUID]:
    """Those of the orders that are there and have not ended: an order is written before anybody can pay it."""
    if not order_ids:
        return ()
    reply = await shop.asker.ask(order.PAYABLES, PayablesOf(order_ids=list(order_ids)))
    return {payable.order_id for payable in reply.items if payable.status is not OrderStatus.CANCELLED}


async def _mend(shop: Shop, ask: Ask[Repair], payment: Payment, wanted: bool) -> list[str]:  # noqa: FBT001 - of `_wanted`
    async with shop.db.connection() as connection:
        refused = await repairs.refused(connection, payment.id)
    known = await _ask_gateway(shop, payment, refused)
    payment_id = payment.id
    with trace.within(trace.parse(payment.traceparent, request_id=payment.request_id)):
        async with shop.db.transaction() as tx:
            tx.does(ask, payment_id)
            if not wanted:
                await payments.cancel_bill(tx.connection, payment.order_id)
            bill = await repairs.bill(tx.connection, payment.order_id, payment_id)
            did = await _charge(shop, tx, await _locked(tx, payment_id), bill, known.charge)
            did += await _money_back(tx, await _locked(tx, payment_id), bill, known.given_back)
            did += await _books(shop, tx, payment_id)
            if ask.body.say:
                did += await _say(tx, await _locked(tx, payment_id), bill)
            return did


async def _ask_gateway(shop: Shop, payment: Payment, refused: Sequence[UUID]) -> Known:
    gateway = shop.gateways.named(payment.provider)
    try:
        async with asyncio.timeout(shop.refunder.patience):
            charge = await gateway.find(payment.id)
            return Known(charge, [refund_id for refund_id in refused if await gateway.refunded(refund_id)])
    except (GatewayError, TimeoutError) as error:
        raise Unavailable("A gateway does not tell what it knows", retry_after=1) from error


async def _locked(tx: Transaction, payment_id: UUID) -> Payment:
    payment = await payments.lock(tx.connection, payment_id)
    assert payment is not None, "payments stay"
    return payment


async def _charge(shop: Shop, tx: Transaction, payment: Payment, bill: domain.Bill, known: Outcome | None) -> list[str]:
    """The payment becomes what the gateway says; one under way that nobody works on is taken up again."""
    attempted = await repairs.is_attempted(tx.connection, payment.id)
    outcome = domain.missed(payment, known, attempted=attempted)
    claim = domain.claim(bill)
    if outcome is None:
        if payment.status is not PaymentStatus.PROCESSING or attempted:
            return []
        await repairs.try_anew(tx.connection, payment.id)
        tx.afterwards(shop.charger.pipeline.wake)
        return ["taken up again: nobody worked on it"]
    if outcome.state is domain.State.CAPTURED:
        if claim is Claim.UNDECIDED:
            return []
        if claim is Claim.WANTED:
            await repairs.name(tx.connection, payment.order_id, payment.id)
    unwanted = payment.cancelled or claim is Claim.UNWANTED
    await shop.charger.overrule(tx, replace(payment, cancelled=unwanted), outcome)
    return [f"settled as the gateway says: {outcome.state}"]


async def _money_back(tx: Transaction, payment: Payment, bill: domain.Bill, given_back: Sequence[UUID]) -> list[str]:
    """Refunds are what the gateway says, and as much is set aside as they are; then nothing unwanted is kept."""
    did = []
    for refund_id in given_back:
        if await repairs.reopen(tx.connection, refund_id):
            await repairs.set_aside(tx.connection, payment.id)
            did.append(f"refund {refund_id} is under way again: the gateway has given it back")
    if await repairs.set_aside(tx.connection, payment.id):
        did.append("as much is set aside as is on its way back")
    unwanted = payment.cancelled or domain.claim(bill) is Claim.UNWANTED
    if not unwanted or payment.status is PaymentStatus.FAILED:
        return did
    return did + await _reverse(tx, payment)


async def _reverse(tx: Transaction, payment: Payment) -> list[str]:
    """As if its order was cancelled now: exactly one refund of what neither went back nor is on its way."""
    did = [] if payment.cancelled else ["marked as a payment that nobody wants any more"]
    reversal = domain.reversal(await payments.cancel(tx.connection, payment.id))
    if reversal.void:
        await payments.go_on(tx.connection, payment.id, Step.VOID)
        did.append("its second step is not waited for any more")
    if reversal.refund:
        refund_id = new_id()
        await refunds.add(tx.connection, refund_id, payment.id, reversal.refund, domain.ORDER_CANCELLED)
        did.append(f"refund {refund_id} gives back {reversal.refund} {payment.currency}")
    return did


async def _books(shop: Shop, tx: Transaction, payment_id: UUID) -> list[str]:
    did = []
    if await repairs.book(tx.connection, payment_id):
        did.append("the ledger has what it had missed")
    if await repairs.hurry(tx.connection, payment_id, shop.charger.longest):
        did.append("what was put off for too long is due now")
    tx.afterwards(shop.charger.pipeline.wake)
    tx.afterwards(shop.refunder.pipeline.wake)
    return did


async def _say(tx: Transaction, payment: Payment, bill: domain.Bill) -> list[str]:
    """All that was said of it, unless some of it is being said now; not a failure that another payment came after."""
    if tx.events or (payment.status is PaymentStatus.FAILED and bill.rival is not None):
        return []
    events = domain.events_so_far(payment, await repairs.given_back(tx.connection, payment.id))
    tx.say(*events)
    return [f"said again: {event.name}" for event in events]
