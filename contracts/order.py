"""order: orders, from placed to delivered, and the saga that takes each of them to an end."""

from enum import StrEnum
from http import HTTPStatus
from typing import Annotated

from pydantic import Field, StringConstraints, ValidationInfo, field_validator, model_validator

from contracts.cart import CartChanged, CartEmpty, CartId
from contracts.catalog import Attributes, HoldMismatch, OutOfStock, RequestedLine, SkuUnknown
from contracts.event import Event
from contracts.failure import Fail, Forbidden, InvalidCursor, NotFound, PreconditionFailed, Unauthorized
from contracts.identity import Access
from contracts.model import (
    CountryCode,
    Email,
    Id,
    InputTimestamp,
    ListPage,
    Model,
    NonEmptyLine,
    PageParams,
    Quantity,
    SingleLine,
    Sku,
    Timestamp,
)
from contracts.money import Money
from contracts.operation import OPERATOR, Operation, OwnedResource
from contracts.payment import AlreadyPaid, CardNumberRefused, NotPayable, Payment, PaymentMethod, PaymentMethodUnknown
from contracts.repair import RepairRequest, RepairResult

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
    name: Annotated[NonEmptyLine, StringConstraints(max_length=200)]
    line1: Annotated[NonEmptyLine, StringConstraints(max_length=200)]
    line2: Annotated[SingleLine | None, StringConstraints(max_length=200)] = None
    city: Annotated[NonEmptyLine, StringConstraints(max_length=100)]
    region: Annotated[SingleLine | None, StringConstraints(max_length=100)] = None
    postal_code: Annotated[NonEmptyLine, StringConstraints(max_length=20)]
    country: CountryCode
    phone: Annotated[str | None, StringConstraints(pattern=r"^\+?[0-9 ()./-]{3,32}$")] = None


class OrderItem(Model):
    sku: Sku
    product_id: Id
    name: SingleLine
    options: Attributes
    quantity: Quantity
    unit_price: Money
    line_total: Money


class ShipmentTracking(Model):
    carrier: Annotated[NonEmptyLine, StringConstraints(max_length=100)]
    number: Annotated[NonEmptyLine, StringConstraints(max_length=100)]


class OrderHistoryEntry(Model):
    status: OrderStatus
    at: Timestamp
    note: SingleLine | None = None


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
    tracking: ShipmentTracking | None = None
    history: list[OrderHistoryEntry]
    created_at: Timestamp
    updated_at: Timestamp


class ShippingMethod(StrEnum):
    STANDARD = "standard"


class PlaceOrder(Model):
    """From `items` or from a cart; with `payment_method` the charge starts by itself."""

    items: Annotated[list[RequestedLine] | None, Field(min_length=1, max_length=100)] = None
    cart_id: CartId | None = None
    address_id: Annotated[Id | None, Field(description="One of the customer's own addresses, to send it to.")] = None
    shipping_address: Annotated[Address | None, Field(validate_default=True)] = None
    shipping_method: ShippingMethod = ShippingMethod.STANDARD
    payment_method: PaymentMethod | None = None
    email: Annotated[Email | None, Field(description="Of a guest.")] = None

    @model_validator(mode="after")
    def _require_items_or_cart(self) -> "PlaceOrder":
        if (self.items is None) == (self.cart_id is None):
            message = "is made from either items or a cart_id"
            raise ValueError(message)
        return self

    @field_validator("shipping_address")
    @classmethod
    def _require_one_address(cls, value: Address | None, info: ValidationInfo) -> Address | None:
        if (value is None) == (info.data.get("address_id") is None):
            message = "is said, or else an address_id"
            raise ValueError(message)
        return value


class OrderRef(Model):
    id: Id


class ListOrders(PageParams):
    status: OrderStatus | None = None
    user_id: Annotated[Id | None, Field(description="For administrators.")] = None
    from_: Annotated[InputTimestamp | None, Field(alias="from", description="Placed at this moment or later.")] = None
    to: Annotated[InputTimestamp | None, Field(description="Placed before this moment.")] = None
    number: Annotated[SingleLine | None, Field(description="The one order that a customer reads out.")] = None


