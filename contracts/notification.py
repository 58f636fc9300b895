"""notification: what customers are told, and how it went out."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from contracts.failure import BadCursor
from contracts.identity import Access
from contracts.model import Id, Line, Listing, Model, Page, Time
from contracts.operation import Operation, Owned

SERVICE = "notification"


class Kind(StrEnum):
    """What a customer is told."""

    ORDER_PLACED = "order_placed"
    ORDER_PAID = "order_paid"
    ORDER_CANCELLED = "order_cancelled"
    ORDER_SHIPPED = "order_shipped"
    VERIFY_EMAIL = "verify_email"
    RESET_PASSWORD = "reset_password"  # noqa: S105 - the name of a mail


class Channel(StrEnum):
    EMAIL = "email"
    SMS = "sms"
    PUSH = "push"


class DeliveryStatus(StrEnum):
    QUEUED = "queued"
    SENT = "sent"
    FAILED = "failed"
    SUPPRESSED = "suppressed"


class Notification(Model):
    id: Id
    kind: Kind
    channel: Channel
    status: DeliveryStatus
    subject: Line
    created_at: Time
    sent_at: Annotated[Time | None, Field(description="When the mail server took it.")] = None


LIST = Operation(
    SERVICE,
    "list",
    Page,
    Listing[Notification],
    "What was sent to me; for administrators, to anyone",
    Access.CUSTOMER,
    (BadCursor,),
    owned=(Owned("notifications", admins=True),),
)

OPERATIONS = (LIST,)
EVENTS = ()
