"""The events of an order, built from the order itself."""

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
    """Returns the event of a new order."""
    return _placed(order, draft.hold.hold_id, draft.cart, charge=draft.payment_method is not None)


def transition_event(transition: Transition, record: OrderRecord) -> Event:
    """Returns the event of an order that has just made this transition."""
    return _BUILDERS[transition.target](transition, record)


def past_events(record: OrderRecord, *, charge: bool) -> list[Event]:
    """Returns all events of an order so far, from its history; none when the history does not lead to its status."""
    events: list[Event] = [_placed(record.order, record.hold_id, record.cart, charge=charge)]
    status = OrderStatus.PENDING
    for entry in record.order.history:
        if entry.status is not status:
            reason = CancelReason(entry.note) if entry.note in set(CancelReason) else None
            if entry.status not in NEXT_STATUSES[status] or (entry.status is OrderStatus.CANCELLED and reason is None):
                return []
            transition = Transition(entry.status, frozenset({status}), reason)
            events.append(transition_event(transition, replace(record, previous_status=status)))
            status = entry.status
    return events if status is record.order.status else []


def _placed(order: Order, hold_id: UUID, cart: CartVersion | None, *, charge: bool) -> OrderPlaced:
    return OrderPlaced(
        **_common_fields(order),
        **_amounts(order),
        **_cart_fields(cart),
        hold_id=hold_id,
        charge=charge,
        items=_items(order.items),
    )


def _paid(_transition: Transition, record: OrderRecord) -> Event:
    order = record.order
    assert order.payment_id is not None, "a paid order has a payment"
    return OrderPaid(
        **_common_fields(order),
        **_amounts(order),
        **_cart_fields(record.cart),
        hold_id=record.hold_id,
        payment_id=order.payment_id,
        items=_items(order.items),
    )


def _cancelled(transition: Transition, record: OrderRecord) -> Event:
    assert transition.reason is not None, "every cancellation has a reason"
    return OrderCancelled(
        **_common_fields(record.order),
        hold_id=record.hold_id,
        payment_id=record.order.payment_id,
        was=record.previous_status,
        reason=transition.reason,
    )


def _shipped(_transition: Transition, record: OrderRecord) -> Event:
    assert record.order.tracking is not None, "a shipped order has tracking"
    return OrderShipped(**_common_fields(record.order), tracking=record.order.tracking)


def _delivered(_transition: Transition, record: OrderRecord) -> Event:
    return OrderDelivered(**_common_fields(record.order))


def _refunded(_transition: Transition, record: OrderRecord) -> Event:
    assert record.order.payment_id is not None, "a refunded order was paid"
    return OrderRefunded(**_common_fields(record.order), payment_id=record.order.payment_id)


_BUILDERS: Mapping[OrderStatus, Callable[[Transition, OrderRecord], Event]] = MappingProxyType(
    {
        OrderStatus.PAID: _paid,
        OrderStatus.CANCELLED: _cancelled,
        OrderStatus.SHIPPED: _shipped,
        OrderStatus.DELIVERED: _delivered,
        OrderStatus.REFUNDED: _refunded,
    }
)


def _common_fields(order: Order) -> dict[str, Any]:
    """The fields of every order event."""
    return {"order_id": order.id, "number": order.number, "user_id": order.user_id, "total": order.total}


def _amounts(order: Order) -> dict[str, Any]:
    """What the total consists of besides the items."""
    return {
        "discount": order.discount,
        "shipping": order.shipping,
        "tax": order.tax,
        "tax_included": order.tax_included,
    }


def _cart_fields(cart: CartVersion | None) -> dict[str, Any]:
    """The fields that name the version of a cart."""
    return {"cart_id": cart.cart_id if cart else None, "cart_version": cart.version if cart else None}


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
