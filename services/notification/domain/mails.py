"""What mails say: the kind of mail for each event, subject lines, and the facts about an order."""

from collections.abc import Mapping
from types import MappingProxyType
from uuid import UUID

from pydantic import ConfigDict

from contracts.event import Event
from contracts.model import Model
from contracts.money import Money
from contracts.notification import NotificationKind
from contracts.order import (
    CancelReason,
    OrderCancelled,
    OrderLookupRequested,
    OrderPaid,
    OrderPlaced,
    OrderShipped,
    OrderStatus,
    OrderUnitsCancelled,
    PlacedOrderItem,
    ShipmentTracking,
)
from contracts.user import ResetRequested, VerificationRequested

OrderMailEvent = OrderPlaced | OrderPaid | OrderCancelled | OrderShipped | OrderUnitsCancelled
TokenMailEvent = VerificationRequested | ResetRequested

MAIL_KINDS: Mapping[type[Event], NotificationKind] = MappingProxyType(
    {
        OrderPlaced: NotificationKind.ORDER_PLACED,
        OrderPaid: NotificationKind.ORDER_PAID,
        OrderCancelled: NotificationKind.ORDER_CANCELLED,
        OrderShipped: NotificationKind.ORDER_SHIPPED,
        OrderUnitsCancelled: NotificationKind.ORDER_UNITS_CANCELLED,
        OrderLookupRequested: NotificationKind.ORDER_LOOKUP,
        VerificationRequested: NotificationKind.VERIFY_EMAIL,
        ResetRequested: NotificationKind.RESET_PASSWORD,
    }
)
SUBJECT_LINES: Mapping[NotificationKind, str] = MappingProxyType(
    {
        NotificationKind.ORDER_PLACED: "Thank you for your order {number}",
        NotificationKind.ORDER_PAID: "Payment received for order {number}",
        NotificationKind.ORDER_CANCELLED: "Your order {number} has been cancelled",
        NotificationKind.ORDER_SHIPPED: "Your order {number} is on its way",
        NotificationKind.ORDER_UNITS_CANCELLED: "A part of your order {number} has been cancelled",
        NotificationKind.ORDER_LOOKUP: "Your order {number}",
        NotificationKind.VERIFY_EMAIL: "Confirm your email address",
        NotificationKind.RESET_PASSWORD: "Reset your password",
    }
)
MAX_SUBJECT_LENGTH = 255


class OrderFacts(Model):
    """What a mail says about an order. It is stored with the delivery, so it holds nothing about the customer."""

    model_config = ConfigDict(extra="ignore")  # another release may have written it

    number: str
    total: Money
    items: list[PlacedOrderItem] = []
    discount: Money | None = None
    shipping: Money | None = None
    tax: Money | None = None
    tax_included: bool = False
    tracking: ShipmentTracking | None = None
    is_tracked: bool = True
    units_left: int = 0
    amount: Money | None = None
    """What goes back for cancelled units."""
    reason: CancelReason | None = None
    was: OrderStatus | None = None
    order_id: UUID | None = None
    """The order that the mail links to, if it does."""

    @property
    def is_refunded(self) -> bool:
        """Whether the cancelled order was paid, so that the money is refunded."""
        return self.was is OrderStatus.PAID


_FACT_FIELDS = set(OrderFacts.model_fields) - {"order_id"}


def order_facts(event: OrderMailEvent) -> bytes:
    """Extracts from an event what the mail about it says, as the JSON of `OrderFacts`."""
    return event.__pydantic_serializer__.to_json(event, include=_FACT_FIELDS, exclude_none=True)


def lookup_facts(event: OrderLookupRequested) -> bytes:
    """Returns what the mail with a link to an order says, as the JSON of `OrderFacts`."""
    facts = OrderFacts(number=event.number, total=event.total, order_id=event.order_id)
    return facts.model_dump_json(exclude_defaults=True).encode()


def part_of(event: OrderMailEvent) -> UUID | None:
    """Returns the parcel or the cancellation that an event is about; None for the whole order."""
    match event:
        case OrderShipped():
            return event.fulfilment_id
        case OrderUnitsCancelled():
            return event.cancellation_id
    return None


def subject_line(kind: NotificationKind, number: str = "") -> str:
    """Returns the subject of a mail, as one line, even if the order number has line breaks."""
    return to_one_line(SUBJECT_LINES[kind].format(number=number))[:MAX_SUBJECT_LENGTH]


def to_one_line(text: str) -> str:
    """Removes line breaks and control characters, so that the text can stand in a mail header."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())
