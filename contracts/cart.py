"""cart: what a customer or a guest is about to buy."""

from enum import StrEnum
from http import HTTPStatus
from typing import Annotated

from pydantic import Field, StringConstraints

from contracts.catalog import Attributes, OutOfStock, SkuUnknown
from contracts.failure import Fail, NotFound, PreconditionFailed, Unauthorized
from contracts.identity import Access
from contracts.model import Empty, Id, Model, Quantity, SingleLine, Sku, Timestamp
from contracts.money import Money
from contracts.operation import Operation, OwnedResource

SERVICE = "cart"

CartId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
"""A guest's cart id is its secret; `mine` is the signed-in customer's own."""


class CartFull(Fail, status=HTTPStatus.CONFLICT):
    """A cart holds at most 100 different SKUs."""


class CartEmpty(Fail, status=HTTPStatus.CONFLICT):
    """There is nothing in the cart."""


class CartChanged(Fail, status=HTTPStatus.CONFLICT):
    """The cart was changed by somebody else at the same moment; try again."""


class CartMerged(Fail, status=HTTPStatus.CONFLICT):
    """This cart joined another one already."""


class CartItemChange(StrEnum):
    """What became of a line since it was last seen."""

    PRICE_UP = "price_up"
    PRICE_DOWN = "price_down"
    LOW_STOCK = "low_stock"
    UNAVAILABLE = "unavailable"


class CartItem(Model):
    sku: Sku
    product_id: Id
    name: SingleLine
    options: Attributes
    quantity: int
    unit_price: Money
    line_total: Money
    available: int
    changes: Annotated[list[CartItemChange], Field(description="Since the cart was last read.")] = []


class Cart(Model):
    id: str
    items: list[CartItem]
    subtotal: Money
    discount: Money
    total: Money
    coupon: str | None = None
    version: int
    expires_at: Timestamp


class CartRef(Model):
    id: CartId


class AddCartItem(Model):
    id: CartId
    sku: Sku
    quantity: Quantity


class SetCartItem(Model):
    id: CartId
    sku: Sku
    quantity: Annotated[int, Field(ge=0, le=999, description="0 removes the line.")]


class RemoveCartItem(Model):
    id: CartId
    sku: Sku


class MergeCart(Model):
    cart_id: Annotated[CartId, Field(description="The guest's cart that joins mine.")]


class CheckoutRequest(Model):
    """Which cart an order is made from; `user_id` is whose order it will be."""

    id: CartId
    user_id: Id | None


class CheckoutLine(Model):
    sku: Sku
    quantity: Quantity


class Checkout(Model):
    cart_id: Annotated[str, Field(description="Tells carts apart, for events: not the id, a guest's secret.")]
    version: int
    lines: list[CheckoutLine]


CART_BY_ID = (OwnedResource("cart", id_field="id", open_to_guests=True),)
CHANGE_FAILURES = (NotFound, Unauthorized, PreconditionFailed, CartChanged)

CREATE = Operation(SERVICE, "create", Empty, Cart, "Open a cart", Access.ANYONE, writes=True)
GET = Operation(
    SERVICE,
    "get",
    CartRef,
    Cart,
    "Read a cart, priced as of now",
    Access.ANYONE,
    (NotFound, Unauthorized, CartChanged),
    owned_resources=CART_BY_ID,
)
ADD = Operation(
    SERVICE,
    "add",
    AddCartItem,
    Cart,
    "Put units of a SKU into a cart",
    Access.ANYONE,
    (*CHANGE_FAILURES, SkuUnknown, OutOfStock, CartFull),
    writes=True,
    owned_resources=CART_BY_ID,
)
SET = Operation(
    SERVICE,
    "set",
    SetCartItem,
    Cart,
    "Set the units of a SKU in a cart",
    Access.ANYONE,
    (*CHANGE_FAILURES, SkuUnknown, OutOfStock, CartFull),
    writes=True,
    owned_resources=CART_BY_ID,
)
REMOVE = Operation(
    SERVICE,
    "remove",
    RemoveCartItem,
    Cart,
    "Take a SKU out of a cart",
    Access.ANYONE,
    CHANGE_FAILURES,
    writes=True,
    owned_resources=CART_BY_ID,
)
CLEAR = Operation(
    SERVICE,
    "clear",
    CartRef,
    Cart,
    "Empty a cart",
    Access.ANYONE,
    CHANGE_FAILURES,
    writes=True,
    owned_resources=CART_BY_ID,
)
MERGE = Operation(
    SERVICE,
    "merge",
    MergeCart,
    Cart,
    "Join a guest's cart to one's own",
    Access.CUSTOMER,
    (NotFound, CartMerged, CartFull, CartChanged),
    writes=True,
    owned_resources=(OwnedResource("cart"),),
)
CHECKOUT = Operation(
    SERVICE,
    "checkout",
    CheckoutRequest,
    Checkout,
    "The lines an order is made from",
    Access.SERVICE,
    (NotFound, CartEmpty),
    ("order",),
)

OPERATIONS = (CREATE, GET, ADD, SET, REMOVE, CLEAR, MERGE, CHECKOUT)
EVENTS = ()
