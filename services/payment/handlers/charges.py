"""Charging an order, requested by its customer or by the order service, and confirming a payment's second step."""

import hmac
from uuid import UUID

from contracts import headers
from contracts.failure import Fail, NotFound
from contracts.money import Money
from contracts.order import Payable
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
from infra.foundation import trace
from infra.foundation.failpoints import failpoint
from infra.foundation.ids import new_id
from infra.messaging.idempotency import IdempotencyKey
from infra.messaging.rpc_client import Reply, Request
from services.payment.deps import PaymentDeps
from services.payment.domain.charges import ChargeStep
from services.payment.domain.payments import (
    NewPayment,
    PaymentRecord,
    provider_of,
    reject_card_number,
    require_payable,
)
from services.payment.gateways import PaymentGateway
from services.payment.handlers.idempotent_payment import reply_with_payment, reserve_id
from services.payment.handlers.order_access import find_payable, is_own, opens_payment
from services.payment.store import gift_card_holds, payments


async def create(deps: PaymentDeps, request: Request[CreatePayment]) -> Payment | Reply[Payment]:
    """Charges the caller's own order, and waits a moment for the gateway."""
    gateway = _gateway_for(deps, request.body.payment_method)
    payment_id = await reserve_id(deps, request)
    with deps.completions.expect(payment_id) as completion:
        if request.idempotency_key is None or not await _is_open(deps, payment_id):
            payable = await _require_payable(deps, request)
            async with deps.db.transaction() as tx:
                await _open(deps, tx, _new_payment(payment_id, payable, payable.total, gateway), request.body)
            failpoint("payment.opened")
        await completion.wait(deps.wait_seconds)
    return await reply_with_payment(deps, request, payment_id)


async def charge(deps: PaymentDeps, request: Request[ChargeOrder]) -> Reply[Payment]:
    """Charges an order at the request of the order service, which learns the outcome from the events."""
    gateway = _gateway_for(deps, request.body.payment_method)
    payment_id = new_id()
    async with deps.db.transaction(request) as tx:
        await _open(deps, tx, _new_payment(payment_id, request.body, request.body.amount, gateway), request.body)
        payment = await payments.find(tx.connection, payment_id)
        assert payment is not None, "it was opened in this transaction"
        tx.on_commit(lambda: failpoint("payment.charge_accepted"))
        return tx.reply(payment.to_contract())


async def charged(deps: PaymentDeps, request: Request[ChargeLookup]) -> Payment:
    """Returns the stored reply to an earlier `charge` request with this key, or raises its failure."""
    body = request.body.charge.model_dump_json(by_alias=True, exclude_defaults=True).encode()  # as it was sent
    stored = await deps.db.find_reply(IdempotencyKey.derive(CHARGE.subject, request.client_ip, request.body.key, body))
    if stored is None:
        raise NotFound
    if headers.ERROR in stored.headers:
        raise Fail.from_json(stored.body)
    return Payment.model_validate_json(stored.body)


async def confirm(deps: PaymentDeps, request: Request[ConfirmPayment]) -> Payment | Reply[Payment]:
    """Continues after the customer's second step, and waits a moment for the gateway. Repeating it is harmless."""
    payment_id = request.body.id
    opened = await opens_payment(deps, request, payment_id)
    with deps.completions.expect(payment_id) as completion:
        async with deps.db.transaction() as tx:
            payment = await payments.lock(tx.connection, payment_id)
            if payment is None or not (opened or is_own(payment, request.identity)):
                raise NotFound
            if not _has_secret(payment, request.body):
                raise NotFound
            if payment.status is PaymentStatus.FAILED:
                raise NotPayable("This payment has failed. Pay the order again.")
            if payment.status is PaymentStatus.REQUIRES_ACTION:
                await payments.schedule_step(tx.connection, payment_id, ChargeStep.CONFIRM)
                tx.on_commit(deps.charges_due.notify)
                tx.on_commit(lambda: failpoint("payment.confirm_accepted"))
        if payment.status in (PaymentStatus.REQUIRES_ACTION, PaymentStatus.PROCESSING):
            await completion.wait(deps.wait_seconds)
    return await reply_with_payment(deps, request, payment_id)


def _gateway_for(deps: PaymentDeps, method: str) -> PaymentGateway:
    reject_card_number(method)
    gateway = deps.gateways.for_method(method)
    if gateway is None:
        raise PaymentMethodUnknown
    return gateway


def _has_secret(payment: PaymentRecord, body: ConfirmPayment) -> bool:
    expected, given = payment.client_secret or "", body.client_secret.get_secret_value()
    return bool(expected) and hmac.compare_digest(expected.encode(), given.encode())


async def _is_open(deps: PaymentDeps, payment_id: UUID) -> bool:
    async with deps.db.connection() as connection:
        return await payments.find(connection, payment_id) is not None


async def _require_payable(deps: PaymentDeps, request: Request[CreatePayment]) -> Payable:
    """What is to be charged for the order, if it is the caller's own and waits for its payment."""
    payable = await find_payable(deps, request.body.order_id, request.order_token)
    user_id = request.identity.user_id if request.identity is not None else None
    if payable is None or not (payable.open_to_token or (user_id is not None and payable.user_id == user_id)):
        raise NotFound
    require_payable(payable.status)
    return payable


def _new_payment(payment_id: UUID, order: Payable | ChargeOrder, total: Money, gateway: PaymentGateway) -> NewPayment:
    current = trace.current()
    return NewPayment(
        payment_id,
        order.order_id,
        order.user_id,
        total,
        provider_of(total, order.gift_cards, gateway.name),
        current.traceparent,
        current.request_id,
        order.gift_cards,
    )


async def _open(deps: PaymentDeps, tx: Transaction, payment: NewPayment, body: CreatePayment | ChargeOrder) -> None:
    """Opens the payment, once. Raises when the order is cancelled or another payment of it exists."""
    if await payments.open_payment(tx.connection, payment, body.payment_method):
        if payment.gift_cards is not None:
            await gift_card_holds.bind(tx.connection, {payment.id: payment.gift_cards.hold_id})
        tx.on_commit(deps.charges_due.notify)
        return
    billed_payment_id, cancelled = await payments.find_bill(tx.connection, body.order_id)
    if cancelled:
        raise NotPayable
    if billed_payment_id != payment.id:
        raise AlreadyPaid
