"""order: orders, from placed to delivered, and the saga that takes each of them to an end."""

from enum import StrEnum
from http import HTTPStatus
from typing import Annotated

from pydantic import Field, StringConstraints, ValidationInfo, field_validator, model_validator

from contracts.cart import CartChanged, CartEmpty, CartId
from contracts.catalog import Attributes, HoldLine, HoldMismatch, OutOfStock, SkuUnknown
from contracts.event import Event
from contracts.failure import BadCursor, Fail, Forbidden, NotFound, PreconditionFailed, Unauthorized
from contracts.identity import Access
from contracts.model import Country, Email, Id, Instant, Line, Listing, Model, Name, Page, Quantity, Sku, Time
from contracts.money import Money
from contracts.operation import OPERATOR, Operation, Owned
from contracts.payment import AlreadyPaid, CardNumberRefused, NotPayable, Payment, PaymentMethod, PaymentMethodUnknown
from contracts.repair import Repair, Repaired

SERVICE = "order"


class IllegalTransition(Fail, status=HTTPStatus.CONFLICT):
    """The order is not in a state where this can be done."""


class EmailRequired(Fail, status=HTTPStatus.UNPROCESSABLE_ENTITY):
    """A guest's order needs an e-mail."""


class OrderStatus(StrEnum):
    PENDING = "pending"
    PAID = "paid"
    SHIPPED = "shipped"
    DELIVERED = "delivered"
    CANCELLED = "cancelled"
    REFUNDED = "refunded"


class CancelReason(StrEnum):
    """Why an order came to nothing."""

    CUSTOMER = "customer"
    ADMIN = "admin"
    PAYMENT_FAILED = "payment_failed"
    UNPAID = "unpaid"
    HOLD_LOST = "hold_lost"


class Address(Model):
    name: Annotated[Name, StringConstraints(max_length=200)]
    line1: Annotated[Name, StringConstraints(max_length=200)]
    line2: Annotated[Line | None, StringConstraints(max_length=200)] = None
    city: Annotated[Name, StringConstraints(max_length=100)]
    region: Annotated[Line | None, StringConstraints(max_length=100)] = None
    postal_code: Annotated[Name, StringConstraints(max_length=20)]
    country: Country
    phone: Annotated[str | None, StringConstraints(pattern=r"^\+?[0-9 ()./-]{3,32}$")] = None


class OrderItem(Model):
    sku: Sku
    product_id: Id
    name: Line
    options: Attributes
    quantity: Quantity
    unit_price: Money
    line_total: Money


class Tracking(Model):
    carrier: Annotated[Name, StringConstraints(max_length=100)]
    number: Annotated[Name, StringConstraints(max_length=100)]


class HistoryEntry(Model):
    status: OrderStatus
    at: Time
    note: Line | None = None


class Order(Model):
    id: Id
    number: Annotated[str, Field(description="What a customer reads out on the telephone.")]
    user_id: Id | None
    status: OrderStatus
    items: list[OrderItem]
    subtotal: Money
    discount: Money
    shipping: Money
    tax: Money
    total: Money
    shipping_address: Address
    payment_id: Id | None = None
    tracking: Tracking | None = None
    history: list[HistoryEntry]
    created_at: Time
    updated_at: Time


class ShippingMethod(StrEnum):
    STANDARD = "standard"


class PlaceOrder(Model):
    """From `items` or from a cart; with `payment_method` the charge starts by itself."""

    items: Annotated[list[HoldLine] | None, Field(min_length=1, max_length=100)] = None
    cart_id: CartId | None = None
    address_id: Annotated[Id | None, Field(description="One of the customer's own addresses, to send it to.")] = None
    shipping_address: Annotated[Address | None, Field(validate_default=True)] = None
    shipping_method: ShippingMethod = ShippingMethod.STANDARD
    payment_method: PaymentMethod | None = None
    email: Annotated[Email | None, Field(description="Of a guest.")] = None

    @model_validator(mode="after")
    def _one_of(self) -> "PlaceOrder":
        if (self.items is None) == (self.cart_id is None):
            message = "is made from either items or a cart_id"
            raise ValueError(message)
        return self

    @field_validator("shipping_address")
    @classmethod
    def _or_one_that_is_known(cls, value: Address | None, info: ValidationInfo) -> Address | None:
        if (value is None) == (info.data.get("address_id") is None):
            message = "is said, or else an address_id"
            raise ValueError(message)
        return value


class OrderOf(Model):
    id: Id


class ListOrders(Page):
    status: OrderStatus | None = None
    user_id: Annotated[Id | None, Field(description="For administrators.")] = None
    from_: Annotated[Instant | None, Field(alias="from", description="Placed at this moment or later.")] = None
    to: Annotated[Instant | None, Field(description="Placed before this moment.")] = None
    number: Annotated[Line | None, Field(description="The one order that a customer reads out.")] = None


class PayOrder(Model):
    id: Id
    payment_method: PaymentMethod


