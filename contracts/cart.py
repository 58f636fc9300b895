"""cart: what a customer or a guest is about to buy."""

from enum import StrEnum
from http import HTTPStatus
from typing import Annotated

from pydantic import Field, StringConstraints

from contracts.catalog import Attributes, OutOfStock, SkuUnknown
from contracts.failure import Fail, NotFound, PreconditionFailed, Unauthorized
from contracts.identity import Access
from contracts.model import Empty, Id, Line, Model, Quantity, Sku, Time
from contracts.money import Money
from contracts.operation import Operation, Owned

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


class Change(StrEnum):
    """What became of a line since it was last seen."""

    PRICE_UP = "price_up"
    PRICE_DOWN = "price_down"
    LOW_STOCK = "low_stock"
    UNAVAILABLE = "unavailable"


class CartItem(Model):
    sku: Sku
    product_id: Id
    name: Line
    options: Attributes
    quantity: int
    unit_price: Money
    line_total: Money
    available: int
    changes: Annotated[list[Change], Field(description="Since the cart was last read.")] = []


class Cart(Model):
    id: str
    items: list[CartItem]
    subtotal: Money
    discount: Money
    total: Money
    coupon: str | None = None
    version: int
    expires_at: Time


class CartOf(Model):
    id: CartId


class AddItem(Model):
    id: CartId
    sku: Sku
    quantity: Quantity


class SetItem(Model):
    id: CartId
    sku: Sku
    quantity: Annotated[int, Field(ge=0, le=999, description="0 removes the line.")]


class RemoveItem(Model):
    id: CartId
    sku: Sku


class Merge(Model):
    cart_id: Annotated[CartId, Field(description="The guest's cart that joins mine.")]


class CheckoutOf(Model):
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


NAMED = (Owned("cart", named="id", guests=True),)
CHANGING = (NotFound, Unauthorized, PreconditionFailed, CartChanged)

CREATE = Operation(SERVICE, "create", Empty, Cart, "Open a cart", Access.ANYONE, writes=True)
GET = Operation(
    SERVICE,
    "get",
    CartOf,
    Cart,
    "Read a cart, priced as of now",
    Access.ANYONE,
    (NotFound, Unauthorized, CartChanged),
    owned=NAMED,
)
ADD = Operation(
    SERVICE,
    "add",
    AddItem,
    Cart,
    "Put units of a SKU into a cart",
    Access.ANYONE,
    (*CHANGING, SkuUnknown, OutOfStock, CartFull),
    writes=True,
    owned=NAMED,
)
SET = Operation(
    SERVICE,
    "set",
    SetItem,
    Cart,
    "Set the units of a SKU in a cart",
    Access.ANYONE,
    (*CHANGING, SkuUnknown, OutOfStock, CartFull),
    writes=True,
    owned=NAMED,
)
REMOVE = Operation(
    SERVICE, "remove", RemoveItem, Cart, "Take a SKU out of a cart", Access.ANYONE, CHANGING, writes=True, owned=NAMED
)
CLEAR = Operation(SERVICE, "clear", CartOf, Cart, "Empty a cart", Access.ANYONE, CHANGING, writes=True, owned=NAMED)
MERGE = Operation(
    SERVICE,
    "merge",
    Merge,
    Cart,
    "Join a guest's cart to one's own",
    Access.CUSTOMER,
    (NotFound, CartMerged, CartFull, CartChanged),
    writes=True,
    owned=(Owned("cart"),),
)
CHECKOUT = Operation(
    SERVICE,
    "checkout",
    CheckoutOf,
    Checkout,
    "The lines an order is made from",
    Access.SERVICE,
    (NotFound, CartEmpty),
    ("order",),
)

OPERATIONS = (CREATE, GET, ADD, SET, REMOVE, CLEAR, MERGE, CHECKOUT)
EVENTS = ()
