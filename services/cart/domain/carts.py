"""What may become of a cart. Decides on values and returns values; `store` makes each `Edit` one atomic statement.

A line remembers the price and the shortage that its owner has last read, so that each change is marked once. A line
that is not sold any more stays, counts nothing, and is left to the owner, or to the order that refuses it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from uuid import UUID

from contracts.cart import CartFull, CartItemChange
from contracts.catalog import OutOfStock, SkuQuote, SkuUnknown
from contracts.failure import FieldError, InvalidRequest, NotFound

REFERENCE_LENGTH = 32
MAX_UNITS = 999
MAX_LINES = 100

QuotesBySku = Mapping[str, SkuQuote]
"""By SKU; one that is not on sale is not in it."""

UnitsBySku = Mapping[str, int]
"""How many, by SKU."""


def cart_reference(cart_id: str) -> str:
    """What a cart is called where others listen: its id is a guest's secret, and this does not lead back to it."""
    return sha256(cart_id.encode()).hexdigest()[:REFERENCE_LENGTH]


@dataclass(frozen=True, slots=True)
class CartLine:
    """Units of one SKU, and what its owner has last read of it."""

    sku: str
    quantity: int
    product_id: UUID
    name: str
    options: dict[str, str]
    price: int
    """Minor units, as last read."""
    shortage: CartItemChange | None = None
    """`low_stock` or `unavailable`, when that was what was last read."""
    since: int = 0
    """The version of the cart that the line came with: an order placed from one before has nothing in it."""


@dataclass(frozen=True, slots=True)
class CartRecord:
    """A cart as it is kept. Without a user it is a guest's, whose secret is its id."""

    id: str
    user_id: UUID | None
    expires_at: datetime
    lines: tuple[CartLine, ...] = ()
    version: int = 1
    merged_into: str | None = None
    """The customer's cart that has its lines now; they stay here as they were then."""
    merged_at: int = 0
    """The version of that cart that they came with."""
    ordered: tuple[UUID, ...] = ()
    """The orders that it has given its lines to, the newest last: each leaves it once."""
    ordered_at: tuple[int, ...] = ()
    """The versions that the newest of them were placed from; 0 for one from a guest's cart that it has taken in."""
    forgotten_to: int = 0
    """The latest version that an order was placed from which is not among `ordered` any more."""
    lines_by_sku: Mapping[str, CartLine] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_sku", {line.sku: line for line in self.lines})

    def has_applied(self, order_id: UUID, version: int) -> bool:
        """Whether the order, placed from that version of it, has its lines. One as old as those forgotten has."""
        return order_id in self.ordered or version <= self.forgotten_to

    def quantity_of(self, sku: str) -> int:
        return self.lines_by_sku[sku].quantity if sku in self.lines_by_sku else 0


@dataclass(frozen=True, slots=True)
class AddLine:
    """A line for a SKU that the cart does not hold; it is there since the version that it makes."""

    line: CartLine


@dataclass(frozen=True, slots=True)
class IncreaseQuantity:
    """More units of a SKU that the cart holds, up to `most` in all."""

    sku: str
    by: int
    limit: int


@dataclass(frozen=True, slots=True)
class SetQuantity:
    """Another number of units of a SKU that the cart holds."""

    sku: str
    quantity: int


@dataclass(frozen=True, slots=True)
class RemoveLine:
    """A line goes."""

    sku: str


@dataclass(frozen=True, slots=True)
class ClearLines:
    """Every line goes."""


@dataclass(frozen=True, slots=True)
class ReplaceLines:
    """Other lines, decided on the cart as it was at `version`."""

    lines: tuple[CartLine, ...]
    version: int


CartEdit = AddLine | IncreaseQuantity | SetQuantity | RemoveLine | ClearLines | ReplaceLines
"""A change of content; the version grows by one with it."""


def add_units(cart: CartRecord, sku: str, quantity: int, quotes: QuotesBySku) -> CartEdit:
    """So many units more. Refuses what is not sold, not there, or too much."""
    quote = _on_sale(sku, quotes)
    held = cart.quantity_of(sku)
    if held + quantity > MAX_UNITS:
        raise InvalidRequest(
            errors=[FieldError(pointer="/quantity", detail=f"makes more than {MAX_UNITS} units in all")]
        )
    _enough(quote, held + quantity)
    if held:
        return IncreaseQuantity(sku, quantity, min(MAX_UNITS, quote.available))
    return _new_line(cart, quote, quantity)


