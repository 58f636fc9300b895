"""Orders: their states and parts, and the requests about them."""

from enum import StrEnum
from http import HTTPStatus
from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator, model_validator

from contracts.cart import CartId
from contracts.catalog import Attributes, RequestedLine
from contracts.coupons import CouponCode
from contracts.failure import Fail
from contracts.gift_cards import MAX_GIFT_CARDS, GiftCardCode, GiftCardPart, LastFour
from contracts.model import (
    Email,
    Id,
    InputTimestamp,
    Model,
    PageParams,
    Quantity,
    Secret,
    SingleLine,
    Sku,
    StoredEmail,
    Timestamp,
    exactly_one_message,
    require_exactly_one,
)
from contracts.money import Money
from contracts.order.addresses import Address, AddressInput
from contracts.order.fulfilments import Fulfilment, FulfilmentState, ShipmentTracking
from contracts.order.order_notes import OrderNote
from contracts.order.order_status import OrderStatus
from contracts.order.shipping import STANDARD_SHIPPING, ShippingMethodCode
from contracts.order.taxes import TaxLine
from contracts.payment import PaymentMethod

SERVICE = "order"
MAX_TOKEN_LENGTH = 128
"""Of the token of a guest's order, as a client may send it."""


class IllegalTransition(Fail, status=HTTPStatus.CONFLICT, code="illegal_transition"):
    """The order's status does not allow this."""


class EmailRequired(Fail, status=HTTPStatus.UNPROCESSABLE_ENTITY, code="email_required"):
    """A guest's order needs an `email`."""


class TooManyGuestOrders(Fail, status=HTTPStatus.TOO_MANY_REQUESTS, code="too_many_guest_orders"):
    """Too many orders were placed without an account."""


class CancelReason(StrEnum):
    """Why an order was cancelled."""

    CUSTOMER = "customer"
    ADMIN = "admin"
    PAYMENT_FAILED = "payment_failed"
    UNPAID = "unpaid"
    HOLD_LOST = "hold_lost"


class OrderItem(Model):
    """One line of an order, at the price of its placing."""

    sku: Sku
    product_id: Id
    name: Annotated[SingleLine, Field(description="The product's name.")]
    options: Annotated[Attributes, Field(description="The variant's options, such as size and colour.")]
    quantity: Annotated[Quantity, Field(description="Units ordered.")]
    cancelled: Annotated[int, Field(ge=0, description="Units of these that were cancelled before they left.")] = 0
    unit_price: Annotated[Money, Field(description="The price of one unit.")]
    line_total: Annotated[Money, Field(description="The price of all units.")]
    discount: Annotated[
        Money,
        Field(
            default_factory=lambda line: Money(amount=0, currency=line["line_total"].currency),
            description="What is taken off the price of all units.",
        ),
    ]
    tax_lines: Annotated[list[TaxLine], Field(description="The taxes on these goods.")] = []
    shipping_tax_lines: Annotated[
        list[TaxLine], Field(description="The taxes on this line's share of the shipping.")
    ] = []


class OrderHistoryEntry(Model):
    """A status that an order has reached."""

    status: OrderStatus
    at: Annotated[Timestamp, Field(description="When the order reached it.")]
    note: Annotated[SingleLine | None, Field(description="Why, such as the reason of a cancellation.")] = None


