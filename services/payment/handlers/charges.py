"""Taking the money of an order: asked by its customer, or by the order itself; and a payment's second step."""

import hmac
from uuid import UUID

from contracts import headers, order
from contracts.failure import Fail, NotFound
from contracts.money import Money
from contracts.order import PayablesOf
from contracts.payment import (
    CHARGE,
    AlreadyPaid,
    Charge,
    ChargeUnder,
    Confirm,
    CreatePayment,
    NotPayable,
    Payment,
    PaymentMethodUnknown,
    PaymentStatus,
)
from infra.database.postgres import Transaction
from infra.foundation.failpoints import crash_point
from infra.foundation.ids import new_id
from infra.messaging.idempotency import Key
from infra.messaging.rpc import Answer, Ask
from services.payment.deps import Shop
from services.payment.domain import payments as domain
from services.payment.domain.payments import Step
from services.payment.gateways import Gateway
from services.payment.handlers.idempotent_payment import answer, id_for
from services.payment.store import payments


async def create(shop: Shop, ask: Ask[CreatePayment]) -> Payment | Answer[Payment]:
    """The customer pays an order of theirs; the answer waits a moment for the gateway."""
    gateway = _accepting(shop, ask.body.payment_method)
    payment_id = await id_for(shop, ask)
    with shop.outcomes.expect(payment_id) as outcome:
        if ask.key is None or not await _is_open(shop, payment_id):
            total = await _payable(shop, ask)
            async with shop.db.transaction() as tx:
                await _open(shop, tx, payment_id, ask.body, ask.who.user_id, total, gateway)
            crash_point("payment.opened")
        await outcome.wait(shop.patience)
    return await answer(shop, ask, payment_id)


async def charge(shop: Shop, ask: Ask[Charge]) -> Answer[Payment]:
    """The order asks to be paid; it hears of the outcome as an event."""
    gateway = _accepting(shop, ask.body.payment_method)
    payment_id = new_id()
    async with shop.db.transaction(ask) as tx:
        await _open(shop, tx, payment_id, ask.body, ask.body.user_id, ask.body.amount, gateway)
        payment = await payments.find(tx.connection, payment_id)
        assert payment is not None
        tx.afterwards(lambda: crash_point("payment.charge_accepted"))
        return tx.answer(payment.told())


async def charged(shop: Shop, ask: Ask[ChargeUnder]) -> Payment:
    """What the order was told under this key; how it failed, if it did."""
    body = ask.body.charge.model_dump_json(by_alias=True).encode()
    told = await shop.db.find(Key.of(CHARGE.subject, ask.client, ask.body.key, body))
    if told is None:
        raise NotFound
    if headers.ERROR in told.headers:
        raise Fail.from_body(told.body)
    return Payment.model_validate_json(told.body)


async def confirm(shop: Shop, ask: Ask[Confirm]) -> Payment | Answer[Payment]:
    """The customer has taken the second step. Who has the secret may say so again: it is captured once."""
    payment_id = ask.body.id
    with shop.outcomes.expect(payment_id) as outcome:
        async with shop.db.transaction() as tx:
            payment = await payments.lock(tx.connection, payment_id)
            if payment is None or payment.user_id != ask.who.user_id or not _proven(payment, ask.body):
                raise NotFound
            if payment.status is PaymentStatus.FAILED:
                raise NotPayable("This payment has failed.")
            if payment.status is PaymentStatus.REQUIRES_ACTION:
                await payments.go_on(tx.connection, payment_id, Step.CONFIRM)
                tx.afterwards(shop.charger.pipeline.wake)
                tx.afterwards(lambda: crash_point("payment.confirm_accepted"))
        if payment.status in (PaymentStatus.REQUIRES_ACTION, PaymentStatus.PROCESSING):
            await outcome.wait(shop.patience)
    return await answer(shop, ask, payment_id)


def _accepting(shop: Shop, method: str) -> Gateway:
    domain.refuse_card(method)
    gateway = shop.gateways.accepting(method)
    if gateway is None:
        raise PaymentMethodUnknown
    return gateway


def _proven(payment: domain.Payment, body: Confirm) -> bool:
    known, given = payment.client_secret or "", body.client_secret.get_secret_value()
    return bool(known) and hmac.compare_digest(known.encode(), given.encode())


async def _is_open(shop: Shop, payment_id: UUID) -> bool:
    async with shop.db.connection() as connection:
        return await payments.find(connection, payment_id) is not None


async def _payable(shop: Shop, ask: Ask[CreatePayment]) -> Money:
    """What the order costs, if it is the asker's and waits for its money."""
    reply = await shop.asker.ask(order.PAYABLES, PayablesOf(order_ids=[ask.body.order_id]))
    payable = next(iter(reply.items), None)
    if payable is None or payable.user_id != ask.who.user_id:
        raise NotFound
    domain.refuse_unpayable(payable.status)
    return payable.total


async def _open(
    shop: Shop,
    tx: Transaction,
    payment_id: UUID,
    asked: CreatePayment | Charge,
    user_id: UUID | None,
    money: Money,
    gateway: Gateway,
) -> None:
    """The payment under way, once, whoever else wants to pay the same order at the same moment."""
    opened = await payments.open_payment(
        tx.connection,
        payment_id,
        asked.order_id,
        user_id,
        money,
        gateway.name,
        method=asked.payment_method,
        anew=True,
    )
    if opened:
        tx.afterwards(shop.charger.pipeline.wake)
        return
    known, cancelled = await payments.billed(tx.connection, asked.order_id)
    if cancelled:
        raise NotPayable
    if known != payment_id:
        raise AlreadyPaid
