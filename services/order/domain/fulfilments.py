"""The parcels of an order: what may leave, what has left, and what follows for the order.

Each function takes an order whose row is locked and returns it as it is after the change.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from contracts.failure import FieldError, NotFound
from contracts.order import (
    Fulfilment,
    FulfilmentExceedsOrder,
    FulfilmentState,
    Order,
    OrderHistoryEntry,
    OrderItem,
    OrderStatus,
    ShipmentTracking,
    SkuQuantity,
    TooManyFulfilments,
)
from services.order.domain import states

MAX_LISTED_LINES = 200
"""Lines of all parcels of an order before the last one, so that the order stays small enough for a message."""


def units_left(items: Sequence[OrderItem], fulfilments: Sequence[Fulfilment]) -> Mapping[str, int]:
    """Returns the units that are to leave and have not yet, by SKU. A SKU of which none is left is absent."""
    left = Counter[str]()
    for item in items:
        left[item.sku] += item.quantity - item.cancelled
    for parcel in fulfilments:
        for line in parcel.items:
            left[line.sku] -= line.quantity
    return +left


def state_of(items: Sequence[OrderItem], fulfilments: Sequence[Fulfilment]) -> FulfilmentState:
    """Returns how much of an order has left."""
    if not fulfilments:
        return FulfilmentState.NONE
    return FulfilmentState.PARTIAL if units_left(items, fulfilments) else FulfilmentState.FULL


def parcels_of_unlisted(
    order_id: UUID,
    items: Sequence[OrderItem],
    history: Sequence[OrderHistoryEntry],
    tracking: ShipmentTracking | None,
) -> list[Fulfilment]:
    """Returns the parcels of an order that was stored without any: one of everything if it was shipped, else none.

    The parcel has the order's id: orders were shipped as a whole before parcels were stored.
    """
    sent = [entry for entry in history if entry.status in (OrderStatus.SHIPPED, OrderStatus.DELIVERED)]
    if not sent:
        return []
    arrived = next((entry.at for entry in sent if entry.status is OrderStatus.DELIVERED), None)
    parcel = Fulfilment(
        id=order_id,
        items=lines_of(units_left(items, [])),
        tracking=tracking,
        status=OrderStatus.DELIVERED if arrived else OrderStatus.SHIPPED,
        at=sent[0].at,
        delivered_at=arrived,
    )
    return [parcel]


def add_fulfilment(
    order: Order,
    requested: Sequence[SkuQuantity] | None,
    tracking: ShipmentTracking | None,
    *,
    fulfilment_id: UUID,
    at: datetime,
) -> Order:
    """Adds a parcel of the requested units, or of all that have not left.

    Raises `IllegalTransition`, `FulfilmentExceedsOrder` or `TooManyFulfilments` when it cannot leave.
    """
    states.require_allowed(states.SHIP, order.status)
    left = units_left(order.items, order.fulfilments)
    sent = left if requested is None else require_left(requested, left)
    parcel = Fulfilment(id=fulfilment_id, items=lines_of(sent), tracking=tracking, status=OrderStatus.SHIPPED, at=at)
    listed = sum(len(one.items) for one in (*order.fulfilments, parcel))
    if sent != left and listed > MAX_LISTED_LINES:
        raise TooManyFulfilments
    return _with_fulfilments(order, [*order.fulfilments, parcel], at)


def update_fulfilment(
    order: Order, fulfilment_id: UUID, tracking: ShipmentTracking | None, *, is_delivered: bool, at: datetime
) -> Order:
    """Changes the tracking of a parcel if one is given, and marks it as delivered if it is.

    Raises `NotFound` when the order has no such parcel.
    """
    if all(parcel.id != fulfilment_id for parcel in order.fulfilments):
        raise NotFound
    changed = [
        _changed(parcel, tracking, is_delivered=is_delivered, at=at) if parcel.id == fulfilment_id else parcel
        for parcel in order.fulfilments
    ]
    return _with_fulfilments(order, changed, at)


def deliver_all(order: Order, *, at: datetime) -> Order:
    """Marks every parcel as delivered. Raises `IllegalTransition` unless everything has left."""
    states.require_allowed(states.DELIVER, order.status)
    return _with_fulfilments(
        order, [_changed(parcel, None, is_delivered=True, at=at) for parcel in order.fulfilments], at
    )


def require_left(requested: Sequence[SkuQuantity], left: Mapping[str, int]) -> Mapping[str, int]:
    """Returns the requested units by SKU; several lines may name one SKU.

    Raises `FulfilmentExceedsOrder` when there are more than have not left yet.
    """
    sent, errors = Counter[str](), list[FieldError]()
    for index, line in enumerate(requested):
        sent[line.sku] += line.quantity
        if sent[line.sku] > left.get(line.sku, 0):
            detail = f"{left.get(line.sku, 0)} units of {line.sku} have not left yet."
            errors.append(FieldError(pointer=f"/items/{index}/quantity", detail=detail))
    if errors:
        raise FulfilmentExceedsOrder(errors=errors)
    return sent


def lines_of(units: Mapping[str, int]) -> list[SkuQuantity]:
    """Returns units by SKU as lines."""
    return [SkuQuantity(sku=sku, quantity=quantity) for sku, quantity in units.items()]


def _changed(parcel: Fulfilment, tracking: ShipmentTracking | None, *, is_delivered: bool, at: datetime) -> Fulfilment:
    """The parcel after a change; one that was delivered before keeps its time."""
    update: dict[str, object] = {} if tracking is None else {"tracking": tracking}
    if is_delivered and parcel.status is not OrderStatus.DELIVERED:
        update |= {"status": OrderStatus.DELIVERED, "delivered_at": at}
    return parcel.model_copy(update=update)


def _with_fulfilments(order: Order, fulfilments: list[Fulfilment], at: datetime) -> Order:
    """The order with these parcels; the same order when nothing has changed."""
    if fulfilments == order.fulfilments:
        return order
    return advance(order.model_copy(update={"fulfilments": fulfilments}), at)


def advance(order: Order, at: datetime) -> Order:
    """Returns a changed order with the status that follows from its items and parcels."""
    state, status, reached = state_of(order.items, order.fulfilments), order.status, list[OrderHistoryEntry]()
    if status is OrderStatus.PAID and state is FulfilmentState.FULL:
        status = OrderStatus.SHIPPED
        reached.append(OrderHistoryEntry(status=status, at=at))
    if status is OrderStatus.SHIPPED and all(one.status is OrderStatus.DELIVERED for one in order.fulfilments):
        status = OrderStatus.DELIVERED
        reached.append(OrderHistoryEntry(status=status, at=at))
    return order.model_copy(
        update={
            "status": status,
            "fulfilment": state,
            "tracking": next((one.tracking for one in reversed(order.fulfilments) if one.tracking), order.tracking),
            "history": [*order.history, *reached],
            "updated_at": at,
        }
    )
