"""Sample deliveries, for tests that render and send mails."""

from typing import Any
from uuid import UUID

from contracts.money import Money
from contracts.notification import NotificationKind
from contracts.order import CancelReason, OrderStatus, PlacedOrderItem, ShipmentTracking
from infra.foundation.ids import new_id, now
from services.notification.domain.deliveries import MailDelivery
from services.notification.domain.mails import OrderFacts, subject_line

TOKEN_MAILS = (NotificationKind.VERIFY_EMAIL, NotificationKind.RESET_PASSWORD)
"""Mails that carry a token instead of being about an order."""
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"


def order_facts(*, name: str = "Brass lamp", **changed: Any) -> OrderFacts:
    """Returns the facts of an order of two lamps, with some fields changed."""
    lamp = PlacedOrderItem(
        sku="LAMP-1", product_id=new_id(), name=name, quantity=2, unit_price=Money(amount=123450, currency="USD")
    )
    fields: dict[str, Any] = {
        "number": "S-1001",
        "total": Money(amount=246900, currency="USD"),
        "items": [lamp],
        "tracking": ShipmentTracking(carrier="Caravan & Sons", number="CS 42"),
        "reason": CancelReason.CUSTOMER,
        "was": OrderStatus.PENDING,
        **changed,
    }
    return OrderFacts(**fields)


def mail_delivery(
    kind: NotificationKind = NotificationKind.ORDER_PAID,
    *,
    user_id: UUID | None = None,
    attempts: int = 0,
    **changed: Any,
) -> MailDelivery:
    """Returns a leased delivery."""
    facts = None if kind in TOKEN_MAILS else order_facts(**changed)
    return MailDelivery(
        id=new_id(),
        kind=kind,
        order_id=new_id() if facts else None,
        user_id=user_id,
        subject=subject_line(kind, facts.number if facts else ""),
        facts=facts,
        attempts=attempts,
        leased_until=now(),
        traceparent=TRACEPARENT,
        request_id="req-1",
        proof_id=None if facts else new_id(),
    )
