"""What is said of an order, from the order itself."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from contracts.event import Event
from contracts.order import (
    Order,
    OrderCancelled,
    OrderDelivered,
    OrderItem,
    OrderPaid,
    OrderPlaced,
    OrderRefunded,
    OrderShipped,
    OrderStatus,
    PlacedItem,
)
from services.order.domain.orders import Draft, Kept
from services.order.domain.states import Step


def placed(draft: Draft, order: Order) -> OrderPlaced:
    cart = draft.cart
    return OrderPlaced(
        **_order(order),
        hold_id=draft.hold.hold_id,
        cart_id=cart.cart_id if cart else None,
        cart_version=cart.version if cart else None,
        charge=draft.payment_method is not None,
        items=_items(order.items),
    )


def moved(step: Step, kept: Kept) -> Event:
    """That the order has taken a step."""
    return _TOLD[step.target](step, kept)


def _paid(_step: Step, kept: Kept) -> Event:
    assert kept.order.payment_id is not None, "paid by nothing"
    items = _items(kept.order.items)
    return OrderPaid(**_order(kept.order), hold_id=kept.hold_id, payment_id=kept.order.payment_id, items=items)


def _cancelled(step: Step, kept: Kept) -> Event:
    assert step.reason is not None, "cancelled without a reason"
    return OrderCancelled(
        **_order(kept.order),
        hold_id=kept.hold_id,
        payment_id=kept.order.payment_id,
        was=kept.was,
        reason=step.reason,
    )


def _shipped(_step: Step, kept: Kept) -> Event:
    assert kept.order.tracking is not None, "shipped without tracking"
    return OrderShipped(**_order(kept.order), tracking=kept.order.tracking)


def _delivered(_step: Step, kept: Kept) -> Event:
    return OrderDelivered(**_order(kept.order))


def _refunded(_step: Step, kept: Kept) -> Event:
    assert kept.order.payment_id is not None, "refunded what was never paid"
    return OrderRefunded(**_order(kept.order), payment_id=kept.order.payment_id)


_TOLD: Mapping[OrderStatus, Callable[[Step, Kept], Event]] = MappingProxyType(
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


def _items(items: list[OrderItem]) -> list[PlacedItem]:
    return [
        PlacedItem(
            sku=item.sku,
            product_id=item.product_id,
            name=item.name,
            quantity=item.quantity,
            unit_price=item.unit_price,
        )
        for item in items
    ]
