"""Refunds: how much can be refunded, and what the end of an order asks of its payment."""

from dataclasses import dataclass
from uuid import UUID

from contracts.money import Money
from contracts.payment import NotRefundable, PaymentStatus, RefundExceedsPayment
from services.payment.domain.payments import PaymentRecord

REFUNDABLE = frozenset({PaymentStatus.CAPTURED, PaymentStatus.PARTIALLY_REFUNDED})


@dataclass(frozen=True, slots=True)
class RefundAttempt:
    """Claimed work on a refund. `tries` includes this try."""

    id: UUID
    payment_id: UUID
    money: Money
    provider: str
    tries: int
    traceparent: str
    request_id: str


@dataclass(frozen=True, slots=True)
class Reversal:
    """What to do about a payment whose order has ended: void its charge, or refund an amount."""

    void: bool = False
    refund: int = 0


def decide_reversal(payment: PaymentRecord) -> Reversal:
    """Decides about a payment whose order was cancelled. A processing payment is reversed once it is settled."""
    if payment.status in REFUNDABLE:
        return Reversal(refund=payment.refundable)
    return Reversal(void=payment.status is PaymentStatus.REQUIRES_ACTION)


def refund_amount(payment: PaymentRecord, requested: int | None) -> int:
    """Returns the amount to refund: the requested one, or all that is left beside the refunds under way."""
    if payment.status is not PaymentStatus.REFUNDED and payment.status not in REFUNDABLE:
        raise NotRefundable
    amount = payment.refundable if requested is None else requested
    if amount > payment.refundable or amount == 0:
        raise RefundExceedsPayment(
            f"Only {payment.refundable} of {payment.amount} {payment.currency} (minor units) can still be refunded."
        )
    return amount


def total_refunded(payment: PaymentRecord, amount: int) -> tuple[int, PaymentStatus]:
    """Returns the total refunded after a refund of this amount, and the status that follows."""
    total = payment.refunded + amount
    is_full = total == payment.amount
    return total, PaymentStatus.REFUNDED if is_full else PaymentStatus.PARTIALLY_REFUNDED
