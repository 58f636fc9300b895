"""Deliveries as they are taken up, for tests that write and send them."""

from typing import Any
from uuid import UUID

from contracts.money import Money
from contracts.notification import NotificationKind
from contracts.order import CancelReason, OrderStatus, PlacedOrderItem, ShipmentTracking
from infra.foundation.ids import new_id, now
from services.notification.domain.deliveries import MailDelivery, OrderFacts, subject_line

TOKENS = (NotificationKind.VERIFY_EMAIL, NotificationKind.RESET_PASSWORD)
"""Mails that are about no order."""
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"


def facts(*, name: str = "Brass lamp", **changed: Any) -> OrderFacts:
    lamp = PlacedOrderItem(
        sku="LAMP-1", product_id=new_id(), name=name, quantity=2, unit_price=Money(amount=123450, currency="USD")
    )
    said: dict[str, Any] = {
        "number": "S-1001",
        "total": Money(amount=246900, currency="USD"),
        "items": [lamp],
        "tracking": ShipmentTracking(carrier="Caravan & Sons", number="CS 42"),
        "reason": CancelReason.CUSTOMER,
        "was": OrderStatus.PENDING,
        **changed,
    }
    return OrderFacts(**said)


def delivery(
    kind: NotificationKind = NotificationKind.ORDER_PAID, *, user_id: UUID | None = None, attempts: int = 0, **said: Any
) -> MailDelivery:
    about = None if kind in TOKENS else facts(**said)
    return MailDelivery(
        id=new_id(),
        kind=kind,
        order_id=new_id() if about else None,
        user_id=user_id,
        subject=subject_line(kind, about.number if about else ""),
        facts=about,
        attempts=attempts,
        leased_until=now(),
        traceparent=TRACEPARENT,
        request_id="req-1",
        proof_id=None if about else new_id(),
    )
