"""What is said of an order, from the order itself."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any
from uuid import UUID

from contracts.event import Event
from contracts.order import (
    CancelReason,
    Order,
    OrderCancelled,
    OrderDelivered,
    OrderItem,
    OrderPaid,
    OrderPlaced,
    OrderRefunded,
    OrderShipped,
    OrderStatus,
    PlacedOrderItem,
)
from services.order.domain.orders import CartVersion, OrderDraft, OrderRecord
from services.order.domain.states import NEXT_STATUSES, Transition


def placed_event(draft: OrderDraft, order: Order) -> OrderPlaced:
    return _placed(order, draft.hold.hold_id, draft.cart, charge=draft.payment_method is not None)


def past_events(record: OrderRecord, cart: CartVersion | None, *, charge: bool) -> list[Event]:
    """All that was said of an order, as its history has it; nothing where that does not lead to its status."""
    events: list[Event] = [_placed(record.order, record.hold_id, cart, charge=charge)]
    status = OrderStatus.PENDING
    for entry in record.order.history:
        if entry.status is not status:
            reason = CancelReason(entry.note) if entry.note in set(CancelReason) else None
            if entry.status not in NEXT_STATUSES[status] or (entry.status is OrderStatus.CANCELLED and reason is None):
                return []
            step = Transition(entry.status, frozenset({status}), reason)
            events.append(transition_event(step, replace(record, previous_status=status)))
            status = entry.status
    return events if status is record.order.status else []


def transition_event(transition: Transition, record: OrderRecord) -> Event:
    """That the order has taken a step."""
    return _TOLD[transition.target](transition, record)


def _placed(order: Order, hold_id: UUID, cart: CartVersion | None, *, charge: bool) -> OrderPlaced:
    return OrderPlaced(
        **_order(order),
        hold_id=hold_id,
        cart_id=cart.cart_id if cart else None,
        cart_version=cart.version if cart else None,
        charge=charge,
        items=_items(order.items),
    )


def _paid(_step: Transition, kept: OrderRecord) -> Event:
    assert kept.order.payment_id is not None, "paid by nothing"
    items = _items(kept.order.items)
    return OrderPaid(**_order(kept.order), hold_id=kept.hold_id, payment_id=kept.order.payment_id, items=items)


def _cancelled(step: Transition, kept: OrderRecord) -> Event:
    assert step.reason is not None, "cancelled without a reason"
    return OrderCancelled(
        **_order(kept.order),
        hold_id=kept.hold_id,
        payment_id=kept.order.payment_id,
        was=kept.previous_status,
        reason=step.reason,
    )


def _shipped(_step: Transition, kept: OrderRecord) -> Event:
    assert kept.order.tracking is not None, "shipped without tracking"
    return OrderShipped(**_order(kept.order), tracking=kept.order.tracking)


def _delivered(_step: Transition, kept: OrderRecord) -> Event:
    return OrderDelivered(**_order(kept.order))


def _refunded(_step: Transition, kept: OrderRecord) -> Event:
    assert kept.order.payment_id is not None, "refunded what was never paid"
    return OrderRefunded(**_order(kept.order), payment_id=kept.order.payment_id)


_TOLD: Mapping[OrderStatus, Callable[[Transition, OrderRecord], Event]] = MappingProxyType(
    {
        OrderStatus.PAID: _paid,
        OrderStatus.CANCELLED: _cancelled,
        OrderStatus.SHIPPED: _shipped,
        OrderStatus.DELIVERED: _delivered,
        OrderStatus.REFUNDED: _refunded,
    }
)


def _order(order: Order) -> dict[str, Any]:
    """The fields that every event of an order has."""
    return {"order_id": order.id, "number": order.number, "user_id": order.user_id, "total": order.total}


def _items(items: list[OrderItem]) -> list[PlacedOrderItem]:
    return [
        PlacedOrderItem(
            sku=item.sku,
            product_id=item.product_id,
            name=item.name,
            quantity=item.quantity,
            unit_price=item.unit_price,
        )
        for item in items
    ]
