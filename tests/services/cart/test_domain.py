"""What may become of a cart, by its laws."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.cart import CartFull, Change
from contracts.catalog import OutOfStock, Quote, SkuUnknown
from contracts.failure import Fail, Invalid, NotFound
from contracts.money import Money
from services.cart.domain.carts import (
    MOST_LINES,
    MOST_UNITS,
    Append,
    Assign,
    Cart,
    Clear,
    Drop,
    Grow,
    Line,
    Quotes,
    Rewrite,
    Units,
    adding,
    brought,
    clearing,
    merging,
    removing,
    seen,
    setting,
    taking,
)
from services.cart.views import priced

PRODUCT = UUID(int=7)
SKUS = ("A", "B", "C", "D")

skus = st.sampled_from(SKUS)
units = st.integers(1, MOST_UNITS)
amounts = st.integers(0, 10_000)
VERSION = 5
versions = st.integers(0, VERSION)


def line(sku: str, quantity: int = 1, *, price: int = 100, shortage: Change | None = None, since: int = 0) -> Line:
    return Line(sku, quantity, PRODUCT, f"Lamp {sku}", {"color": "red"}, price, shortage, since)


def cart_of(*lines: Line, version: int = 1) -> Cart:
    return Cart("x" * 22, None, datetime(2030, 1, 1, tzinfo=UTC), lines, version)


def quote(sku: str, *, available: int = 1000, price: int = 100) -> Quote:
    unit_price = Money(amount=price, currency="USD")
    return Quote(sku=sku, product_id=PRODUCT, name="Lamp", options={}, unit_price=unit_price, available=available)


def sold(*quotes: Quote) -> Quotes:
    return {one.sku: one for one in quotes}


carts = st.dictionaries(skus, st.builds(line, skus, units, price=amounts, since=versions)).map(
    lambda by_sku: cart_of(*(replace(one, sku=sku) for sku, one in by_sku.items()), version=VERSION)
)
markets = st.dictionaries(skus, st.builds(quote, skus, available=st.integers(0, 1200), price=amounts)).map(
    lambda by_sku: {sku: one.model_copy(update={"sku": sku}) for sku, one in by_sku.items()}
)


@given(carts, skus, units, markets)
def test_adding_never_passes_what_there_is_and_what_a_line_holds(
    cart: Cart, sku: str, quantity: int, quotes: Quotes
) -> None:
    in_all = cart.units(sku) + quantity
    try:
        edit = adding(cart, sku, quantity, quotes)
    except Fail:
        assert sku not in quotes or in_all > min(MOST_UNITS, quotes[sku].available)
        return
    assert in_all <= min(MOST_UNITS, quotes[sku].available)
    if cart.units(sku):
        assert edit == Grow(sku, quantity, min(MOST_UNITS, quotes[sku].available))
    else:
        assert isinstance(edit, Append)
        assert (edit.line.sku, edit.line.quantity) == (sku, quantity)
        assert edit.line.price == quotes[sku].unit_price.amount


def test_adding_says_what_is_wrong() -> None:
    with pytest.raises(SkuUnknown):
        adding(cart_of(), "A", 1, {})
    with pytest.raises(OutOfStock, match="3 of A left") as short:
        adding(cart_of(line("A", 2)), "A", 2, sold(quote("A", available=3)))
    assert short.value.errors[0].pointer == "/quantity"
    with pytest.raises(Invalid) as much:
        adding(cart_of(line("A", MOST_UNITS)), "A", 1, sold(quote("A", available=5000)))
    assert much.value.errors[0].pointer == "/quantity"


def test_a_cart_holds_so_many_skus() -> None:
    full = cart_of(*(line(f"S{number}") for number in range(MOST_LINES)))
    with pytest.raises(CartFull):
        adding(full, "A", 1, sold(quote("A")))
    with pytest.raises(CartFull):
        setting(full, "A", 1, sold(quote("A")))
    assert adding(full, "S5", 1, sold(quote("S5"))) == Grow("S5", 1, MOST_UNITS)


def test_setting() -> None:
    cart, quotes = cart_of(line("A", 2)), sold(quote("A", available=5), quote("B"))
    assert setting(cart, "A", 3, quotes) == Assign("A", 3)
    assert setting(cart, "A", 2, quotes) is None
    assert setting(cart, "A", 0, {}) == Drop("A")
    assert setting(cart, "B", 0, quotes) is None
    assert isinstance(setting(cart, "B", 4, quotes), Append)
    with pytest.raises(OutOfStock, match="5 of A left"):
        setting(cart, "A", 6, quotes)
    with pytest.raises(SkuUnknown):
        setting(cart, "C", 1, quotes)


def test_removing_and_clearing() -> None:
    assert removing(cart_of(line("A")), "A") == Drop("A")
    with pytest.raises(NotFound):
        removing(cart_of(line("A")), "B")
    assert clearing(cart_of(line("A"))) == Clear()
    assert clearing(cart_of()) is None


@given(carts, carts)
def test_merging_loses_nothing_but_what_a_line_cannot_hold(mine: Cart, guest: Cart) -> None:
    edit = merging(mine, guest)
    lines = edit.lines if isinstance(edit, Rewrite) else mine.lines
    joined = {one.sku: one.quantity for one in lines}
    assert len(joined) == len(lines)
    assert joined == {sku: min(MOST_UNITS, mine.units(sku) + guest.units(sku)) for sku in {*mine.by_sku, *guest.by_sku}}


def test_merging_does_not_overfill() -> None:
    mine = cart_of(*(line(f"M{number}") for number in range(60)))
    guest = cart_of(*(line(f"G{number}") for number in range(41)))
    with pytest.raises(CartFull, match="101"):
        merging(mine, guest)


@given(carts, st.dictionaries(skus, units), versions)
def test_what_was_ordered_leaves_and_nothing_else(cart: Cart, ordered: Units, version: int) -> None:
    """Nothing of a line that came after the version that was ordered from."""
    left = {one.sku: one.quantity for one in taking(cart, ordered, version)}
    for one in cart.lines:
        gone = ordered.get(one.sku, 0) if one.since <= version else 0
        assert left.get(one.sku, 0) == max(0, one.quantity - gone)
    assert left.keys() <= cart.by_sku.keys()


@given(carts, carts, st.dictionaries(skus, units), versions)
def test_a_guest_s_order_takes_what_the_guest_brought(mine: Cart, guest: Cart, ordered: Units, version: int) -> None:
    """What came later into either cart stays, and so does what the customer had besides."""
    edit = merging(mine, guest)
    joined = replace(mine, lines=edit.lines) if isinstance(edit, Rewrite) else mine
    left = {one.sku: one.quantity for one in taking(joined, brought(guest, ordered, version), mine.version + 1)}
    for one in joined.lines:
        theirs = guest.by_sku.get(one.sku)
        most = theirs.quantity if theirs and theirs.since <= version else 0
        assert left.get(one.sku, 0) == max(0, one.quantity - min(most, ordered.get(one.sku, 0)))


@given(carts, markets)
def test_totals_are_the_sums_of_what_is_sold(cart: Cart, quotes: Quotes) -> None:
    found = priced(cart, quotes, "USD")
    assert [item.sku for item in found.items] == [one.sku for one in cart.lines]
    for item in found.items:
        counts = item.quantity if item.sku in quotes else 0
        assert item.line_total.amount == item.unit_price.amount * counts
    assert found.subtotal.amount == sum(item.line_total.amount for item in found.items)
    assert found.total.amount == found.subtotal.amount - found.discount.amount
    assert found == type(found).model_validate_json(found.model_dump_json())


@given(carts, markets)
def test_a_change_is_marked_until_it_was_seen(cart: Cart, quotes: Quotes) -> None:
    changed = [item for item in priced(cart, quotes, "USD").items if item.changes]
    lines = seen(cart, quotes)
    assert (lines is not None) >= bool(changed)
    if lines is not None:
        later = replace(cart, lines=lines)
        assert not [item for item in priced(later, quotes, "USD").items if item.changes]
        assert seen(later, quotes) is None


def test_each_kind_of_change() -> None:
    cart = cart_of(line("A", 3), line("B", 3), line("C", 3), line("D", 3, shortage=Change.LOW_STOCK))
    quotes = sold(quote("A", price=120), quote("B", price=80, available=2), quote("D", available=1))
    up, down, gone, known = priced(cart, quotes, "USD").items
    assert up.changes == [Change.PRICE_UP]
    assert down.changes == [Change.PRICE_DOWN, Change.LOW_STOCK]
    assert gone.changes == [Change.UNAVAILABLE]
    assert (gone.available, gone.line_total.amount, gone.unit_price.amount, gone.name) == (0, 0, 100, "Lamp C")
    assert known.changes == []
    assert known.available == 1


def test_a_shortage_that_ended_is_marked_when_it_comes_again() -> None:
    cart = cart_of(line("A", 3, shortage=Change.LOW_STOCK))
    lines = seen(cart, sold(quote("A")))
    assert lines is not None
    (again,) = priced(replace(cart, lines=lines), sold(quote("A", available=1)), "USD").items
    assert again.changes == [Change.LOW_STOCK]
