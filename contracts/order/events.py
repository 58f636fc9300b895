"""The events of an order, from placed to delivered or refunded."""

from contracts.event import Event
from contracts.model import (
    Id,
    Model,
    Quantity,
    SingleLine,
    Sku,
)
from contracts.money import Money
from contracts.order.orders import SERVICE, CancelReason, OrderStatus, ShipmentTracking


class PlacedOrderItem(Model):
    """One line of an order, in an event."""

    sku: Sku
    product_id: Id
    name: SingleLine
    quantity: Quantity
    unit_price: Money


class OrderEvent(Model):
    """The fields of every event of an order."""

    order_id: Id
    number: str
    user_id: Id | None
    total: Money


class OrderAmounts(Model):
    """What an order's total consists of besides its items. Events published before they were named here lack them."""

    discount: Money | None = None
    shipping: Money | None = None
    tax: Money | None = None
    tax_included: bool = False


class OrderPlaced(OrderAmounts, OrderEvent, Event, service=SERVICE, name="placed", key="order_id"):
    """An order was placed and its stock is held. `charge` asks payment to charge it at once."""

    hold_id: Id
    cart_id: str | None
    cart_version: int | None
    charge: bool
    items: list[PlacedOrderItem]


class OrderPaid(OrderAmounts, OrderEvent, Event, service=SERVICE, name="paid", key="order_id"):
    """The order is paid; the held stock is sold, and the cart that it was placed from gives up the ordered units.

    Events published before the cart was named here lack `cart_id` and `cart_version`.
    """

    hold_id: Id
    payment_id: Id
    cart_id: str | None = None
    cart_version: int | None = None
    items: list[PlacedOrderItem]


class OrderCancelled(OrderEvent, Event, service=SERVICE, name="cancelled", key="order_id"):
    """The order was cancelled: its stock is released and its payment refunded. `was` is the status before."""

    hold_id: Id
    payment_id: Id | None
    was: OrderStatus
    reason: CancelReason


class OrderShipped(OrderEvent, Event, service=SERVICE, name="shipped", key="order_id"):
    """The goods are on their way."""

    tracking: ShipmentTracking


class OrderDelivered(OrderEvent, Event, service=SERVICE, name="delivered", key="order_id"):
    """The goods have arrived."""


class OrderRefunded(OrderEvent, Event, service=SERVICE, name="refunded", key="order_id"):
    """The whole payment was refunded."""

    payment_id: Id


EVENTS = (OrderPlaced, OrderPaid, OrderCancelled, OrderShipped, OrderDelivered, OrderRefunded)
