"""Deliveries: one mail each, and what becomes of it after an attempt to send it."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from contracts.notification import DeliveryStatus, NotificationKind
from services.notification.domain.mails import OrderFacts

FIRST_DELAY_SECONDS = 5.0
MAX_DELAY_SECONDS = 4 * 3600.0
MAX_ATTEMPTS = 18
"""With delays that double from 5 seconds to 4 hours, the last attempt is about a day after the first."""


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """A mail to be queued: about an order, with its facts as JSON, or with the token that `proof_id` names."""

    id: UUID
    kind: NotificationKind
    order_id: UUID | None
    user_id: UUID | None
    subject: str
    facts: bytes
    traceparent: str
    request_id: str
    proof_id: UUID | None = None
    part_id: UUID | None = None
    """The parcel, or the cancellation of units, that the mail is about; None for a mail about the whole order."""


@dataclass(frozen=True, slots=True)
class MailDelivery:
    """One mail to be sent, leased to one process until `leased_until`.

    It is either about an order, with the facts to state, or carries the token that `proof_id` names.
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
    """The result of one attempt. A delivery that is queued again is due after `delay_seconds`."""

    status: DeliveryStatus
    attempts: int
    reason: str | None = None
    delay_seconds: float = 0.0


def sent(delivery: MailDelivery) -> DeliveryOutcome:
    """The mail server accepted the mail."""
    return DeliveryOutcome(DeliveryStatus.SENT, delivery.attempts + 1)


def suppressed(delivery: MailDelivery) -> DeliveryOutcome:
    """The mail has no recipient any more, or its token is void."""
    return DeliveryOutcome(DeliveryStatus.SUPPRESSED, delivery.attempts, "no recipient, or the token is void")


def throttled(delivery: MailDelivery) -> DeliveryOutcome:
    """The recipient never confirmed the address and has had too many mails."""
    reason = "too many mails to an address that was never confirmed"
    return DeliveryOutcome(DeliveryStatus.SUPPRESSED, delivery.attempts, reason)


def rejected(delivery: MailDelivery, reason: str) -> DeliveryOutcome:
    """The mail server rejected the mail for good."""
    return DeliveryOutcome(DeliveryStatus.FAILED, delivery.attempts + 1, reason)


def requeued(delivery: MailDelivery) -> DeliveryOutcome:
    """The mail was not attempted: it is due at once, and no attempt is counted."""
    return DeliveryOutcome(DeliveryStatus.QUEUED, delivery.attempts)


def retry_later(delivery: MailDelivery, reason: str) -> DeliveryOutcome:
    """The attempt failed for now: the mail is retried later, and given up after about a day."""
    attempts = delivery.attempts + 1
    if attempts >= MAX_ATTEMPTS:
        return DeliveryOutcome(DeliveryStatus.FAILED, attempts, f"given up: {reason}")
    delay_seconds = min(FIRST_DELAY_SECONDS * 2 ** (attempts - 1), MAX_DELAY_SECONDS)
    return DeliveryOutcome(DeliveryStatus.QUEUED, attempts, reason, delay_seconds)
