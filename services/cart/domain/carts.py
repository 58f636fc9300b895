"""The rules of a cart: each function decides on values and returns an edit, or raises a `Fail`.

The store makes each `CartEdit` one atomic statement.

A line stores the price and the shortage that its owner last read, so that each change is marked once. A line whose SKU
is not on sale any more stays in the cart and adds nothing to the total. Its owner may remove it; an order refuses it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from uuid import UUID

from contracts.cart import CartFull, CartItemChange
from contracts.catalog import OutOfStock, SkuQuote, SkuUnknown
from contracts.failure import FieldError, InvalidRequest, NotFound
from services.cart.domain.coupons import CartCoupon, SetCoupon

REFERENCE_LENGTH = 32
MAX_UNITS = 999
"""Units of one line."""
MAX_LINES = 100

QuotesBySku = Mapping[str, SkuQuote]
"""Quotes by SKU; a SKU that is not on sale is absent."""

UnitsBySku = Mapping[str, int]
"""Units by SKU."""


def cart_reference(cart_id: str) -> str:
    """The name of a cart in events and checks. It does not reveal the id, which is a guest's secret."""
    return sha256(cart_id.encode()).hexdigest()[:REFERENCE_LENGTH]


@dataclass(frozen=True, slots=True)
class CartLine:
    """Units of one SKU, with the product as its owner last read it."""

    sku: str
    quantity: int
    product_id: UUID
    name: str
    options: dict[str, str]
    price: int
    """The unit price last read, in minor units."""
    shortage: CartItemChange | None = None
    """`low_stock` or `unavailable`, if that was marked at the last read."""
    since: int = 0
    """The cart's version that added the line. An order placed from an older version does not contain it."""
    left_out: int = 0
    """Units that a merge has left out, until the owner has read it."""


@dataclass(frozen=True, slots=True)
class CartRecord:
    """A cart as it is stored. A cart without a user belongs to a guest, whose secret is its id."""

    id: str
    user_id: UUID | None
    expires_at: datetime
    lines: tuple[CartLine, ...] = ()
    version: int = 1
    merged_into: str | None = None
    """The id of the customer's cart that took over the lines. This cart keeps a copy of them as they were then."""
    merged_at: int = 0
    """The version of the customer's cart that took over the lines."""
    ordered: tuple[UUID, ...] = ()
    """The orders whose lines were removed, the newest last. Each is applied once."""
    ordered_at: tuple[int, ...] = ()
    """The versions that the newest of those orders were placed from.

    In the customer's cart, 0 stands for an order from a guest's cart that was merged into it.
    """
    forgotten_to: int = 0
    """The highest version that a dropped order was placed from; dropped orders are no longer among `ordered`."""
    coupon: CartCoupon | None = None
    lines_by_sku: Mapping[str, CartLine] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "lines_by_sku", {line.sku: line for line in self.lines})

    def has_applied(self, order_id: UUID, version: int) -> bool:
        """Whether the order, placed from that version of the cart, was already applied.

        An order placed from a version up to `forgotten_to` counts as applied.
        """
        return order_id in self.ordered or version <= self.forgotten_to

    def quantity_of(self, sku: str) -> int:
        """Units of the SKU in the cart."""
        return self.lines_by_sku[sku].quantity if sku in self.lines_by_sku else 0


@dataclass(frozen=True, slots=True)
class AddLine:
    """Adds a line for a SKU that the cart does not hold. The store sets its `since` to the new version."""

    line: CartLine


@dataclass(frozen=True, slots=True)
class IncreaseQuantity:
    """Adds `by` units to a line, up to `limit` units in all."""

    sku: str
    by: int
    limit: int


@dataclass(frozen=True, slots=True)
class SetQuantity:
    """Sets the units of a line."""

    sku: str
    quantity: int


@dataclass(frozen=True, slots=True)
class RemoveLine:
    """Removes a line."""

    sku: str


@dataclass(frozen=True, slots=True)
class ClearLines:
    """Removes every line."""


@dataclass(frozen=True, slots=True)
class ReplaceLines:
    """Replaces all lines of the cart, if it still has that `version`; a `coupon` replaces its coupon."""

    lines: tuple[CartLine, ...]
    version: int
    coupon: CartCoupon | None = None


LineEdit = AddLine | IncreaseQuantity | SetQuantity | RemoveLine | ClearLines | ReplaceLines
CartEdit = LineEdit | SetCoupon
"""A change of a cart. Each one increases the version by one."""


