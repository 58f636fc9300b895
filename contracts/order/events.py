"""The events of an order, from placed to delivered or refunded."""

from typing import Annotated

from pydantic import Field

from contracts.event import Event
from contracts.gift_cards import GiftCardPart
from contracts.model import (
    Id,
    Model,
    Quantity,
    SingleLine,
    Sku,
)
from contracts.money import Money
from contracts.order.fulfilments import ShipmentTracking, SkuQuantity
from contracts.order.order_status import OrderStatus
from contracts.order.orders import SERVICE, CancelReason


class PlacedOrderItem(Model):
    """One line of an order, in an event."""

    sku: Sku
    product_id: Id
    name: SingleLine
    quantity: Quantity
    unit_price: Money


class OrderEvent(Model):
    """The fields of every event of an order. Events published before `order_version` was there lack it."""

    order_id: Id
    number: str
    user_id: Id | None
    total: Money
    order_version: Annotated[int | None, Field(description="The order's version once this had happened.")] = None


class OrderAmounts(Model):
    """What an order's total consists of besides its items. Events published before they were named here lack them."""

    discount: Money | None = None
    shipping: Money | None = None
    tax: Money | None = None
    tax_included: bool = False


class OrderPlaced(OrderAmounts, OrderEvent, Event, service=SERVICE, name="placed", key="order_id"):
    """An order was placed and its stock is held. `charge` asks payment to charge it at once.

    `gift_cards` is the part of the total that gift cards pay; payment keeps it on hold.
    """

    hold_id: Id
    cart_id: str | None
    cart_version: int | None
    charge: bool
    items: list[PlacedOrderItem]
    gift_cards: GiftCardPart | None = None


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
    """The order was cancelled: its stock is released and its payment refunded. `was` is the status before.

    `gift_cards` names the hold on gift cards that is released, if the order was placed with any.
    """

    hold_id: Id
    payment_id: Id | None
    was: OrderStatus
    reason: CancelReason
    gift_cards: GiftCardPart | None = None


class OrderShipped(OrderEvent, Event, service=SERVICE, name="shipped", key="order_id"):
    """A parcel is on its way. An order that leaves in several parcels has one of these events for each.

    Events published before parcels were known lack their fields: such a parcel holds the whole order.
    """

    tracking: Annotated[
        ShipmentTracking, Field(description="Of a parcel that cannot be followed: `untracked`; see `is_tracked`.")
    ]
    is_tracked: Annotated[bool, Field(description="Whether the parcel can be followed.")] = True
    fulfilment_id: Annotated[Id | None, Field(description="Identifies the parcel.")] = None
    items: Annotated[list[PlacedOrderItem], Field(description="What is in the parcel.")] = []
    units_left: Annotated[int, Field(description="Units of the order that leave later, in other parcels.")] = 0


class OrderUnitsCancelled(OrderEvent, Event, service=SERVICE, name="units_cancelled", key="order_id"):
    """Units of a paid order were cancelled before they left: their stock is returned and their money refunded.

    The other units of the order stay: `remaining` has those of each SKU that were not cancelled, this time or before.
    A SKU of which none remains is absent.
    """

    cancellation_id: Annotated[Id, Field(description="Identifies the cancellation, and the refund of its amount.")]
    hold_id: Id
    payment_id: Id
    amount: Annotated[Money, Field(description="What goes back to the customer.")]
    items: Annotated[list[PlacedOrderItem], Field(description="What was cancelled.")]
    remaining: list[SkuQuantity]
    units_left: Annotated[int, Field(description="Units of the order that leave later; with 0, it is shipped.")] = 0
    reason: CancelReason


class OrderDelivered(OrderEvent, Event, service=SERVICE, name="delivered", key="order_id"):
    """The whole order has arrived."""


class OrderRefunded(OrderEvent, Event, service=SERVICE, name="refunded", key="order_id"):
    """The whole payment was refunded."""

    payment_id: Id


class OrderClaimed(OrderEvent, Event, service=SERVICE, name="claimed", key="order_id"):
    """A guest's order belongs to a customer from now on.

    It is published again when a claimed order is paid or cancelled, for a payment that was opened meanwhile.
    """

    user_id: Id


class OrderLookupRequested(OrderEvent, Event, service=SERVICE, name="lookup_requested", key="order_id"):
    """A link to a guest's order is to be mailed. The order itself has not changed."""

    lookup_id: Id


EVENTS = (
    OrderPlaced,
    OrderPaid,
    OrderCancelled,
    OrderShipped,
    OrderUnitsCancelled,
    OrderDelivered,
    OrderRefunded,
    OrderClaimed,
    OrderLookupRequested,
)
