"""What becomes of a payment: pure decisions on values, no I/O and no clock."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum, StrEnum, auto
from typing import Any
from uuid import UUID

from contracts import payment as contract
from contracts.card_numbers import looks_like_card
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
FIRST_DELAY, LONGEST_DELAY = 0.25, 30.0


class Step(StrEnum):
    """What is to be asked of the gateway."""

    CHARGE = "charge"
    CONFIRM = "confirm"
    VOID = "void"


class State(StrEnum):
    """What the gateway says of a charge, for good but for the second step that it may want."""

    CAPTURED = "captured"
    DECLINED = "declined"
    ACTION_REQUIRED = "action_required"
    VOIDED = "voided"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The gateway's answer on a charge."""

    state: State
    failure_code: str | None = None
    client_secret: str | None = None


@dataclass(frozen=True, slots=True)
class Payment:
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
    def left(self) -> int:
        """What could still be refunded."""
        return self.amount - self.refunded - self.refunding

    def money(self, amount: int) -> Money:
        return Money(amount=amount, currency=self.currency)

    def told(self) -> contract.Payment:
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
class Attempt:
    """Work at the gateway that somebody has taken up. `tries` counts this one; a method is known or asked for."""

    payment_id: UUID
    order_id: UUID
    money: Money
    provider: str
    step: Step
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
    again: Step | None = None


@dataclass(frozen=True, slots=True)
class Reversal:
    """What the end of its order asks of a payment."""

    void: bool = False
    refund: int = 0


def refuse_card(*texts: str | None) -> None:
    """A card number is refused wherever somebody types one, before anything keeps it."""
    if any(text and looks_like_card(text) for text in texts):
        raise CardNumberRefused


def refuse_unpayable(status: OrderStatus) -> None:
    """Only an order that waits for its money takes a payment."""
    if status in (OrderStatus.PAID, OrderStatus.SHIPPED, OrderStatus.DELIVERED):
        raise AlreadyPaid
    if status is not OrderStatus.PENDING:
        raise NotPayable


def needs_method(attempt: Attempt) -> bool:
    """Whether the order has to be asked how, and whether, it is to be charged."""
    return step_to_take(attempt) is Step.CHARGE and attempt.method is None


def step_to_take(attempt: Attempt) -> Step | None:
    """What to ask of the gateway; None when the payment can end without it, which has never heard of it.

    Once the gateway may have heard of it, only voiding tells how a payment ends that nobody wants any more: what is not
    captured by then never will be.
    """
    if not (attempt.cancelled or attempt.overdue):
        return attempt.step
    if attempt.step is Step.CHARGE and attempt.tries == 1:
        return None
    return Step.VOID


def delay(tries: int) -> float:
    """Seconds until a gateway that did not tell is asked again."""
    return float(min(FIRST_DELAY * 2 ** min(tries, 16), LONGEST_DELAY))


def settle(payment: Payment, outcome: Outcome) -> Settlement:
    """What a payment under way becomes. One that was captured after its order ended goes back at once."""
    if outcome.state is State.CAPTURED:
        return Settlement(payment.id, PaymentStatus.CAPTURED, refund=payment.left if payment.cancelled else 0)
    if outcome.state is State.ACTION_REQUIRED:
        if payment.cancelled:
            return Settlement(payment.id, PaymentStatus.PROCESSING, again=Step.VOID)
        return Settlement(payment.id, PaymentStatus.REQUIRES_ACTION, client_secret=outcome.client_secret)
    code = outcome.failure_code or (ORDER_CANCELLED if payment.cancelled else GATEWAY_TIMEOUT)
    return Settlement(payment.id, PaymentStatus.FAILED, failure_code=code)


def settled_event(payment: Payment, settlement: Settlement) -> Event | None:
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


def reversal(payment: Payment) -> Reversal:
    """What to do about a payment whose order came to nothing. One under way is reversed when its outcome is known."""
    if payment.status in REFUNDABLE:
        return Reversal(refund=payment.left)
    return Reversal(void=payment.status is PaymentStatus.REQUIRES_ACTION)


class Claim(Enum):
    """What becomes of money that a gateway took under one payment of an order."""

    WANTED = auto()
    UNWANTED = auto()
    UNDECIDED = auto()


@dataclass(frozen=True, slots=True)
class Bill:
    """What an order has to pay: whether it ended, and the payment that it names now, if that is another one."""

    cancelled: bool
    rival: PaymentStatus | None


def claim(bill: Bill) -> Claim:
    """An order is paid once. While another payment of it is under way, nobody knows yet which one it will be."""
    if bill.cancelled:
        return Claim.UNWANTED
    if bill.rival in (PaymentStatus.PROCESSING, PaymentStatus.REQUIRES_ACTION):
        return Claim.UNDECIDED
    return Claim.WANTED if bill.rival in (None, PaymentStatus.FAILED) else Claim.UNWANTED


def missed(payment: Payment, known: Outcome | None, *, attempted: bool) -> Outcome | None:
    """What the gateway knows and the payment does not, where nobody is about to find out."""
    if known is None:
        return None
    if payment.status is PaymentStatus.FAILED:
        return known if known.state is State.CAPTURED else None
    if payment.status is PaymentStatus.PROCESSING:
        return known if known.state is State.CAPTURED or not attempted else None
    if payment.status is PaymentStatus.REQUIRES_ACTION:
        return None if known.state is State.ACTION_REQUIRED else known
    return None


def events_so_far(payment: Payment, given_back: Sequence[tuple[UUID, int]]) -> list[Event]:
    """Everything that was said of a payment up to now, once more. `given_back` are its refunds, the first one first."""
    if payment.status is PaymentStatus.PROCESSING:
        return []
    taken = payment.status in {*REFUNDABLE, PaymentStatus.REFUNDED, PaymentStatus.DISPUTED}
    status = PaymentStatus.CAPTURED if taken else payment.status
    first = settled_event(payment, Settlement(payment.id, status, payment.failure_code))
    events = [first] if first else []
    before = replace(payment, refunded=0)
    for refund_id, amount in given_back:
        events.append(refunded_event(before, refund_id, amount))
        before = replace(before, refunded=before.refunded + amount)
    return events


def refund_amount(payment: Payment, asked: int | None) -> int:
    """What a refund gives back: what was asked, or all that is left beside the refunds under way."""
    if payment.status is not PaymentStatus.REFUNDED and payment.status not in REFUNDABLE:
        raise NotRefundable
    amount = payment.left if asked is None else asked
    if amount > payment.left or amount == 0:
        raise RefundExceedsPayment(f"Only {payment.left} of {payment.amount} {payment.currency} is left to refund.")
    return amount


def refunded(payment: Payment, amount: int) -> tuple[int, PaymentStatus]:
    """What has gone back in all once this much more has, and the status that follows."""
    total = payment.refunded + amount
    full = total == payment.amount
    return total, PaymentStatus.REFUNDED if full else PaymentStatus.PARTIALLY_REFUNDED


def refunded_event(payment: Payment, refund_id: UUID, amount: int) -> PaymentRefunded:
    total, status = refunded(payment, amount)
    return PaymentRefunded(
        payment_id=payment.id,
        order_id=payment.order_id,
        amount=payment.money(amount),
        refund_id=refund_id,
        refunded=payment.money(total),
        full=status is PaymentStatus.REFUNDED,
    )