def add_units(cart: CartRecord, sku: str, quantity: int, quotes: QuotesBySku) -> CartEdit:
    """Adds units of a SKU. Refuses a SKU that is not on sale, more units than are available, and too large a line."""
    quote = _require_on_sale(sku, quotes)
    line = cart.lines_by_sku.get(sku)
    if line is not None and quote_of(line, quotes) is None:
        return _replace_line(cart, line, quote, quantity)
    present = cart.quantity_of(sku)
    if present + quantity > MAX_UNITS:
        detail = f"A line holds at most {MAX_UNITS} units; this one has {present} already."
        raise InvalidRequest(errors=[FieldError(pointer="/quantity", detail=detail)])
    _require_available(quote, present + quantity)
    if present:
        return IncreaseQuantity(sku, quantity, min(MAX_UNITS, quote.available))
    return _new_line(cart, quote, quantity)


def set_units(cart: CartRecord, sku: str, quantity: int, quotes: QuotesBySku) -> CartEdit | None:
    """Sets the units of a SKU; 0 removes the line. None when the cart holds that many already."""
    present = cart.quantity_of(sku)
    if not quantity:
        return RemoveLine(sku) if present else None
    quote = _require_on_sale(sku, quotes)
    if present and quote_of(cart.lines_by_sku[sku], quotes) is None:
        raise SkuUnknown("Another product has this SKU now. Remove the item, then add the other product.")
    _require_available(quote, quantity)
    if not present:
        return _new_line(cart, quote, quantity)
    return SetQuantity(sku, quantity) if present != quantity else None


def quote_of(line: CartLine, quotes: QuotesBySku) -> SkuQuote | None:
    """The quote of a line; None when its product is not on sale, even if another product has the SKU now."""
    quote = quotes.get(line.sku)
    return quote if quote is not None and quote.product_id == line.product_id else None


def remove_line(cart: CartRecord, sku: str) -> CartEdit:
    """Removes a line; raises `NotFound` when the cart has none for the SKU."""
    if sku not in cart.lines_by_sku:
        raise NotFound("The cart has no line with this SKU.")
    return RemoveLine(sku)


def clear_lines(cart: CartRecord) -> CartEdit | None:
    """Removes every line; None when the cart is empty."""
    return ClearLines() if cart.lines else None


def grow_cart(cart: CartRecord, edit: CartEdit, expires_at: datetime) -> CartRecord | None:
    """The cart after an edit that adds a line or changes a quantity; None for an edit of another kind."""
    version = cart.version + 1
    match edit:
        case AddLine(line):
            lines = (*cart.lines, replace(line, since=version))
        case IncreaseQuantity(sku, by):
            lines = _with_quantity(cart, sku, cart.quantity_of(sku) + by)
        case SetQuantity(sku, quantity):
            lines = _with_quantity(cart, sku, quantity)
        case _:
            return None
    return replace(cart, lines=lines, version=version, expires_at=expires_at)


def _with_quantity(cart: CartRecord, sku: str, quantity: int) -> tuple[CartLine, ...]:
    return tuple(replace(line, quantity=quantity) if line.sku == sku else line for line in cart.lines)


def merge_lines(own: CartRecord, guest: CartRecord) -> CartEdit | None:
    """Adds the guest's units to the customer's cart; None when the guest's cart is empty.

    A line holds up to `MAX_UNITS`: it stores how many units were left out, and its owner reads that once. The owner
    also reads again which of these lines are short. Where the SKU has passed from one product to another between the
    two carts, the guest's line replaces the customer's. The guest's coupon comes along if the customer has none.
    """
    if not guest.lines:
        return None
    merged = {line.sku: line for line in own.lines}
    for line in guest.lines:
        present = merged.get(line.sku)
        if present is None or present.product_id != line.product_id:
            present = replace(line, quantity=0, since=own.version + 1)
        quantity = present.quantity + line.quantity
        excess = max(quantity - MAX_UNITS, 0)
        merged[line.sku] = replace(
            present, quantity=quantity - excess, left_out=present.left_out + excess, shortage=None
        )
    if len(merged) > MAX_LINES:
        raise CartFull(f"The merged cart would hold {len(merged)} different SKUs; a cart holds at most {MAX_LINES}.")
    is_taken = own.coupon is None and guest.coupon is not None
    coupon = replace(guest.coupon, since=own.version + 1) if guest.coupon and is_taken else None
    return ReplaceLines(tuple(merged.values()), own.version, coupon)


def units_taken(guest: CartRecord, own: CartRecord, merged: CartRecord) -> tuple[CartLine, ...]:
    """The guest's lines with the units that the customer's cart took over: all of them, unless a line was capped."""
    return tuple(
        replace(line, quantity=min(line.quantity, merged.quantity_of(line.sku) - _units_of_product(own, line)))
        for line in guest.lines
    )


