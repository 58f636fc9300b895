"""notification: what customers are told, and how it went out."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from contracts.failure import InvalidCursor
from contracts.identity import Access
from contracts.model import Id, ListPage, Model, PageParams, SingleLine, Timestamp
from contracts.operation import Operation, OwnedResource

SERVICE = "notification"


class NotificationKind(StrEnum):
    """What a customer is told."""

    ORDER_PLACED = "order_placed"
    ORDER_PAID = "order_paid"
    ORDER_CANCELLED = "order_cancelled"
    ORDER_SHIPPED = "order_shipped"
    VERIFY_EMAIL = "verify_email"
    RESET_PASSWORD = "reset_password"  # noqa: S105 - the name of a mail


class NotificationChannel(StrEnum):
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
    kind: NotificationKind
    channel: NotificationChannel
    status: DeliveryStatus
    subject: SingleLine
    created_at: Timestamp
    sent_at: Annotated[Timestamp | None, Field(description="When the mail server took it.")] = None


LIST = Operation(
    SERVICE,
    "list",
    PageParams,
    ListPage[Notification],
    "What was sent to me; for administrators, to anyone",
    Access.CUSTOMER,
    (InvalidCursor,),
    owned_resources=(OwnedResource("notifications", open_to_admins=True),),
)

OPERATIONS = (LIST,)
EVENTS = ()
