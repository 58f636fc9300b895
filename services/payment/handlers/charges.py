"""Taking the money of an order: asked by its customer, or by the order itself; and a payment's second step."""

import hmac
from uuid import UUID

from contracts import headers, order
from contracts.failure import Fail, NotFound
from contracts.money import Money
from contracts.order import PayablesRequest
from contracts.payment import (
    CHARGE,
    AlreadyPaid,
    ChargeLookup,
    ChargeOrder,
    ConfirmPayment,
    CreatePayment,
    NotPayable,
    Payment,
    PaymentMethodUnknown,
    PaymentStatus,
)
from infra.database.postgres import Transaction
from infra.foundation.failpoints import failpoint
from infra.foundation.ids import new_id
from infra.messaging.idempotency import IdempotencyKey
from infra.messaging.rpc import Reply, Request
from services.payment.deps import PaymentDeps
from services.payment.domain import payments as domain
from services.payment.domain.payments import ChargeStep
from services.payment.gateways import PaymentGateway
from services.payment.handlers.idempotent_payment import reply_with_payment, reserve_id
from services.payment.store import payments


async def create(shop: PaymentDeps, ask: Request[CreatePayment]) -> Payment | Reply[Payment]:
    """The customer pays an order of theirs; the answer waits a moment for the gateway."""
    gateway = _accepting(shop, ask.body.payment_method)
    payment_id = await reserve_id(shop, ask)
    with shop.completions.expect(payment_id) as outcome:
        if ask.idempotency_key is None or not await _is_open(shop, payment_id):
            total = await _payable(shop, ask)
            async with shop.db.transaction() as tx:
                await _open(shop, tx, payment_id, ask.body, ask.user.user_id, total, gateway)
            failpoint("payment.opened")
        await outcome.wait(shop.wait_seconds)
    return await reply_with_payment(shop, ask, payment_id)


async def charge(shop: PaymentDeps, ask: Request[ChargeOrder]) -> Reply[Payment]:
    """The order asks to be paid; it hears of the outcome as an event."""
    gateway = _accepting(shop, ask.body.payment_method)
    payment_id = new_id()
    async with shop.db.transaction(ask) as tx:
        await _open(shop, tx, payment_id, ask.body, ask.body.user_id, ask.body.amount, gateway)
        payment = await payments.find(tx.connection, payment_id)
        assert payment is not None
        tx.on_commit(lambda: failpoint("payment.charge_accepted"))
        return tx.reply(payment.to_contract())


async def charged(shop: PaymentDeps, ask: Request[ChargeLookup]) -> Payment:
    """What the order was told under this key; how it failed, if it did."""
    body = ask.body.charge.model_dump_json(by_alias=True).encode()
    told = await shop.db.find_reply(IdempotencyKey.derive(CHARGE.subject, ask.client_ip, ask.body.key, body))
    if told is None:
        raise NotFound
    if headers.ERROR in told.headers:
        raise Fail.from_json(told.body)
    return Payment.model_validate_json(told.body)


async def confirm(shop: PaymentDeps, ask: Request[ConfirmPayment]) -> Payment | Reply[Payment]:
    """The customer has taken the second step. Who has the secret may say so again: it is captured once."""
    payment_id = ask.body.id
    with shop.completions.expect(payment_id) as outcome:
        async with shop.db.transaction() as tx:
            payment = await payments.lock(tx.connection, payment_id)
            if payment is None or payment.user_id != ask.user.user_id or not _proven(payment, ask.body):
                raise NotFound
            if payment.status is PaymentStatus.FAILED:
                raise NotPayable("This payment has failed.")
            if payment.status is PaymentStatus.REQUIRES_ACTION:
                await payments.schedule_step(tx.connection, payment_id, ChargeStep.CONFIRM)
                tx.on_commit(shop.charge_worker.worker.wake)
                tx.on_commit(lambda: failpoint("payment.confirm_accepted"))
        if payment.status in (PaymentStatus.REQUIRES_ACTION, PaymentStatus.PROCESSING):
            await outcome.wait(shop.wait_seconds)
    return await reply_with_payment(shop, ask, payment_id)


def _accepting(shop: PaymentDeps, method: str) -> PaymentGateway:
    domain.reject_card_number(method)
    gateway = shop.gateways.for_method(method)
    if gateway is None:
        raise PaymentMethodUnknown
    return gateway


def _proven(payment: domain.PaymentRecord, body: ConfirmPayment) -> bool:
    known, given = payment.client_secret or "", body.client_secret.get_secret_value()
    return bool(known) and hmac.compare_digest(known.encode(), given.encode())


async def _is_open(shop: PaymentDeps, payment_id: UUID) -> bool:
    async with shop.db.connection() as connection:
        return await payments.find(connection, payment_id) is not None


async def _payable(shop: PaymentDeps, ask: Request[CreatePayment]) -> Money:
    """What the order costs, if it is the asker's and waits for its money."""
    reply = await shop.rpc.request(order.PAYABLES, PayablesRequest(order_ids=[ask.body.order_id]))
    payable = next(iter(reply.items), None)
    if payable is None or payable.user_id != ask.user.user_id:
        raise NotFound
    domain.require_payable(payable.status)
    return payable.total


async def _open(
    shop: PaymentDeps,
    tx: Transaction,
    payment_id: UUID,
    asked: CreatePayment | ChargeOrder,
    user_id: UUID | None,
    money: Money,
    gateway: PaymentGateway,
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
        replace_failed=True,
    )
    if opened:
        tx.on_commit(shop.charge_worker.worker.wake)
        return
    known, cancelled = await payments.find_bill(tx.connection, asked.order_id)
    if cancelled:
        raise NotPayable
    if known != payment_id:
        raise AlreadyPaid