class UpdateOrder(Model):
    """`shipped` with its tracking, `delivered`, or another address while it has not left."""

    id: Id
    status: OrderStatus | None = None
    tracking: Tracking | None = None
    shipping_address: Address | None = None

    @model_validator(mode="after")
    def _something(self) -> "UpdateOrder":
        if (self.status is None) == (self.shipping_address is None):
            message = "says either a status or a shipping_address"
            raise ValueError(message)
        if (self.status is OrderStatus.SHIPPED) != (self.tracking is not None):
            message = "says shipped together with its tracking"
            raise ValueError(message)
        return self


class PayablesOf(Model):
    order_ids: Annotated[list[Id], Field(min_length=1, max_length=100)]


class Payable(Model):
    """What payment needs to know to charge an order. The method is asked for, never told in an event."""

    order_id: Id
    user_id: Id | None
    status: OrderStatus
    total: Money
    payment_method: PaymentMethod | None


class Payables(Model):
    items: list[Payable]


class GuestOf(Model):
    order_id: Id


class Guest(Model):
    """Where the guest who placed an order is reached."""

    email: Email
    name: Line


class PlacedItem(Model):
    sku: Sku
    product_id: Id
    name: Line
    quantity: Quantity
    unit_price: Money


class OrderEvent(Model):
    """What every event of an order says."""

    order_id: Id
    number: str
    user_id: Id | None
    total: Money


class OrderPlaced(OrderEvent, Event, service=SERVICE, name="placed", key="order_id"):
    """An order was placed and its stock is held. `charge` says that the payment is to start by itself."""

    hold_id: Id
    cart_id: str | None
    cart_version: int | None
    charge: bool
    items: list[PlacedItem]


class OrderPaid(OrderEvent, Event, service=SERVICE, name="paid", key="order_id"):
    """The money is there; the held stock is sold."""

    hold_id: Id
    payment_id: Id
    items: list[PlacedItem]


class OrderCancelled(OrderEvent, Event, service=SERVICE, name="cancelled", key="order_id"):
    """The order came to nothing: stock returns, money goes back. `was` is the status before."""

    hold_id: Id
    payment_id: Id | None
    was: OrderStatus
    reason: CancelReason


class OrderShipped(OrderEvent, Event, service=SERVICE, name="shipped", key="order_id"):
    """The goods are on their way."""

    tracking: Tracking


class OrderDelivered(OrderEvent, Event, service=SERVICE, name="delivered", key="order_id"):
    """The goods have arrived."""


class OrderRefunded(OrderEvent, Event, service=SERVICE, name="refunded", key="order_id"):
    """All of the money went back."""

    payment_id: Id


PLACING = (
    NotFound,
    Unauthorized,
    SkuUnknown,
    OutOfStock,
    HoldMismatch,
    CartEmpty,
    CartChanged,
    EmailRequired,
    CardNumberRefused,
)
CUSTOMER, SERVICES = Access.CUSTOMER, Access.SERVICE

PLACE = Operation(
    SERVICE,
    "place",
    PlaceOrder,
    Order,
    "Place an order; its stock is held",
    Access.ANYONE,
    PLACING,
    writes=True,
    owned=(Owned("cart", named="cart_id", guests=True), Owned("address", named="address_id")),
)
LIST = Operation(
    SERVICE,
    "list",
    ListOrders,
    Listing[Order],
    "List orders",
    CUSTOMER,
    (BadCursor, Forbidden),
    owned=(Owned("orders", admins=True),),
)
GET = Operation(
    SERVICE,
    "get",
    OrderOf,
    Order,
    "Read an order",
    CUSTOMER,
    (NotFound,),
    owned=(Owned("order", named="id", admins=True),),
)
CANCEL = Operation(
    SERVICE,
    "cancel",
    OrderOf,
    Order,
    "Cancel an order",
    CUSTOMER,
    (NotFound, IllegalTransition, PreconditionFailed),
    writes=True,
    owned=(Owned("order", named="id", admins=True),),
)
PAY = Operation(
    SERVICE,
    "pay",
    PayOrder,
    Payment,
    "Pay an order",
    CUSTOMER,
    (NotFound, IllegalTransition, AlreadyPaid, NotPayable, PaymentMethodUnknown, CardNumberRefused),
    writes=True,
    owned=(Owned("order", named="id"),),
)
UPDATE = Operation(
    SERVICE,
    "update",
    UpdateOrder,
    Order,
    "Move an order on",
    Access.ADMIN,
    (NotFound, IllegalTransition, PreconditionFailed),
    writes=True,
)
PAYABLES = Operation(
    SERVICE, "payables", PayablesOf, Payables, "What is to be charged for orders", SERVICES, callers=("payment",)
)
GUEST = Operation(
    SERVICE, "guest", GuestOf, Guest, "Where an order's guest is reached", SERVICES, (NotFound,), ("notification",)
)
REPAIR = Operation(
    SERVICE, "repair", Repair, Repaired, "Put orders right that are stuck", SERVICES, callers=(OPERATOR,), writes=True
)

OPERATIONS = (PLACE, LIST, GET, CANCEL, PAY, UPDATE, PAYABLES, GUEST, REPAIR)
EVENTS = (OrderPlaced, OrderPaid, OrderCancelled, OrderShipped, OrderDelivered, OrderRefunded)
