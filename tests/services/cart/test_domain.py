"""The rules of a cart, checked as invariants."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.cart import CartFull, CartItemChange
from contracts.catalog import OutOfStock, SkuQuote, SkuUnknown
from contracts.failure import Fail, InvalidRequest, NotFound
from contracts.money import Money
from infra.foundation.ids import new_id
from services.cart.domain.carts import (
    MAX_LINES,
    MAX_UNITS,
    AddLine,
    CartLine,
    CartRecord,
    ClearLines,
    IncreaseQuantity,
    QuotesBySku,
    RemoveLine,
    ReplaceLines,
    SetQuantity,
    UnitsBySku,
    add_units,
    after_order,
    clear_lines,
    lines_from_guest,
    mark_seen,
    merge_lines,
    remove_line,
    set_units,
    units_taken,
    with_order,
)
from services.cart.views import render_cart

PRODUCT = UUID(int=7)
SKUS = ("A", "B", "C", "D")

skus = st.sampled_from(SKUS)
units = st.integers(1, MAX_UNITS)
amounts = st.integers(0, 10_000)
VERSION = 5
versions = st.integers(0, VERSION)


def line(
    sku: str, quantity: int = 1, *, price: int = 100, shortage: CartItemChange | None = None, since: int = 0
) -> CartLine:
    return CartLine(sku, quantity, PRODUCT, f"Lamp {sku}", {"color": "red"}, price, shortage, since)


def cart_of(*lines: CartLine, version: int = 1) -> CartRecord:
    return CartRecord("x" * 22, None, datetime(2030, 1, 1, tzinfo=UTC), lines, version)


def quote(sku: str, *, available: int = 1000, price: int = 100) -> SkuQuote:
    unit_price = Money(amount=price, currency="USD")
    return SkuQuote(sku=sku, product_id=PRODUCT, name="Lamp", options={}, unit_price=unit_price, available=available)


def on_sale(*quotes: SkuQuote) -> QuotesBySku:
    return {one.sku: one for one in quotes}


carts = st.dictionaries(skus, st.builds(line, skus, units, price=amounts, since=versions)).map(
    lambda by_sku: cart_of(*(replace(one, sku=sku) for sku, one in by_sku.items()), version=VERSION)
)
markets = st.dictionaries(skus, st.builds(quote, skus, available=st.integers(0, 1200), price=amounts)).map(
    lambda by_sku: {sku: one.model_copy(update={"sku": sku}) for sku, one in by_sku.items()}
)


@given(carts, skus, units, markets)
def test_adding_never_exceeds_available_units_or_the_line_limit(
    cart: CartRecord, sku: str, quantity: int, quotes: QuotesBySku
) -> None:
    total = cart.quantity_of(sku) + quantity
    try:
        edit = add_units(cart, sku, quantity, quotes)
    except Fail:
        assert sku not in quotes or total > min(MAX_UNITS, quotes[sku].available)
        return
    assert total <= min(MAX_UNITS, quotes[sku].available)
    if cart.quantity_of(sku):
        assert edit == IncreaseQuantity(sku, quantity, min(MAX_UNITS, quotes[sku].available))
    else:
        assert isinstance(edit, AddLine)
        assert (edit.line.sku, edit.line.quantity) == (sku, quantity)
        assert edit.line.price == quotes[sku].unit_price.amount


def test_add_units_names_the_reason_for_a_refusal() -> None:
    with pytest.raises(SkuUnknown):
        add_units(cart_of(), "A", 1, {})
    with pytest.raises(OutOfStock, match="3 of A left") as short:
        add_units(cart_of(line("A", 2)), "A", 2, on_sale(quote("A", available=3)))
    assert short.value.errors[0].pointer == "/quantity"
    with pytest.raises(InvalidRequest) as refused:
        add_units(cart_of(line("A", MAX_UNITS)), "A", 1, on_sale(quote("A", available=5000)))
    assert refused.value.errors[0].pointer == "/quantity"


def test_a_full_cart_takes_no_new_sku() -> None:
    full = cart_of(*(line(f"S{number}") for number in range(MAX_LINES)))
    with pytest.raises(CartFull):
        add_units(full, "A", 1, on_sale(quote("A")))
    with pytest.raises(CartFull):
        set_units(full, "A", 1, on_sale(quote("A")))
    assert add_units(full, "S5", 1, on_sale(quote("S5"))) == IncreaseQuantity("S5", 1, MAX_UNITS)


def test_set_units() -> None:
    cart, quotes = cart_of(line("A", 2)), on_sale(quote("A", available=5), quote("B"))
    assert set_units(cart, "A", 3, quotes) == SetQuantity("A", 3)
    assert set_units(cart, "A", 2, quotes) is None
    assert set_units(cart, "A", 0, {}) == RemoveLine("A")
    assert set_units(cart, "B", 0, quotes) is None
    assert isinstance(set_units(cart, "B", 4, quotes), AddLine)
    with pytest.raises(OutOfStock, match="5 of A left"):
        set_units(cart, "A", 6, quotes)
    with pytest.raises(SkuUnknown):
        set_units(cart, "C", 1, quotes)


def test_remove_line_and_clear_lines() -> None:
    assert remove_line(cart_of(line("A")), "A") == RemoveLine("A")
    with pytest.raises(NotFound):
        remove_line(cart_of(line("A")), "B")
    assert clear_lines(cart_of(line("A"))) == ClearLines()
    assert clear_lines(cart_of()) is None


@given(carts, carts)
def test_merging_adds_units_up_to_the_line_limit(own: CartRecord, guest: CartRecord) -> None:
    edit = merge_lines(own, guest)
    lines = edit.lines if isinstance(edit, ReplaceLines) else own.lines
    merged = {one.sku: one.quantity for one in lines}
    assert len(merged) == len(lines)
    assert merged == {
        sku: min(MAX_UNITS, own.quantity_of(sku) + guest.quantity_of(sku))
        for sku in {*own.lines_by_sku, *guest.lines_by_sku}
    }


@given(carts, carts)
def test_a_merge_counts_every_unit_that_it_leaves_out(own: CartRecord, guest: CartRecord) -> None:
    edit = merge_lines(own, guest)
    assert {one.sku: one.quantity + one.left_out for one in (edit.lines if isinstance(edit, ReplaceLines) else ())} == {
        sku: own.quantity_of(sku) + guest.quantity_of(sku)
        for sku in {*own.lines_by_sku, *guest.lines_by_sku}
        if guest.lines
    }


def test_two_merges_before_a_read_add_what_they_leave_out() -> None:
    own = cart_of(line("A", 900))
    for _ in range(2):
        edit = merge_lines(own, cart_of(line("A", 500)))
        assert isinstance(edit, ReplaceLines)
        own = replace(own, lines=edit.lines)
    assert [(one.quantity, one.left_out) for one in own.lines] == [(MAX_UNITS, 901)]
    seen = mark_seen(own, on_sale(quote("A", available=5000)))
    assert seen is not None
    assert seen[0].left_out == 0


def test_a_merge_never_adds_units_of_two_products_that_had_the_same_sku() -> None:
    own = cart_of(line("A", 5), version=7)
    guest = cart_of(replace(line("A", 2), product_id=UUID(int=8)))
    edit = merge_lines(own, guest)
    assert isinstance(edit, ReplaceLines)
    assert edit.lines == (replace(guest.lines[0], since=8),)
    assert units_taken(guest, own, replace(own, lines=edit.lines)) == guest.lines


def test_refuses_a_merge_with_too_many_lines() -> None:
    own = cart_of(*(line(f"M{number}") for number in range(60)))
    guest = cart_of(*(line(f"G{number}") for number in range(41)))
    with pytest.raises(CartFull, match="101"):
        merge_lines(own, guest)


def test_orders_of_one_version_take_its_lines_once() -> None:
    """The first was paid and cancelled afterwards, the second was placed before the cart had heard of the payment."""
    first, second = new_id(), new_id()
    cart = with_order(cart_of(line("A", 5)), first, 1, 20)
    assert after_order(cart, {"A": 2}, 1) == cart.lines
    assert not cart.has_applied(second, 1)
    assert lines_from_guest(cart, {"A": 2}, 1) == {}


@given(carts, st.dictionaries(skus, units), versions)
def test_an_order_removes_exactly_the_ordered_units(cart: CartRecord, ordered: UnitsBySku, version: int) -> None:
    """A line added after the version that was ordered keeps all its units."""
    left = {one.sku: one.quantity for one in after_order(cart, ordered, version)}
    for one in cart.lines:
        taken = ordered.get(one.sku, 0) if one.since <= version else 0
        assert left.get(one.sku, 0) == max(0, one.quantity - taken)
    assert left.keys() <= cart.lines_by_sku.keys()


@given(carts, carts, st.dictionaries(skus, units), versions)
def test_a_guests_order_takes_only_units_from_the_guests_cart(
    own: CartRecord, guest: CartRecord, ordered: UnitsBySku, version: int
) -> None:
    """Units added later to either cart stay, and so do the units that the customer had before."""
    edit = merge_lines(own, guest)
    merged = replace(own, lines=edit.lines) if isinstance(edit, ReplaceLines) else own
    closed = replace(guest, lines=units_taken(guest, own, merged))
    left = {
        one.sku: one.quantity
        for one in after_order(merged, lines_from_guest(closed, ordered, version), own.version + 1)
    }
    for one in merged.lines:
        assert left.get(one.sku, 0) >= min(one.quantity, own.quantity_of(one.sku))
        guest_line = guest.lines_by_sku.get(one.sku)
        limit = one.quantity - own.quantity_of(one.sku) if guest_line and guest_line.since <= version else 0
        assert left.get(one.sku, 0) == max(0, one.quantity - min(limit, ordered.get(one.sku, 0)))


@given(carts, markets)
def test_totals_are_the_sums_of_lines_on_sale(cart: CartRecord, quotes: QuotesBySku) -> None:
    view = render_cart(cart, quotes, "USD")
    assert [item.sku for item in view.items] == [one.sku for one in cart.lines]
    for item in view.items:
        counts = item.quantity if item.sku in quotes else 0
        assert item.line_total.amount == item.unit_price.amount * counts
    assert view.subtotal.amount == sum(item.line_total.amount for item in view.items)
    assert view.total.amount == view.subtotal.amount - view.discount.amount
    assert view == type(view).model_validate_json(view.model_dump_json())


@given(carts, markets)
def test_a_change_is_marked_until_it_was_read(cart: CartRecord, quotes: QuotesBySku) -> None:
    changed = [item for item in render_cart(cart, quotes, "USD").items if item.changes]
    lines = mark_seen(cart, quotes)
    assert (lines is not None) >= bool(changed)
    if lines is not None:
        later = replace(cart, lines=lines)
        assert not [item for item in render_cart(later, quotes, "USD").items if item.changes]
        assert mark_seen(later, quotes) is None


def test_marks_each_kind_of_change() -> None:
    cart = cart_of(line("A", 3), line("B", 3), line("C", 3), line("D", 3, shortage=CartItemChange.LOW_STOCK))
    quotes = on_sale(quote("A", price=120), quote("B", price=80, available=2), quote("D", available=1))
    up, down, gone, known = render_cart(cart, quotes, "USD").items
    assert up.changes == [CartItemChange.PRICE_UP]
    assert down.changes == [CartItemChange.PRICE_DOWN, CartItemChange.LOW_STOCK]
    assert gone.changes == [CartItemChange.UNAVAILABLE]
    assert (gone.available, gone.line_total.amount, gone.unit_price.amount, gone.name) == (0, 0, 100, "Lamp C")
    assert known.changes == []
    assert known.available == 1


@pytest.mark.parametrize(("in_stock", "waits"), [(None, False), (3, False), (2, True)])
def test_says_which_lines_wait_for_new_units(in_stock: int | None, waits: bool) -> None:  # noqa: FBT001 - parametrized
    quotes = on_sale(quote("A").model_copy(update={"in_stock": in_stock}))
    (item,) = render_cart(cart_of(line("A", 3)), quotes, "USD").items
    assert (item.on_backorder, item.changes) == (waits, [])


def test_a_shortage_is_marked_again_after_it_ended() -> None:
    cart = cart_of(line("A", 3, shortage=CartItemChange.LOW_STOCK))
    lines = mark_seen(cart, on_sale(quote("A")))
    assert lines is not None
    (again,) = render_cart(replace(cart, lines=lines), on_sale(quote("A", available=1)), "USD").items
    assert again.changes == [CartItemChange.LOW_STOCK]
