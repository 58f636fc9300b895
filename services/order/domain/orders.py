"""An order before and after it is written, and who may touch it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from uuid import UUID

from contracts.card_numbers import contains_card_number
from contracts.cart import CartChanged
from contracts.catalog import HeldLine, Hold
from contracts.failure import FieldError, NotFound, PreconditionFailed, Unauthorized
from contracts.identity import Identity
from contracts.order import (
    EmailRequired,
    Order,
    OrderHistoryEntry,
    OrderItem,
    OrderStatus,
    PlaceOrder,
    ShippingMethod,
)
from contracts.payment import CardNumberRefused
from services.order.domain.pricing import price_order

OWN_CART = "mine"


@dataclass(frozen=True, slots=True)
class Buyer:
    """Whose order it will be: a customer's, or a guest's, who is known by an e-mail."""

    user_id: UUID | None
    email: str | None


@dataclass(frozen=True, slots=True)
class CartVersion:
    """What an order is made from; it is ordered once."""

    cart_id: str
    version: int


@dataclass(frozen=True, slots=True)
class OrderDraft:
    """An order about to be written, and what is kept beside it. Its number comes with the writing."""

    order: Order
    buyer: Buyer
    hold: Hold
    cart: CartVersion | None
    shipping_method: ShippingMethod
    payment_method: str | None


@dataclass(frozen=True, slots=True)
class OrderRecord:
    """An order as it is kept. `was` is its status before the change that it comes from."""

    order: Order
    version: int
    hold_id: UUID
    email: str | None
    previous_status: OrderStatus


def resolve_buyer(identity: Identity | None, request: PlaceOrder) -> Buyer:
    """A guest is known by an e-mail and has no cart of their own; a customer's e-mail is in the account."""
    if identity is not None:
        return Buyer(identity.user_id, None)
    if request.cart_id == OWN_CART:
        raise Unauthorized
    if request.email is None:
        raise EmailRequired(errors=[FieldError(pointer="/email", detail="A guest is reached by it")])
    return Buyer(None, request.email)


def reject_card_number(payment_method: str | None) -> None:
    if payment_method is not None and contains_card_number(payment_method):
        raise CardNumberRefused(errors=[FieldError(pointer="/payment_method", detail="This is a card number")])


def require_access(record: OrderRecord | None, identity: Identity) -> OrderRecord:
    """The order, if it is one's own or one is an administrator."""
    if record is None or not (identity.is_admin or record.order.user_id == identity.user_id):
        raise NotFound
    return record


def require_version(record: OrderRecord, if_match: int | None) -> None:
    if if_match is not None and if_match != record.version:
        raise PreconditionFailed


def require_same_buyer(record: OrderRecord | None, buyer: Buyer) -> OrderRecord:
    """The order that came first, if it is this buyer's; another's is not told."""
    if record is None or (record.order.user_id, record.email) != (buyer.user_id, buyer.email):
        raise CartChanged("The cart was ordered at the same moment")
    return record


def draft_order(
    request: PlaceOrder, buyer: Buyer, hold: Hold, cart: CartVersion | None, *, order_id: UUID, at: datetime
) -> OrderDraft:
    """The order that the held lines make."""
    items = [_item(line) for line in hold.lines]
    assert request.shipping_address is not None, "an address that is named was looked up"
    due = price_order(items, hold.currency, request.shipping_method, request.shipping_address)
    order = Order(
        id=order_id,
        number="",
        user_id=buyer.user_id,
        status=OrderStatus.PENDING,
        items=items,
        subtotal=due.subtotal,
        discount=due.discount,
        shipping=due.shipping,
        tax=due.tax,
        total=due.total,
        shipping_address=request.shipping_address,
        history=[OrderHistoryEntry(status=OrderStatus.PENDING, at=at)],
        created_at=at,
        updated_at=at,
    )
    return OrderDraft(order, buyer, hold, cart, request.shipping_method, request.payment_method)


def take_fitting(orders: Sequence[Order], limit_bytes: int) -> list[Order]:
    """The first orders that so many bytes hold; one at least."""
    sizes = accumulate(len(order.model_dump_json()) for order in orders)
    return [
        order
        for number, (order, size) in enumerate(zip(orders, sizes, strict=True))
        if not number or size <= limit_bytes
    ]


def _item(line: HeldLine) -> OrderItem:
    return OrderItem(
        sku=line.sku,
        product_id=line.product_id,
        name=line.name,
        options=line.options,
        quantity=line.quantity,
        unit_price=line.unit_price,
        line_total=line.unit_price.times(line.quantity),
    )
