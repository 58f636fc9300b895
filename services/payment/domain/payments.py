"""What becomes of a payment: pure decisions on values, no I/O and no clock."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum, StrEnum, auto
from typing import Any
from uuid import UUID

from contracts import payment as contract
from contracts.card_numbers import contains_card_number
from contracts.event import Event
from contracts.money import Money
from contracts.order import OrderStatus
from contracts.payment import (
    AlreadyPaid,
    CardNumberRefused,
    NotPayable,
    NotRefundable,
    PaymentActionRequired,
    PaymentCaptured,
    PaymentFailed,
    PaymentRefunded,
    PaymentStatus,
    RefundExceedsPayment,
)

ORDER_CANCELLED = "order_cancelled"
GATEWAY_TIMEOUT = "gateway_timeout"
METHOD_UNKNOWN = "payment_method_unknown"
METHOD_MISSING = "payment_method_missing"

REFUNDABLE = frozenset({PaymentStatus.CAPTURED, PaymentStatus.PARTIALLY_REFUNDED})
FIRST_DELAY_SECONDS, MAX_DELAY_SECONDS = 0.25, 30.0


class ChargeStep(StrEnum):
    """What is to be asked of the gateway."""

    CHARGE = "charge"
    CONFIRM = "confirm"
    VOID = "void"


class ChargeState(StrEnum):
    """What the gateway says of a charge, for good but for the second step that it may want."""

    CAPTURED = "captured"
    DECLINED = "declined"
    ACTION_REQUIRED = "action_required"
    VOIDED = "voided"


@dataclass(frozen=True, slots=True)
class ChargeOutcome:
    """The gateway's answer on a charge."""

    state: ChargeState
    failure_code: str | None = None
    client_secret: str | None = None


@dataclass(frozen=True, slots=True)
class PaymentRecord:
    """A payment as it is kept. Amounts are in minor units of `currency`; `refunding` is on its way back."""

    id: UUID
    order_id: UUID
    user_id: UUID | None
    amount: int
    currency: str
    refunded: int
    refunding: int
    status: PaymentStatus
    provider: str
    failure_code: str | None
    client_secret: str | None
    cancelled: bool
    traceparent: str
    request_id: str
    created_at: datetime

    @property
    def refundable(self) -> int:
        """What could still be refunded."""
        return self.amount - self.refunded - self.refunding

    def money(self, amount: int) -> Money:
        return Money(amount=amount, currency=self.currency)

    def to_contract(self) -> contract.Payment:
        """The payment as its owner sees it."""
        acting = self.status is PaymentStatus.REQUIRES_ACTION
        return contract.Payment(
            id=self.id,
            order_id=self.order_id,
            amount=self.money(self.amount),
            refunded=self.money(self.refunded),
            status=self.status,
            provider=self.provider,
            failure_code=self.failure_code,
            client_secret=self.client_secret if acting else None,
            created_at=self.created_at,
        )


@dataclass(frozen=True, slots=True)
class ChargeAttempt:
    """Work at the gateway that somebody has taken up. `tries` counts this one; a method is known or asked for."""

    payment_id: UUID
    order_id: UUID
    money: Money
    provider: str
    step: ChargeStep
    method: str | None
    tries: int
    cancelled: bool
    overdue: bool
    traceparent: str
    request_id: str


@dataclass(frozen=True, slots=True)
class Settlement:
    """What an outcome makes of a payment. `again` is a step that has to follow before it is settled."""

    payment_id: UUID
    status: PaymentStatus
    failure_code: str | None = None
    client_secret: str | None = None
    refund: int = 0
    follow_up: ChargeStep | None = None


@dataclass(frozen=True, slots=True)
class Reversal:
    """What the end of its order asks of a payment."""

    void: bool = False
    refund: int = 0


def reject_card_number(*texts: str | None) -> None:
    """A card number is refused wherever somebody types one, before anything keeps it."""
    if any(text and contains_card_number(text) for text in texts):
        raise CardNumberRefused


def require_payable(status: OrderStatus) -> None:
    """Only an order that waits for its money takes a payment."""
    if status in (OrderStatus.PAID, OrderStatus.SHIPPED, OrderStatus.DELIVERED):
        raise AlreadyPaid
    if status is not OrderStatus.PENDING:
        raise NotPayable


def needs_method(attempt: ChargeAttempt) -> bool:
    """Whether the order has to be asked how, and whether, it is to be charged."""
    return next_step(attempt) is ChargeStep.CHARGE and attempt.method is None


def next_step(attempt: ChargeAttempt) -> ChargeStep | None:
    """What to ask of the gateway; None when the payment can end without it, which has never heard of it.

    Once the gateway may have heard of it, only voiding tells how a payment ends that nobody wants any more: what is not
    captured by then never will be.
    """
    if not (attempt.cancelled or attempt.overdue):
        return attempt.step
    if attempt.step is ChargeStep.CHARGE and attempt.tries == 1:
        return None
    return ChargeStep.VOID


def retry_delay_seconds(tries: int) -> float:
    """Seconds until a gateway that did not tell is asked again."""
    return float(min(FIRST_DELAY_SECONDS * 2 ** min(tries, 16), MAX_DELAY_SECONDS))


