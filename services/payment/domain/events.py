"""The events of a payment, built from the payment itself."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from contracts.event import Event
from contracts.payment import (
    PaymentActionRequired,
    PaymentCaptured,
    PaymentFailed,
    PaymentRefunded,
    PaymentStatus,
)
from services.payment.domain.charges import GATEWAY_TIMEOUT
from services.payment.domain.payments import PaymentRecord, Settlement
from services.payment.domain.refunds import REFUNDABLE, total_refunded

_CAPTURED = frozenset({*REFUNDABLE, PaymentStatus.REFUNDED, PaymentStatus.DISPUTED})


def settlement_event(payment: PaymentRecord, settlement: Settlement) -> Event | None:
    """Returns the event of a settlement; None while the payment is still processing."""
    common_fields: dict[str, Any] = {
        "payment_id": payment.id,
        "order_id": payment.order_id,
        "amount": payment.money(payment.amount),
    }
    if settlement.status is PaymentStatus.CAPTURED:
        return PaymentCaptured(**common_fields)
    if settlement.status is PaymentStatus.REQUIRES_ACTION:
        return PaymentActionRequired(**common_fields)
    if settlement.status is PaymentStatus.FAILED:
        return PaymentFailed(**common_fields, failure_code=settlement.failure_code or GATEWAY_TIMEOUT)
    return None


def refunded_event(payment: PaymentRecord, refund_id: UUID, amount: int) -> PaymentRefunded:
    """Returns the event of a refund; `payment` is the payment before it."""
    total, status = total_refunded(payment, amount)
    return PaymentRefunded(
        payment_id=payment.id,
        order_id=payment.order_id,
        amount=payment.money(amount),
        refund_id=refund_id,
        refunded=payment.money(total),
        full=status is PaymentStatus.REFUNDED,
    )


def past_events(payment: PaymentRecord, done_refunds: Sequence[tuple[UUID, int]]) -> list[Event]:
    """Returns all events of a payment so far. `done_refunds` are its refunds (id, amount), the first one first."""
    if payment.status is PaymentStatus.PROCESSING:
        return []
    status = PaymentStatus.CAPTURED if payment.status in _CAPTURED else payment.status
    first = settlement_event(payment, Settlement(payment.id, status, payment.failure_code))
    events = [first] if first else []
    before = replace(payment, refunded=0)
    for refund_id, amount in done_refunds:
        events.append(refunded_event(before, refund_id, amount))
        before = replace(before, refunded=before.refunded + amount)
    return events