class Order(Model):
    """An order."""

    id: Id
    number: Annotated[str, Field(description="A short number for customers and support.")]
    user_id: Annotated[Id | None, Field(description="The customer; null for a guest.")]
    status: OrderStatus
    items: Annotated[list[OrderItem], Field(description="What was ordered.")]
    subtotal: Annotated[Money, Field(description="The sum of the items.")]
    discount: Annotated[Money, Field(description="What is taken off items and shipping together.")]
    coupon: Annotated[SingleLine | None, Field(description="The coupon's code, if one was used.")] = None
    shipping: Annotated[Money, Field(description="The cost of shipping, before its discount.")]
    shipping_discount: Annotated[
        Money,
        Field(
            default_factory=lambda order: Money(amount=0, currency=order["shipping"].currency),
            description="The part of the discount that is taken off shipping.",
        ),
    ]
    shipping_method: Annotated[
        SingleLine, Field(description="The code of the shipping method; `none` if nothing is shipped.")
    ] = STANDARD_SHIPPING
    tax: Annotated[Money, Field(description="The tax on goods and shipping.")]
    tax_included: Annotated[bool, Field(description="Whether the prices include the tax.")] = False
    tax_lines: Annotated[list[TaxLine], Field(description="The taxes on goods and shipping, each rate's sum.")] = []
    total: Annotated[Money, Field(description="What the customer pays.")]
    gift_card_total: Annotated[
        Money,
        Field(
            default_factory=lambda order: Money(amount=0, currency=order["total"].currency),
            description="The part of the total that gift cards pay.",
        ),
    ]
    gift_cards: Annotated[
        list[LastFour], Field(description="The last four characters of each of these gift cards.")
    ] = []
    shipping_address: Address
    billing_address: Annotated[
        Address | None, Field(description="Who is billed; null if it is who the order is shipped to.")
    ] = None
    payment_id: Annotated[Id | None, Field(description="The payment that paid it, once there is one.")] = None
    tracking: Annotated[ShipmentTracking | None, Field(description="That of the last parcel that can be followed.")] = (
        None
    )
    fulfilment: Annotated[FulfilmentState, Field(description="How much of the order has left.")] = FulfilmentState.NONE
    fulfilments: Annotated[list[Fulfilment], Field(description="The parcels that have left, the first one first.")] = []
    history: Annotated[list[OrderHistoryEntry], Field(description="The statuses so far, the oldest first.")]
    notes: Annotated[
        list[OrderNote],
        Field(description="The notes that the customer may read. An administrator who reads one order gets all."),
    ] = []
    created_at: Timestamp
    updated_at: Timestamp


class PlacedOrder(Order):
    """An order that was just placed; a guest gets the token that opens it."""

    access_token: Annotated[
        str | None,
        Field(description="A guest's key to this order and its payments: send it as `Order-Access`. Keep it secret."),
    ] = None


class PlaceOrder(Model):
    """An order of `items` or of a cart. With a `payment_method` it is charged at once."""

    items: Annotated[
        list[RequestedLine] | None,
        Field(min_length=1, max_length=100, description="What to order, unless a `cart_id` is given."),
    ] = None
    cart_id: Annotated[CartId | None, Field(description="The cart to order, unless `items` are given.")] = None
    address_id: Annotated[
        Id | None, Field(description="One of the customer's saved addresses, unless a `shipping_address` is given.")
    ] = None
    shipping_address: Annotated[
        AddressInput | None, Field(validate_default=True, description="Where to ship, unless an `address_id` is given.")
    ] = None
    billing_address: Annotated[
        AddressInput | None, Field(description="Who is billed, unless it is who the order is shipped to.")
    ] = None
    shipping_method: Annotated[
        ShippingMethodCode,
        Field(
            description="The code of a method that ships to the address; `standard` also means the cheapest. An order "
            "in which nothing is shipped needs none."
        ),
    ] = STANDARD_SHIPPING
    payment_method: Annotated[
        PaymentMethod | None, Field(description="The payment provider's token to charge; without it, pay later.")
    ] = None
    email: Annotated[Email | None, Field(description="Required for a guest's order.")] = None
    coupon: Annotated[
        CouponCode | None, Field(description="A coupon's code; without it, the coupon of the cart is used.")
    ] = None
    gift_cards: Annotated[
        list[GiftCardCode] | None,
        Field(
            max_length=MAX_GIFT_CARDS,
            description="Codes of gift cards. Each pays in turn what is still due; an order that they pay completely "
            "needs no `payment_method`.",
        ),
    ] = None

    @model_validator(mode="after")
    def _require_items_or_cart(self) -> "PlaceOrder":
        require_exactly_one(self, "items", "cart_id")
        return self

    @field_validator("shipping_address")
    @classmethod
    def _require_one_address(cls, value: AddressInput | None, info: ValidationInfo) -> AddressInput | None:
        if (value is None) == (info.data.get("address_id") is None):
            raise ValueError(exactly_one_message("shipping_address", "address_id"))
        return value