def settle(payment: PaymentRecord, outcome: ChargeOutcome) -> Settlement:
    """What a payment under way becomes. One that was captured after its order ended goes back at once."""
    if outcome.state is ChargeState.CAPTURED:
        return Settlement(payment.id, PaymentStatus.CAPTURED, refund=payment.refundable if payment.cancelled else 0)
    if outcome.state is ChargeState.ACTION_REQUIRED:
        if payment.cancelled:
            return Settlement(payment.id, PaymentStatus.PROCESSING, follow_up=ChargeStep.VOID)
        return Settlement(payment.id, PaymentStatus.REQUIRES_ACTION, client_secret=outcome.client_secret)
    code = outcome.failure_code or (ORDER_CANCELLED if payment.cancelled else GATEWAY_TIMEOUT)
    return Settlement(payment.id, PaymentStatus.FAILED, failure_code=code)


def settlement_event(payment: PaymentRecord, settlement: Settlement) -> Event | None:
    """What is said of it; nothing while it goes on."""
    facts: dict[str, Any] = {
        "payment_id": payment.id,
        "order_id": payment.order_id,
        "amount": payment.money(payment.amount),
    }  # what every event of a payment says
    if settlement.status is PaymentStatus.CAPTURED:
        return PaymentCaptured(**facts)
    if settlement.status is PaymentStatus.REQUIRES_ACTION:
        return PaymentActionRequired(**facts)
    if settlement.status is PaymentStatus.FAILED:
        return PaymentFailed(**facts, failure_code=settlement.failure_code or GATEWAY_TIMEOUT)
    return None


def decide_reversal(payment: PaymentRecord) -> Reversal:
    """What to do about a payment whose order came to nothing. One under way is reversed when its outcome is known."""
    if payment.status in REFUNDABLE:
        return Reversal(refund=payment.refundable)
    return Reversal(void=payment.status is PaymentStatus.REQUIRES_ACTION)


class CaptureDecision(Enum):
    """What becomes of money that a gateway took under one payment of an order."""

    KEEP = auto()
    RETURN = auto()
    UNDECIDED = auto()


@dataclass(frozen=True, slots=True)
class Bill:
    """What an order has to pay: whether it ended, and the payment that it names now, if that is another one."""

    cancelled: bool
    rival_status: PaymentStatus | None


def decide_capture(bill: Bill) -> CaptureDecision:
    """An order is paid once. While another payment of it is under way, nobody knows yet which one it will be."""
    if bill.cancelled:
        return CaptureDecision.RETURN
    if bill.rival_status in (PaymentStatus.PROCESSING, PaymentStatus.REQUIRES_ACTION):
        return CaptureDecision.UNDECIDED
    return CaptureDecision.KEEP if bill.rival_status in (None, PaymentStatus.FAILED) else CaptureDecision.RETURN


def missing_outcome(payment: PaymentRecord, known: ChargeOutcome | None, *, attempted: bool) -> ChargeOutcome | None:
    """What the gateway knows and the payment does not, where nobody is about to find out."""
    if known is None:
        return None
    if payment.status is PaymentStatus.FAILED:
        return known if known.state is ChargeState.CAPTURED else None
    if payment.status is PaymentStatus.PROCESSING:
        return known if known.state is ChargeState.CAPTURED or not attempted else None
    if payment.status is PaymentStatus.REQUIRES_ACTION:
        return None if known.state is ChargeState.ACTION_REQUIRED else known
    return None


def past_events(payment: PaymentRecord, done_refunds: Sequence[tuple[UUID, int]]) -> list[Event]:
    """Everything that was said of a payment up to now, once more. `given_back` are its refunds, the first one first."""
    if payment.status is PaymentStatus.PROCESSING:
        return []
    taken = payment.status in {*REFUNDABLE, PaymentStatus.REFUNDED, PaymentStatus.DISPUTED}
    status = PaymentStatus.CAPTURED if taken else payment.status
    first = settlement_event(payment, Settlement(payment.id, status, payment.failure_code))
    events = [first] if first else []
    before = replace(payment, refunded=0)
    for refund_id, amount in done_refunds:
        events.append(refunded_event(before, refund_id, amount))
        before = replace(before, refunded=before.refunded + amount)
    return events


def refund_amount(payment: PaymentRecord, requested: int | None) -> int:
    """What a refund gives back: what was asked, or all that is left beside the refunds under way."""
    if payment.status is not PaymentStatus.REFUNDED and payment.status not in REFUNDABLE:
        raise NotRefundable
    amount = payment.refundable if requested is None else requested
    if amount > payment.refundable or amount == 0:
        raise RefundExceedsPayment(
            f"Only {payment.refundable} of {payment.amount} {payment.currency} is left to refund."
        )
    return amount


def total_refunded(payment: PaymentRecord, amount: int) -> tuple[int, PaymentStatus]:
    """What has gone back in all once this much more has, and the status that follows."""
    total = payment.refunded + amount
    full = total == payment.amount
    return total, PaymentStatus.REFUNDED if full else PaymentStatus.PARTIALLY_REFUNDED


def refunded_event(payment: PaymentRecord, refund_id: UUID, amount: int) -> PaymentRefunded:
    total, status = total_refunded(payment, amount)
    return PaymentRefunded(
        payment_id=payment.id,
        order_id=payment.order_id,
        amount=payment.money(amount),
        refund_id=refund_id,
        refunded=payment.money(total),
        full=status is PaymentStatus.REFUNDED,
    )