def _units_of_product(cart: CartRecord, line: CartLine) -> int:
    """Units of the same product under the same SKU."""
    own = cart.lines_by_sku.get(line.sku)
    return own.quantity if own is not None and own.product_id == line.product_id else 0


def after_order(cart: CartRecord, ordered: UnitsBySku, version: int) -> tuple[CartLine, ...]:
    """The lines that are left after an order that was placed from that version of the cart.

    A line that was removed and added again is a new line: an order placed before takes nothing from it, however late
    its event arrives. Orders of one version have the same lines, so only the first one that was paid takes them; there
    is a second one when the first was cancelled after its payment.
    """
    if version in cart.ordered_at:
        return cart.lines
    left = (
        replace(line, quantity=line.quantity - ordered.get(line.sku, 0)) if line.since <= version else line
        for line in cart.lines
    )
    return tuple(line for line in left if line.quantity > 0)


def lines_from_guest(guest: CartRecord, ordered: UnitsBySku, version: int) -> UnitsBySku:
    """The units of a guest's order that were still in the guest's cart when the customer's cart took it over.

    `version` is the version of the guest's cart that the order was placed from. Nothing is left of a version that
    another order has taken.
    """
    if version in guest.ordered_at:
        return {}
    return {
        line.sku: min(line.quantity, ordered[line.sku])
        for line in guest.lines
        if line.sku in ordered and line.since <= version
    }


def with_order(cart: CartRecord, order_id: UUID, version: int, limit: int) -> CartRecord:
    """The cart with one more applied order.

    Beyond `limit` orders the oldest are dropped; `forgotten_to` rises to the version that they were placed from.
    """
    ordered = (*cart.ordered, order_id)
    unknown_versions = (0,) * (len(cart.ordered) - len(cart.ordered_at))
    versions = (*unknown_versions, *cart.ordered_at, version)
    dropped = max(len(ordered) - limit, 0)
    forgotten_to = max((cart.forgotten_to, *versions[:dropped]))
    return replace(cart, ordered=ordered[dropped:], ordered_at=versions[dropped:], forgotten_to=forgotten_to)


def find_shortage(line: CartLine, quote: SkuQuote | None) -> CartItemChange | None:
    """`unavailable` when the SKU is not on sale, `low_stock` when fewer units are left than the line holds."""
    if quote is None:
        return CartItemChange.UNAVAILABLE
    return CartItemChange.LOW_STOCK if quote.available < line.quantity else None


def mark_seen(cart: CartRecord, quotes: QuotesBySku) -> tuple[CartLine, ...] | None:
    """The lines with the prices and shortages that their owner reads now; None when none has changed."""
    lines = tuple(_mark_line_seen(line, quote_of(line, quotes)) for line in cart.lines)
    pairs = zip(cart.lines, lines, strict=True)
    has_changed = any(
        (old.price, old.shortage, old.left_out) != (new.price, new.shortage, new.left_out) for old, new in pairs
    )
    return lines if has_changed else None


def _mark_line_seen(line: CartLine, quote: SkuQuote | None) -> CartLine:
    if quote is None:
        return replace(line, shortage=CartItemChange.UNAVAILABLE, left_out=0)
    return replace(_quoted_line(quote, line.quantity), shortage=find_shortage(line, quote), since=line.since)


def _quoted_line(quote: SkuQuote, quantity: int) -> CartLine:
    price = quote.price_of(quantity).amount
    return CartLine(quote.sku, quantity, quote.product_id, quote.name, quote.options, price)


def _require_on_sale(sku: str, quotes: QuotesBySku) -> SkuQuote:
    if sku not in quotes:
        raise SkuUnknown
    return quotes[sku]


def _require_available(quote: SkuQuote, quantity: int) -> None:
    if quantity > quote.available:
        detail = f"Only {quote.available} of {quote.sku} left."
        raise OutOfStock(detail, errors=[FieldError(pointer="/quantity", detail=detail)])


def _replace_line(cart: CartRecord, old: CartLine, quote: SkuQuote, quantity: int) -> ReplaceLines:
    """A new line instead of that of the product that had the SKU before."""
    _require_available(quote, quantity)
    new = replace(_quoted_line(quote, quantity), since=cart.version + 1)
    return ReplaceLines(tuple(new if line is old else line for line in cart.lines), cart.version)


def _new_line(cart: CartRecord, quote: SkuQuote, quantity: int) -> AddLine:
    if len(cart.lines) >= MAX_LINES:
        raise CartFull
    return AddLine(_quoted_line(quote, quantity))
