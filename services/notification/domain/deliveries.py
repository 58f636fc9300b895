"""What a customer is told, of an order or of their account, and what becomes of a mail that could not be sent."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from uuid import UUID

from pydantic import ConfigDict

from contracts.event import Event
from contracts.model import Model
from contracts.money import Money
from contracts.notification import DeliveryStatus, Kind
from contracts.order import (
    CancelReason,
    OrderCancelled,
    OrderPaid,
    OrderPlaced,
    OrderShipped,
    OrderStatus,
    PlacedItem,
    Tracking,
)
from contracts.user import ResetRequested, VerificationRequested

Told = OrderPlaced | OrderPaid | OrderCancelled | OrderShipped
Requested = VerificationRequested | ResetRequested

KINDS: Mapping[type[Event], Kind] = MappingProxyType(
    {
        OrderPlaced: Kind.ORDER_PLACED,
        OrderPaid: Kind.ORDER_PAID,
        OrderCancelled: Kind.ORDER_CANCELLED,
        OrderShipped: Kind.ORDER_SHIPPED,
        VerificationRequested: Kind.VERIFY_EMAIL,
        ResetRequested: Kind.RESET_PASSWORD,
    }
)
SUBJECTS: Mapping[Kind, str] = MappingProxyType(
    {
        Kind.ORDER_PLACED: "Thank you for your order {number}",
        Kind.ORDER_PAID: "Your order {number} is paid",
        Kind.ORDER_CANCELLED: "Your order {number} is cancelled",
        Kind.ORDER_SHIPPED: "Your order {number} is on its way",
        Kind.VERIFY_EMAIL: "Please confirm your e-mail address",
        Kind.RESET_PASSWORD: "Choose a new password",
    }
)
LONGEST_SUBJECT = 255

FIRST_DELAY = 5.0
LONGEST_DELAY = 4 * 3600.0
MOST_ATTEMPTS = 18
"""With doubling delays from five seconds to four hours, the last attempt is about a day after the first."""


class Facts(Model):
    """What a mail says of an order. Kept with the delivery, so nothing of the customer is in it."""

    model_config = ConfigDict(extra="ignore")  # written by one release, read by another

    number: str
    total: Money
    items: list[PlacedItem] = []
    tracking: Tracking | None = None
    reason: CancelReason | None = None
    was: OrderStatus | None = None

    @property
    def refunds(self) -> bool:
        """Whether money goes back, now that the order is cancelled."""
        return self.was is OrderStatus.PAID


@dataclass(frozen=True, slots=True)
class Delivery:
    """One mail to be sent, leased to one sender: after `lease` another may take it up.

    It is about an order, of which it has the facts, or carries the token of a proof.
    """

    id: UUID
    kind: Kind
    order_id: UUID | None
    user_id: UUID | None
    subject: str
    facts: Facts | None
    attempts: int
    lease: datetime
    traceparent: str
    request_id: str
    proof_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one attempt. A delivery that is queued again is due after `delay` seconds."""

    status: DeliveryStatus
    attempts: int
    reason: str | None = None
    delay: float = 0.0


def facts_of(event: Told) -> Facts:
    return Facts.model_validate(event.model_dump())


def subject_of(kind: Kind, number: str = "") -> str:
    """One line, whatever the order's number is made of."""
    return one_line(SUBJECTS[kind].format(number=number))[:LONGEST_SUBJECT]


def one_line(text: str) -> str:
    """Without what ends a line or steers a terminal: a mail header is made of it."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def sent(delivery: Delivery) -> Outcome:
    return Outcome(DeliveryStatus.SENT, delivery.attempts + 1)


def suppressed(delivery: Delivery) -> Outcome:
    return Outcome(DeliveryStatus.SUPPRESSED, delivery.attempts, "nobody is there any more, or waits for it")


def refused(delivery: Delivery, reason: str) -> Outcome:
    return Outcome(DeliveryStatus.FAILED, delivery.attempts + 1, reason)


def untouched(delivery: Delivery) -> Outcome:
    """It was not this mail's fault that it was not sent: due at once, and no attempt is counted."""
    return Outcome(DeliveryStatus.QUEUED, delivery.attempts)


def again(delivery: Delivery, reason: str) -> Outcome:
    """Later, and after about a day no more."""
    attempts = delivery.attempts + 1
    if attempts >= MOST_ATTEMPTS:
        return Outcome(DeliveryStatus.FAILED, attempts, f"given up: {reason}")
    return Outcome(DeliveryStatus.QUEUED, attempts, reason, min(FIRST_DELAY * 2 ** (attempts - 1), LONGEST_DELAY))
