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
from contracts.notification import DeliveryStatus, NotificationKind
from contracts.order import (
    CancelReason,
    OrderCancelled,
    OrderPaid,
    OrderPlaced,
    OrderShipped,
    OrderStatus,
    PlacedOrderItem,
    ShipmentTracking,
)
from contracts.user import ResetRequested, VerificationRequested

OrderMailEvent = OrderPlaced | OrderPaid | OrderCancelled | OrderShipped
TokenMailEvent = VerificationRequested | ResetRequested

MAIL_KINDS: Mapping[type[Event], NotificationKind] = MappingProxyType(
    {
        OrderPlaced: NotificationKind.ORDER_PLACED,
        OrderPaid: NotificationKind.ORDER_PAID,
        OrderCancelled: NotificationKind.ORDER_CANCELLED,
        OrderShipped: NotificationKind.ORDER_SHIPPED,
        VerificationRequested: NotificationKind.VERIFY_EMAIL,
        ResetRequested: NotificationKind.RESET_PASSWORD,
    }
)
SUBJECT_LINES: Mapping[NotificationKind, str] = MappingProxyType(
    {
        NotificationKind.ORDER_PLACED: "Thank you for your order {number}",
        NotificationKind.ORDER_PAID: "Your order {number} is paid",
        NotificationKind.ORDER_CANCELLED: "Your order {number} is cancelled",
        NotificationKind.ORDER_SHIPPED: "Your order {number} is on its way",
        NotificationKind.VERIFY_EMAIL: "Please confirm your e-mail address",
        NotificationKind.RESET_PASSWORD: "Choose a new password",
    }
)
MAX_SUBJECT_LENGTH = 255

FIRST_DELAY_SECONDS = 5.0
MAX_DELAY_SECONDS = 4 * 3600.0
MAX_ATTEMPTS = 18
"""With doubling delays from five seconds to four hours, the last attempt is about a day after the first."""


class OrderFacts(Model):
    """What a mail says of an order. Kept with the delivery, so nothing of the customer is in it."""

    model_config = ConfigDict(extra="ignore")  # written by one release, read by another

    number: str
    total: Money
    items: list[PlacedOrderItem] = []
    tracking: ShipmentTracking | None = None
    reason: CancelReason | None = None
    was: OrderStatus | None = None

    @property
    def refunds(self) -> bool:
        """Whether money goes back, now that the order is cancelled."""
        return self.was is OrderStatus.PAID


@dataclass(frozen=True, slots=True)
class MailDelivery:
    """One mail to be sent, leased to one sender: after `lease` another may take it up.

    It is about an order, of which it has the facts, or carries the token of a proof.
    """

    id: UUID
    kind: NotificationKind
    order_id: UUID | None
    user_id: UUID | None
    subject: str
    facts: OrderFacts | None
    attempts: int
    leased_until: datetime
    traceparent: str
    request_id: str
    proof_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class DeliveryOutcome:
    """What became of one attempt. A delivery that is queued again is due after `delay` seconds."""

    status: DeliveryStatus
    attempts: int
    reason: str | None = None
    delay_seconds: float = 0.0


def order_facts(event: OrderMailEvent) -> OrderFacts:
    return OrderFacts.model_validate(event.model_dump())


def subject_line(kind: NotificationKind, number: str = "") -> str:
    """One line, whatever the order's number is made of."""
    return to_one_line(SUBJECT_LINES[kind].format(number=number))[:MAX_SUBJECT_LENGTH]


def to_one_line(text: str) -> str:
    """Without what ends a line or steers a terminal: a mail header is made of it."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def sent(delivery: MailDelivery) -> DeliveryOutcome:
    return DeliveryOutcome(DeliveryStatus.SENT, delivery.attempts + 1)


def suppressed(delivery: MailDelivery) -> DeliveryOutcome:
    return DeliveryOutcome(DeliveryStatus.SUPPRESSED, delivery.attempts, "nobody is there any more, or waits for it")


def rejected(delivery: MailDelivery, reason: str) -> DeliveryOutcome:
    return DeliveryOutcome(DeliveryStatus.FAILED, delivery.attempts + 1, reason)


def requeued(delivery: MailDelivery) -> DeliveryOutcome:
    """It was not this mail's fault that it was not sent: due at once, and no attempt is counted."""
    return DeliveryOutcome(DeliveryStatus.QUEUED, delivery.attempts)


def retry_later(delivery: MailDelivery, reason: str) -> DeliveryOutcome:
    """Later, and after about a day no more."""
    attempts = delivery.attempts + 1
    if attempts >= MAX_ATTEMPTS:
        return DeliveryOutcome(DeliveryStatus.FAILED, attempts, f"given up: {reason}")
    return DeliveryOutcome(
        DeliveryStatus.QUEUED, attempts, reason, min(FIRST_DELAY_SECONDS * 2 ** (attempts - 1), MAX_DELAY_SECONDS)
    )
