"""notification: the messages that customers receive, and how they were delivered."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from contracts.event_feed import LIST_EVENTS
from contracts.failure import InvalidCursor
from contracts.identity import Access
from contracts.model import Id, ListPage, Model, PageParams, SingleLine, Timestamp
from contracts.operation import Operation, OwnedResource

SERVICE = "notification"


class NotificationKind(StrEnum):
    """What a notification is about."""

    ORDER_PLACED = "order_placed"
    ORDER_PAID = "order_paid"
    ORDER_CANCELLED = "order_cancelled"
    ORDER_SHIPPED = "order_shipped"
    ORDER_UNITS_CANCELLED = "order_units_cancelled"
    ORDER_LOOKUP = "order_lookup"
    VERIFY_EMAIL = "verify_email"
    RESET_PASSWORD = "reset_password"  # noqa: S105 - the name of a mail


class NotificationChannel(StrEnum):
    """How a notification reaches the customer."""

    EMAIL = "email"
    SMS = "sms"
    PUSH = "push"


class DeliveryStatus(StrEnum):
    """How far a delivery has come. A suppressed one is never sent."""

    QUEUED = "queued"
    SENT = "sent"
    FAILED = "failed"
    SUPPRESSED = "suppressed"


class Notification(Model):
    """A message to a customer."""

    id: Id
    kind: NotificationKind
    channel: NotificationChannel
    status: DeliveryStatus
    subject: Annotated[SingleLine, Field(description="The subject line.")]
    created_at: Timestamp
    sent_at: Annotated[Timestamp | None, Field(description="When the mail server accepted it.")] = None
    reason: Annotated[SingleLine | None, Field(description="Why it is suppressed, if it is.")] = None


LIST = Operation(
    SERVICE,
    "list",
    PageParams,
    ListPage[Notification],
    "List one's own notifications; administrators see all users'",
    Access.CUSTOMER,
    (InvalidCursor,),
    owned_resources=(OwnedResource("notifications", open_to_admins=True),),
)

OPERATIONS = (LIST, LIST_EVENTS)
EVENTS = ()