def set_units(cart: CartRecord, sku: str, quantity: int, quotes: QuotesBySku) -> CartEdit | None:
    """So many units, whatever there were; none removes the line. None when that is what there is."""
    held = cart.quantity_of(sku)
    if not quantity:
        return RemoveLine(sku) if held else None
    quote = _on_sale(sku, quotes)
    _enough(quote, quantity)
    if not held:
        return _new_line(cart, quote, quantity)
    return SetQuantity(sku, quantity) if held != quantity else None


def remove_line(cart: CartRecord, sku: str) -> CartEdit:
    if sku not in cart.lines_by_sku:
        raise NotFound("There is no such line in the cart.")
    return RemoveLine(sku)


def clear_lines(cart: CartRecord) -> CartEdit | None:
    return ClearLines() if cart.lines else None


def merge_lines(mine: CartRecord, guest: CartRecord) -> CartEdit | None:
    """The guest's units come on top of mine, as far as a line and a cart can hold them."""
    if not guest.lines:
        return None
    joined = {line.sku: line for line in mine.lines}
    for line in guest.lines:
        there = joined.get(line.sku, replace(line, quantity=0, since=mine.version + 1))
        joined[line.sku] = replace(there, quantity=min(MAX_UNITS, there.quantity + line.quantity))
    if len(joined) > MAX_LINES:
        raise CartFull(f"Together that would be {len(joined)} different SKUs; a cart holds at most {MAX_LINES}.")
    return ReplaceLines(tuple(joined.values()), mine.version)


def after_order(cart: CartRecord, ordered: UnitsBySku, version: int) -> tuple[CartLine, ...]:
    """What is left when what was ordered from that version has gone: all that came in since.

    A line that was removed and put in again is another line: an order that is heard of late has nothing in it.
    """
    left = (
        replace(line, quantity=line.quantity - ordered.get(line.sku, 0)) if line.since <= version else line
        for line in cart.lines
    )
    return tuple(line for line in left if line.quantity > 0)


def lines_from_guest(guest: CartRecord, ordered: UnitsBySku, version: int) -> UnitsBySku:
    """What a guest had ordered from that version and still had in the cart when a customer's took it in."""
    return {
        line.sku: min(line.quantity, ordered[line.sku])
        for line in guest.lines
        if line.sku in ordered and line.since <= version
    }


def with_order(cart: CartRecord, order_id: UUID, version: int, limit: int) -> CartRecord:
    """The cart with one more order to remember; of more than `most`, the oldest leaves only how far it had come."""
    ordered = (*cart.ordered, order_id)
    at = (*(0,) * (len(cart.ordered) - len(cart.ordered_at)), *cart.ordered_at, version)
    kept = max(len(ordered) - limit, 0)
    forgotten = max((cart.forgotten_to, *at[:kept]))
    return replace(cart, ordered=ordered[kept:], ordered_at=at[kept:], forgotten_to=forgotten)


def find_shortage(line: CartLine, quote: SkuQuote | None) -> CartItemChange | None:
    if quote is None:
        return CartItemChange.UNAVAILABLE
    return CartItemChange.LOW_STOCK if quote.available < line.quantity else None


def mark_seen(cart: CartRecord, quotes: QuotesBySku) -> tuple[CartLine, ...] | None:
    """The lines as their owner has read them now; None when there is nothing new to remember."""
    lines = tuple(_seen(line, quotes.get(line.sku)) for line in cart.lines)
    news = ((old.price, old.shortage) != (new.price, new.shortage) for old, new in zip(cart.lines, lines, strict=True))
    return lines if any(news) else None


def _seen(line: CartLine, quote: SkuQuote | None) -> CartLine:
    if quote is None:
        return replace(line, shortage=CartItemChange.UNAVAILABLE)
    return replace(_line(quote, line.quantity), shortage=find_shortage(line, quote), since=line.since)


def _line(quote: SkuQuote, quantity: int) -> CartLine:
    return CartLine(quote.sku, quantity, quote.product_id, quote.name, quote.options, quote.unit_price.amount)


def _on_sale(sku: str, quotes: QuotesBySku) -> SkuQuote:
    if sku not in quotes:
        raise SkuUnknown
    return quotes[sku]


def _enough(quote: SkuQuote, wanted: int) -> None:
    if wanted > quote.available:
        left = f"{quote.available} of {quote.sku} left"
        raise OutOfStock(f"There are {left}.", errors=[FieldError(pointer="/quantity", detail=left)])


def _new_line(cart: CartRecord, quote: SkuQuote, quantity: int) -> AddLine:
    if len(cart.lines) >= MAX_LINES:
        raise CartFull
    return AddLine(_line(quote, quantity))