class OrderRef(Model):
    """Names an order."""

    id: Id


class OrderSearch(Model):
    """Which orders a list or a file holds: those that match every filter."""

    status: Annotated[OrderStatus | None, Field(description="Only orders with this status.")] = None
    user_id: Annotated[Id | None, Field(description="Only orders of this customer; for administrators.")] = None
    from_: Annotated[
        InputTimestamp | None,
        Field(alias="from", description="Only orders placed at this time or later; a date is its midnight in UTC."),
    ] = None
    to: Annotated[
        InputTimestamp | None,
        Field(description="Only orders placed before this time; a date is its midnight in UTC."),
    ] = None
    number: Annotated[SingleLine | None, Field(description="Only the order with this number.")] = None
    sku: Annotated[Sku | None, Field(description="Only orders of this SKU.")] = None
    name: Annotated[
        SingleLine | None,
        Field(description="Only orders with all these words in the names and companies of their addresses."),
    ] = None
    email: Annotated[
        Email | None,
        Field(description="Only orders of guests with this e-mail and of the account that has it; for administrators."),
    ] = None


class ListOrders(OrderSearch, PageParams):
    """Filters of a list of orders."""


class PayOrder(Model):
    """How to pay an order."""

    id: Id
    payment_method: Annotated[PaymentMethod, Field(description="The payment provider's token to charge.")]


class UpdateOrder(Model):
    """A new status or a new shipping address.

    `shipped` needs `tracking` and sends all that has not left as one parcel; the address can change until then.
    `delivered` marks every parcel as delivered.
    """

    id: Id
    status: Annotated[OrderStatus | None, Field(description="The new status: `shipped` or `delivered`.")] = None
    tracking: Annotated[ShipmentTracking | None, Field(description="Required with the status `shipped`.")] = None
    shipping_address: Annotated[AddressInput | None, Field(description="The new address.")] = None

    @model_validator(mode="after")
    def _require_one_change(self) -> "UpdateOrder":
        require_exactly_one(self, "status", "shipping_address")
        if (self.status is OrderStatus.SHIPPED) != (self.tracking is not None):
            message = "Provide `tracking` if, and only if, `status` is `shipped`."
            raise ValueError(message)
        return self


class PayablesRequest(Model):
    """Asks what is to be charged for these orders."""

    order_ids: Annotated[list[Id], Field(min_length=1, max_length=100)]
    access_token: Annotated[
        str | None, Field(max_length=MAX_TOKEN_LENGTH, description="The token that a guest sent, to be checked.")
    ] = None


class Payable(Model):
    """What payment needs to charge an order. The payment method is never part of an event."""

    order_id: Id
    user_id: Id | None
    status: OrderStatus
    total: Money
    payment_method: PaymentMethod | None
    gift_cards: Annotated[GiftCardPart | None, Field(description="The part that the gateway does not charge.")] = None
    open_to_token: Annotated[bool, Field(description="Whether the request's token is that of this order.")] = False


class PayableList(Model):
    """What is to be charged, order by order."""

    items: list[Payable]


class GuestContactRequest(Model):
    """Asks for the contact details of the guest who placed an order."""

    order_id: Id
    with_access_token: Annotated[
        bool, Field(description="Whether to return the order's token too. No customer may have claimed the order.")
    ] = False


class GuestContact(Model):
    """The contact details of the guest who placed an order."""

    email: StoredEmail
    name: SingleLine
    access_token: Annotated[Secret | None, Field(description="The token that opens the order, if asked for.")] = None