class PayOrder(Model):
    id: Id
    payment_method: PaymentMethod


class UpdateOrder(Model):
    """`shipped` with its tracking, `delivered`, or another address while it has not left."""

    id: Id
    status: OrderStatus | None = None
    tracking: ShipmentTracking | None = None
    shipping_address: Address | None = None

    @model_validator(mode="after")
    def _require_one_change(self) -> "UpdateOrder":
        if (self.status is None) == (self.shipping_address is None):
            message = "says either a status or a shipping_address"
            raise ValueError(message)
        if (self.status is OrderStatus.SHIPPED) != (self.tracking is not None):
            message = "says shipped together with its tracking"
            raise ValueError(message)
        return self


class PayablesRequest(Model):
    order_ids: Annotated[list[Id], Field(min_length=1, max_length=100)]


class Payable(Model):
    """What payment needs to know to charge an order. The method is asked for, never told in an event."""

    order_id: Id
    user_id: Id | None
    status: OrderStatus
    total: Money
    payment_method: PaymentMethod | None


class PayableList(Model):
    items: list[Payable]


class GuestContactRequest(Model):
    order_id: Id


class GuestContact(Model):
    """Where the guest who placed an order is reached."""

    email: Email
    name: SingleLine


class PlacedOrderItem(Model):
    sku: Sku
    product_id: Id
    name: SingleLine
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
    items: list[PlacedOrderItem]


class OrderPaid(OrderEvent, Event, service=SERVICE, name="paid", key="order_id"):
    """The money is there; the held stock is sold."""

    hold_id: Id
    payment_id: Id
    items: list[PlacedOrderItem]


class OrderCancelled(OrderEvent, Event, service=SERVICE, name="cancelled", key="order_id"):
    """The order came to nothing: stock returns, money goes back. `was` is the status before."""

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
    """All of the money went back."""

    payment_id: Id


PLACE_FAILURES = (
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
    PLACE_FAILURES,
    writes=True,
    owned_resources=(
        OwnedResource("cart", id_field="cart_id", open_to_guests=True),
        OwnedResource("address", id_field="address_id"),
    ),
)
LIST = Operation(
    SERVICE,
    "list",
    ListOrders,
    ListPage[Order],
    "List orders",
    CUSTOMER,
    (InvalidCursor, Forbidden),
    owned_resources=(OwnedResource("orders", open_to_admins=True),),
)
GET = Operation(
    SERVICE,
    "get",
    OrderRef,
    Order,
    "Read an order",
    CUSTOMER,
    (NotFound,),
    owned_resources=(OwnedResource("order", id_field="id", open_to_admins=True),),
)
CANCEL = Operation(
    SERVICE,
    "cancel",
    OrderRef,
    Order,
    "Cancel an order",
    CUSTOMER,
    (NotFound, IllegalTransition, PreconditionFailed),
    writes=True,
    owned_resources=(OwnedResource("order", id_field="id", open_to_admins=True),),
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
    owned_resources=(OwnedResource("order", id_field="id"),),
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
    SERVICE,
    "payables",
    PayablesRequest,
    PayableList,
    "What is to be charged for orders",
    SERVICES,
    callers=("payment",),
)
GUEST = Operation(
    SERVICE,
    "guest",
    GuestContactRequest,
    GuestContact,
    "Where an order's guest is reached",
    SERVICES,
    (NotFound,),
    ("notification",),
)
REPAIR = Operation(
    SERVICE,
    "repair",
    RepairRequest,
    RepairResult,
    "Put orders right that are stuck",
    SERVICES,
    callers=(OPERATOR,),
    writes=True,
)

OPERATIONS = (PLACE, LIST, GET, CANCEL, PAY, UPDATE, PAYABLES, GUEST, REPAIR)
EVENTS = (OrderPlaced, OrderPaid, OrderCancelled, OrderShipped, OrderDelivered, OrderRefunded)
