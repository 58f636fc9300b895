"""An order before and after it is stored."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from contracts.card_numbers import contains_card_number
from contracts.cart import CartChanged
from contracts.catalog import HeldLine, Hold, SkuUnknown
from contracts.email_addresses import UNICODE_NAME_PROBLEM, has_unicode_name
from contracts.failure import FieldError, InvalidRequest, PreconditionFailed, Unauthorized
from contracts.identity import Identity
from contracts.money import Money
from contracts.order import (
    EmailRequired,
    NotDeliverable,
    Order,
    OrderHistoryEntry,
    OrderItem,
    OrderNote,
    OrderStatus,
    PlaceOrder,
)
from contracts.payment import CardNumberRefused
from services.order.domain.cancellations import Cancellation
from services.order.domain.coupons import CouponUse, RequestedCoupon
from services.order.domain.places import destination_of
from services.order.domain.pricing import GoodsLine, LineTaxes, PricingRules, price_order

OWN_CART = "mine"
"""The `cart_id` by which a customer names their own cart."""


@dataclass(frozen=True, slots=True)
class Buyer:
    """The buyer of an order: a customer with a `user_id`, or a guest with an `email`."""

    user_id: UUID | None
    email: str | None


@dataclass(frozen=True, slots=True)
class CartVersion:
    """The version of a cart that an order is made from. At most one order of a version is not cancelled."""

    cart_id: str
    version: int


@dataclass(frozen=True, slots=True)
class OrderDraft:
    """An order to be stored, with the values stored beside it. It gets its number when it is stored."""

    order: Order
    buyer: Buyer
    hold: Hold
    cart: CartVersion | None
    payment_method: str | None
    rules_version: int
    """The version of the pricing rules that it was priced by."""
    coupon: CouponUse | None = None
    gift_card_hold_id: UUID | None = None
    """The hold on gift cards at payment; None if they pay nothing."""


@dataclass(frozen=True, slots=True)
class OrderRecord:
    """A stored order. `previous_status` is its status before the change that returned this record."""

    order: Order
    version: int
    hold_id: UUID
    cart: CartVersion | None
    email: str | None
    previous_status: OrderStatus
    notes: Sequence[OrderNote] = ()
    """All notes, with their authors. `order` has only what its customer may read."""
    gift_card_hold_id: UUID | None = None
    cancellations: Sequence[Cancellation] = ()
    """Of units, the first one first."""

    @property
    def is_claimed(self) -> bool:
        """Whether a guest placed it, and a customer has taken it over. Only a guest's order has an e-mail."""
        return self.order.user_id is not None and self.email is not None


def with_all_notes(record: OrderRecord, *, with_authors: bool = True) -> Order:
    """Returns the order with its internal notes too: with their authors for administrators, else for an export."""
    notes = [note if with_authors else note.model_copy(update={"author_id": None}) for note in record.notes]
    return record.order.model_copy(update={"notes": notes})


def resolve_buyer(identity: Identity | None, request: PlaceOrder, *, smtp_utf8: bool = False) -> Buyer:
    """Returns the buyer: a signed-in customer, whose e-mail is in the account, or a guest, who has to give one.

    A guest has no cart of their own, so `cart_id: "mine"` needs a sign-in. `smtp_utf8` tells whether the mail server
    can mail names beyond ASCII.
    """
    if identity is not None:
        return Buyer(identity.user_id, None)
    if request.cart_id == OWN_CART:
        raise Unauthorized
    if request.email is None:
        raise EmailRequired(errors=[FieldError(pointer="/email", detail="Provide an e-mail to order as a guest.")])
    if has_unicode_name(request.email) and not smtp_utf8:
        raise InvalidRequest(errors=[FieldError(pointer="/email", detail=UNICODE_NAME_PROBLEM)])
    return Buyer(None, request.email)


def reject_card_number(payment_method: str | None) -> None:
    """Raises `CardNumberRefused` when the payment method looks like a card number, before anything stores it."""
    if payment_method is not None and contains_card_number(payment_method):
        detail = "This is a card number. Send a token of the payment provider."
        raise CardNumberRefused(errors=[FieldError(pointer="/payment_method", detail=detail)])


