"""How a refund begins: the gateway's part waits for the refund worker, the parts of gift cards go back at once."""

from uuid import UUID

from infra.database.postgres import Transaction
from infra.foundation.ids import new_id, now
from infra.foundation.telemetry import get_logger
from services.payment.deps import PaymentDeps
from services.payment.domain.events import refunded_event
from services.payment.domain.gift_cards import RefundPart, require_possible, split_refund
from services.payment.domain.payments import PaymentRecord
from services.payment.store import gift_card_holds, refunds

log = get_logger("souk.payment")


async def add_refund(
    deps: PaymentDeps,
    tx: Transaction,
    payment: PaymentRecord,
    amount: int,
    reason: str | None,
    *,
    refund_id: UUID,
    whole_only: bool = False,
) -> None:
    """Stores a refund of an amount that is left of the payment, whose row the transaction has locked.

    A refund of several parts is several refunds, the first of them with `refund_id`. A part whose gift card is disabled
    or has expired becomes a failed refund: the amount stays owed. With `whole_only` such a refund raises
    `NotRefundable` instead, and nothing is stored.
    """
    parts = [RefundPart(amount)]
    if payment.gift_card_amount:
        spent = await gift_card_holds.list_spent(tx.connection, payment.id)
        reserved = payment.refunded + payment.refunding - sum(share.refunded for share in spent)
        gateway_left = payment.amount - payment.gift_card_amount - reserved
        parts = split_refund(amount, gateway_left, spent, now())
    if whole_only:
        require_possible(parts)
    for part in parts:
        payment = await _add_part(deps, tx, payment, part, reason, refund_id)
        refund_id = new_id()


async def _add_part(
    deps: PaymentDeps, tx: Transaction, payment: PaymentRecord, part: RefundPart, reason: str | None, refund_id: UUID
) -> PaymentRecord:
    """Stores one part and returns the payment after it."""
    if part.card is None:
        await refunds.add(tx.connection, refund_id, payment.id, part.amount, reason)
        tx.on_commit(deps.refunds_due.notify)
        return payment
    tx.on_commit(deps.completions.notifier(refund_id))
    if part.refusal is not None:
        code = f"gift_card_{part.refusal}"
        log.error("refund not taken by its gift card", payment_id=payment.id, refund_id=refund_id, refused=code)
        await refunds.add_refused(tx.connection, refund_id, payment.id, part.card.id, part.amount, reason, code)
        return payment
    after = await refunds.add_to_card(tx.connection, refund_id, payment, part.card.id, part.amount, reason)
    tx.publish(refunded_event(payment, refund_id, part.amount))
    return after
