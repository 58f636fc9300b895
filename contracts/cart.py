"""cart: the shopping carts of customers and guests."""

from enum import StrEnum
from http import HTTPStatus
from typing import Annotated

from pydantic import Field

from contracts.catalog import Attributes, OutOfStock, SkuUnknown
from contracts.coupons import CouponCode, CouponInvalid, TooManyCouponAttempts
from contracts.failure import Fail, NotFound, PreconditionFailed, Unauthorized
from contracts.identity import Access
from contracts.model import Empty, Id, Model, Quantity, SingleLine, Sku, Timestamp
from contracts.money import Money
from contracts.operation import Operation, OwnedResource
from contracts.text_patterns import text_format

SERVICE = "cart"

CartId = Annotated[str, text_format(r"^[A-Za-z0-9_-]{1,64}$", "Send the `id` of a cart, or `mine`.")]
"""A guest's cart id is secret: it is the only proof of ownership. `mine` names the signed-in customer's own cart."""


class CartFull(Fail, status=HTTPStatus.CONFLICT, code="cart_full"):
    """A cart can hold at most 100 different SKUs."""


class CartEmpty(Fail, status=HTTPStatus.CONFLICT, code="cart_empty"):
    """The cart is empty."""


class CartChanged(Fail, status=HTTPStatus.CONFLICT, code="cart_changed"):
    """Another request changed the cart at the same time; try again."""


class CartMerged(Fail, status=HTTPStatus.CONFLICT, code="cart_merged"):
    """This cart was already merged into another one."""


class CartItemChange(StrEnum):
    """What has changed about a cart item since the cart was last read."""

    PRICE_UP = "price_up"
    PRICE_DOWN = "price_down"
    LOW_STOCK = "low_stock"
    UNAVAILABLE = "unavailable"
    CAPPED = "capped"


class CartItem(Model):
    """One SKU in a cart, at its current price."""

    sku: Sku
    product_id: Id
    name: Annotated[SingleLine, Field(description="The product's name.")]
    options: Annotated[Attributes, Field(description="The variant's options, such as size and colour.")]
    quantity: Annotated[int, Field(description="Units in the cart.")]
    unit_price: Annotated[Money, Field(description="The current price of one unit.")]
    line_total: Annotated[Money, Field(description="The price of all units.")]
    available: Annotated[int, Field(description="Units that can be ordered now.")]
    on_backorder: Annotated[
        bool, Field(description="Whether fewer units are in stock, so that an order waits for new ones.")
    ] = False
    changes: Annotated[list[CartItemChange], Field(description="What has changed since the cart was last read.")] = []
    left_out: Annotated[
        int,
        Field(description="Units that a merge has left out, because an item holds at most 999; see `capped`."),
    ] = 0


class Cart(Model):
    """A cart at current prices."""

    id: Annotated[str, Field(description="The cart's id. A guest's cart is open to anyone who knows its id.")]
    items: Annotated[list[CartItem], Field(description="What is in the cart.")]
    subtotal: Annotated[Money, Field(description="The sum of the items.")]
    discount: Annotated[
        Money, Field(description="What the coupon takes off the goods; whether it is accepted, the order decides.")
    ]
    total: Annotated[Money, Field(description="The subtotal less the discount.")]
    coupon: Annotated[str | None, Field(description="The code of the coupon in use.")] = None
    version: Annotated[int, Field(description="Grows with every change.")]
    expires_at: Annotated[Timestamp, Field(description="When the cart is deleted unless it changes before.")]


class CartRef(Model):
    """Names a cart."""

    id: CartId


class AddCartItem(Model):
    """Units of a SKU to add to a cart."""

    id: CartId
    sku: Sku
    quantity: Annotated[Quantity, Field(description="Units to add.")]


class SetCartItem(Model):
    """The new quantity of a SKU in a cart."""

    id: CartId
    sku: Sku
    quantity: Annotated[int, Field(ge=0, le=999, description="Units in the cart; 0 removes the item.")]


class RemoveCartItem(Model):
    """A SKU to remove from a cart."""

    id: CartId
    sku: Sku


class SetCartCoupon(Model):
    """The coupon to use."""

    id: CartId
    code: CouponCode


class MergeCart(Model):
    """A guest's cart to merge into the customer's own."""

    cart_id: Annotated[CartId, Field(description="The guest's cart. Its items are added to the customer's own cart.")]


class CheckoutRequest(Model):
    """The cart to order from; `user_id` is the customer who places the order, None for a guest."""

    id: CartId
    user_id: Id | None


class CheckoutLine(Model):
    """One SKU in a cart, without its price."""

    sku: Sku
    quantity: Quantity
    product_id: Annotated[Id | None, Field(description="The product that had the SKU when the line was added.")] = None


class Checkout(Model):
    """The lines of a cart, for an order."""

    cart_id: Annotated[str, Field(description="Identifies the cart in events. It is not the id, which may be secret.")]
    version: int
    lines: list[CheckoutLine]
    coupon: Annotated[str | None, Field(description="The code of the coupon in use.")] = None


CART_BY_ID = (OwnedResource("cart", id_field="id", open_to_guests=True),)
CHANGE_FAILURES = (NotFound, Unauthorized, PreconditionFailed, CartChanged)

CREATE = Operation(SERVICE, "create", Empty, Cart, "Create a cart", Access.ANYONE, writes=True)
GET = Operation(
    SERVICE,
    "get",
    CartRef,
    Cart,
    "Read a cart at current prices",
    Access.ANYONE,
    (NotFound, Unauthorized, CartChanged),
    owned_resources=CART_BY_ID,
)
ADD = Operation(
    SERVICE,
    "add",
    AddCartItem,
    Cart,
    "Add units of a SKU to a cart",
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
    "Set the quantity of a SKU in a cart",
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
    "Remove a SKU from a cart",
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
SET_COUPON = Operation(
    SERVICE,
    "set_coupon",
    SetCartCoupon,
    Cart,
    "Use a coupon for a cart",
    Access.ANYONE,
    (*CHANGE_FAILURES, CouponInvalid, TooManyCouponAttempts),
    writes=True,
    owned_resources=CART_BY_ID,
)
REMOVE_COUPON = Operation(
    SERVICE,
    "remove_coupon",
    CartRef,
    Cart,
    "Remove the coupon of a cart",
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
    "Merge a guest's cart into one's own",
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
    "Read the lines of a cart for an order",
    Access.SERVICE,
    (NotFound, CartEmpty),
    ("order",),
)

OPERATIONS = (CREATE, GET, ADD, SET, REMOVE, CLEAR, SET_COUPON, REMOVE_COUPON, MERGE, CHECKOUT)
EVENTS = ()