def require_version(record: OrderRecord, if_match: frozenset[int] | None) -> None:
    """Raises `PreconditionFailed` when the client has read another version of the order."""
    if if_match is not None and record.version not in if_match:
        raise PreconditionFailed


def require_products(hold: Hold, products: Mapping[str, UUID]) -> None:
    """Refuses to sell other goods than those in the cart, whose SKU has passed to another product since.

    `products` has the product of each SKU in the cart.
    """
    errors = [
        FieldError(pointer=f"/items/{index}", detail=f"{line.sku} in the cart is not on sale any more.")
        for index, line in enumerate(hold.lines)
        if products.get(line.sku, line.product_id) != line.product_id
    ]
    if errors:
        raise SkuUnknown(errors=errors)


def require_same_buyer(record: OrderRecord | None, buyer: Buyer) -> OrderRecord:
    """Returns the order that was placed first, if this buyer placed it. Another buyer's order is not revealed."""
    if record is None or (record.order.user_id, record.email) != (buyer.user_id, buyer.email):
        raise CartChanged("The cart was ordered at the same moment. Reload it and try again.")
    return record


def require_known_method(request: PlaceOrder, rules: PricingRules) -> None:
    """Raises `InvalidRequest` when methods ship to the address, but not the requested one.

    An address to which nothing ships is refused once it is known that anything of the order is shipped.
    """
    assert request.shipping_address is not None, "a saved address was resolved before"
    with suppress(NotDeliverable):
        rules.shipping.methods_to(destination_of(request.shipping_address), request.shipping_method)


def draft_order(
    request: PlaceOrder,
    buyer: Buyer,
    hold: Hold,
    cart: CartVersion | None,
    rules: PricingRules,
    *,
    order_id: UUID,
    at: datetime,
    coupon: RequestedCoupon | None = None,
) -> OrderDraft:
    """Builds the order from the lines that catalog has priced and held; raises what `price_order` raises."""
    assert request.shipping_address is not None, "a saved address was resolved before"
    lines = [_goods(line) for line in hold.lines]
    destination = destination_of(request.shipping_address)
    terms = coupon.terms if coupon else None
    price = price_order(lines, hold.currency, request.shipping_method, destination, rules, at, terms)
    order = Order(
        id=order_id,
        number="",
        user_id=buyer.user_id,
        status=OrderStatus.PENDING,
        items=[_item(line, taxes) for line, taxes in zip(hold.lines, price.lines, strict=True)],
        subtotal=price.subtotal,
        discount=price.discount,
        coupon=terms.code if terms else None,
        shipping=price.shipping,
        shipping_discount=price.shipping_discount,
        shipping_method=price.shipping_method,
        tax=price.tax,
        tax_included=price.tax_included,
        tax_lines=price.tax_lines,
        total=price.total,
        gift_card_total=Money(amount=0, currency=hold.currency),
        shipping_address=request.shipping_address,
        billing_address=request.billing_address,
        history=[OrderHistoryEntry(status=OrderStatus.PENDING, at=at)],
        created_at=at,
        updated_at=at,
    )
    return OrderDraft(order, buyer, hold, cart, request.payment_method, rules.version, coupon.use if coupon else None)


def _goods(line: HeldLine) -> GoodsLine:
    return GoodsLine(
        line.unit_price.amount, line.quantity, line.tax_category, line.requires_shipping, line.weight_grams or 0
    )


def _item(line: HeldLine, taxes: LineTaxes) -> OrderItem:
    return OrderItem(
        sku=line.sku,
        product_id=line.product_id,
        name=line.name,
        options=line.options,
        quantity=line.quantity,
        unit_price=line.unit_price,
        line_total=line.unit_price.times(line.quantity),
        discount=taxes.discount,
        tax_lines=taxes.tax_lines,
        shipping_tax_lines=taxes.shipping_tax_lines,
    )
