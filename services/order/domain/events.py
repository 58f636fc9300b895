"""The events of an order, built from the order itself."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any
from uuid import UUID

from contracts.event import Event
from contracts.order import (
    CancelReason,
    Order,
    OrderCancelled,
    OrderClaimed,
    OrderDelivered,
    OrderItem,
    OrderPaid,
    OrderPlaced,
    OrderRefunded,
    OrderShipped,
    OrderStatus,
    OrderUnitsCancelled,
    PlacedOrderItem,
    ShipmentTracking,
    SkuQuantity,
)
from services.order.domain.cancellations import Cancellation
from services.order.domain.fulfilments import lines_of, units_left
from services.order.domain.gift_cards import gift_card_part, has_nothing_due
from services.order.domain.orders import CartVersion, OrderDraft, OrderRecord
from services.order.domain.states import NEXT_STATUSES, Transition

UNTRACKED = ShipmentTracking(carrier="untracked", number="untracked")
"""Stands in the event of a parcel that cannot be followed: older consumers expect a carrier and a number."""


def placed_event(draft: OrderDraft, order: Order) -> OrderPlaced:
    """Returns the event of a new order."""
    charge = draft.payment_method is not None or has_nothing_due(order)
    placed = _placed(order, draft.hold.hold_id, draft.cart, draft.gift_card_hold_id, charge=charge)
    return placed.model_copy(update={"order_version": 1})


def transition_event(transition: Transition, record: OrderRecord) -> Event:
    """Returns the event of an order that has just made this transition; `shipped_event` those of its parcels."""
    return _BUILDERS[transition.target](transition, record)


def shipped_event(record: OrderRecord, number: int) -> OrderShipped:
    """Returns the event of the order's parcel with this number, from 1."""
    order, parcel = record.order, record.order.fulfilments[number - 1]
    return OrderShipped(
        **_common_fields(order),
        order_version=record.version,
        tracking=parcel.tracking or UNTRACKED,
        is_tracked=parcel.tracking is not None,
        fulfilment_id=parcel.id,
        items=_items_in(parcel.items, order.items),
        units_left=sum(units_left(order.items, order.fulfilments[:number]).values()),
    )


def units_cancelled_event(record: OrderRecord, cancellation: Cancellation) -> OrderUnitsCancelled:
    """Returns the event of a cancellation of units."""
    order = record.order
    assert order.payment_id is not None, "units are cancelled once the order is paid"
    return OrderUnitsCancelled(
        **_common_fields(order),
        order_version=record.version,
        cancellation_id=cancellation.id,
        hold_id=record.hold_id,
        payment_id=order.payment_id,
        amount=cancellation.amount,
        items=_items_in(cancellation.items, order.items),
        remaining=lines_of(units_left(order.items, [])),
        units_left=sum(units_left(order.items, order.fulfilments).values()),
        reason=cancellation.reason,
    )


def transition_events(transition: Transition, record: OrderRecord) -> list[Event]:
    """Returns the event of an order that has just made this transition.

    A claimed order that was pending tells its customer again: a payment of the guest may have been opened when the
    claim was made, and no more can be opened now.
    """
    is_told = record.is_claimed and record.previous_status is OrderStatus.PENDING
    event = transition_event(transition, record).model_copy(update={"order_version": record.version})
    return [event, *([claimed_event(record.order)] if is_told else [])]


def claimed_event(order: Order) -> OrderClaimed:
    """Returns the event of a guest's order that belongs to a customer."""
    return OrderClaimed(**_common_fields(order))


def past_events(record: OrderRecord, *, charge: bool) -> list[Event]:
    """Returns all events of an order so far, from its history; none when the history does not lead to its status."""
    charge = charge or has_nothing_due(record.order)
    events: list[Event] = [_placed(record.order, record.hold_id, record.cart, record.gift_card_hold_id, charge=charge)]
    while_paid: list[Event] = [shipped_event(record, number + 1) for number in range(len(record.order.fulfilments))]
    while_paid += [units_cancelled_event(record, cancellation) for cancellation in record.cancellations]
    status = OrderStatus.PENDING
    for entry in record.order.history:
        if entry.status is not status:
            reason = CancelReason(entry.note) if entry.note in set(CancelReason) else None
            if entry.status not in NEXT_STATUSES[status] or (entry.status is OrderStatus.CANCELLED and reason is None):
                return []
            if entry.status is not OrderStatus.SHIPPED:
                transition = Transition(entry.status, frozenset({status}), reason)
                events.append(transition_event(transition, replace(record, previous_status=status)))
            if entry.status is OrderStatus.PAID:
                events += while_paid
            status = entry.status
    if status is not record.order.status:
        return []
    return [*events, *([claimed_event(record.order)] if record.is_claimed else [])]


def _placed(
    order: Order, hold_id: UUID, cart: CartVersion | None, gift_card_hold_id: UUID | None, *, charge: bool
) -> OrderPlaced:
    return OrderPlaced(
        **_common_fields(order),
        **_amounts(order),
        **_cart_fields(cart),
        hold_id=hold_id,
        charge=charge,
        items=_items(order.items),
        gift_cards=gift_card_part(order, gift_card_hold_id),
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
        gift_cards=gift_card_part(record.order, record.gift_card_hold_id),
    )


def _delivered(_transition: Transition, record: OrderRecord) -> Event:
    return OrderDelivered(**_common_fields(record.order))


def _refunded(_transition: Transition, record: OrderRecord) -> Event:
    assert record.order.payment_id is not None, "a refunded order was paid"
    return OrderRefunded(**_common_fields(record.order), payment_id=record.order.payment_id)


_BUILDERS: Mapping[OrderStatus, Callable[[Transition, OrderRecord], Event]] = MappingProxyType(
    {
        OrderStatus.PAID: _paid,
        OrderStatus.CANCELLED: _cancelled,
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


def _items_in(lines: Sequence[SkuQuantity], items: list[OrderItem]) -> list[PlacedOrderItem]:
    """The items of which these lines hold units, with the units of the lines."""
    units = {line.sku: line.quantity for line in lines}
    return [item.model_copy(update={"quantity": units[item.sku]}) for item in _items(items) if item.sku in units]


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
