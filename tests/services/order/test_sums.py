"""The sums of an order: known figures, and properties of any order in currencies of 0, 2 and 3 decimals."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.money import MAX_AMOUNT, share_of_units
from contracts.order import PPM, TaxReason
from services.order.domain.sums import (
    AppliedRate,
    ComputedTax,
    LinePrice,
    OrderSums,
    ShippingPrice,
    fixed_discount,
    percent_discount,
    sum_order,
    tax_on,
)

FULL = AppliedRate("full", 190_000, TaxReason.STANDARD)
LOW = AppliedRate("low", 70_000, TaxReason.REDUCED)
NONE = AppliedRate("export", 0, TaxReason.EXPORT)
STATE = AppliedRate("state", 62_500, TaxReason.STANDARD)
COUNTY = AppliedRate("county", 8_875, TaxReason.STANDARD)
ON_TOP = AppliedRate("on top", 99_750, TaxReason.STANDARD, compound=True)

BASKET = (LinePrice(1999, 2, (FULL,)), LinePrice(333, 3, (LOW,)))


def test_a_basket_with_two_rates_a_coupon_and_shipping() -> None:
    discount = percent_discount(BASKET, 10)
    sums = sum_order(BASKET, tax_included=True, order_discount=discount, shipping=ShippingPrice(490))
    first, second = sums.lines
    assert (first.discount, first.total, first.tax, first.shipping, first.shipping_tax) == (400, 3598, 574, 392, 63)
    assert (second.discount, second.total, second.tax, second.shipping, second.shipping_tax) == (100, 899, 59, 98, 6)
    assert (sums.subtotal, sums.discount, sums.shipping, sums.tax, sums.total) == (4997, 500, 490, 702, 4987)
    assert share_of_units(first.total, 2, first=0, count=1) == 1799
    assert share_of_units(first.shipping, 2, first=0, count=1) == 196


@pytest.mark.parametrize(
    ("amount", "rates", "tax_included", "taxes"),
    [
        (324, (FULL,), False, [62]),
        (38230, (AppliedRate("uk", 200_000, TaxReason.STANDARD),), True, [6372]),
        (10_000, (STATE, COUNTY), False, [625, 89]),
        (10_000, (AppliedRate("federal", 50_000, TaxReason.STANDARD), ON_TOP), False, [500, 1047]),
        (11_547, (AppliedRate("federal", 50_000, TaxReason.STANDARD), ON_TOP), True, [500, 1047]),
        (1999, (NONE,), True, [0]),
        (0, (FULL, LOW), True, [0, 0]),
        (500, (), True, []),
    ],
    ids=["a line, not a unit", "included", "two rates", "on top of another", "included on top", "zero", "free", "none"],
)
def test_the_tax_of_a_line(
    amount: int, rates: tuple[AppliedRate, ...], *, tax_included: bool, taxes: list[int]
) -> None:
    assert [line.amount for line in tax_on(amount, rates, tax_included=tax_included)] == taxes


def test_a_compound_rate_names_the_taxes_before_it_in_its_base() -> None:
    federal = AppliedRate("federal", 50_000, TaxReason.STANDARD)
    assert tax_on(11_547, (federal, ON_TOP), tax_included=True)[1] == ComputedTax(ON_TOP, 10_500, 1047)


@pytest.mark.parametrize("tax_included", [True, False])
def test_a_discount_of_all_leaves_nothing_to_pay_and_no_tax(*, tax_included: bool) -> None:
    sums = sum_order(BASKET, tax_included=tax_included, order_discount=percent_discount(BASKET, 100))
    assert (sums.discount, sums.tax, sums.total) == (4997, 0, 0)


def test_only_eligible_lines_share_the_discount_and_limit_it() -> None:
    lines = (BASKET[0], replace(BASKET[1], is_eligible=False))
    sums = sum_order(lines, tax_included=True, order_discount=fixed_discount(lines, 10_000))
    assert [line.discount for line in sums.lines] == [3998, 0]
    assert sums.total == 999


def test_shipping_of_goods_that_cost_nothing_is_shared_by_their_price_and_then_by_quantity() -> None:
    discounted = sum_order(
        BASKET, tax_included=True, order_discount=percent_discount(BASKET, 100), shipping=ShippingPrice(490)
    )
    free = sum_order((LinePrice(0, 3), LinePrice(0, 1)), tax_included=True, shipping=ShippingPrice(400))
    assert [line.shipping for line in discounted.lines] == [392, 98]
    assert [line.shipping for line in free.lines] == [300, 100]


def test_shipping_may_have_a_rate_and_a_discount_of_its_own() -> None:
    sums = sum_order(BASKET, tax_included=False, shipping=ShippingPrice(490, discount=90, rates=(LOW,)))
    assert [line.shipping for line in sums.lines] == [320, 80]
    assert sum(line.shipping_tax for line in sums.lines) == 22 + 6
    assert (sums.shipping, sums.discount, sums.total) == (490, 90, 4997 - 90 + 490 + sums.tax)


PRICES = st.integers(0, 10_000_000)
RATES = st.lists(
    st.builds(
        AppliedRate,
        name=st.sampled_from("abc"),
        rate_ppm=st.integers(0, 2 * PPM),
        reason=st.just(TaxReason.STANDARD),
        compound=st.booleans(),
    ),
    max_size=3,
).map(tuple)


@st.composite
def order_lines(draw: st.DrawFn) -> list[LinePrice]:
    """One to eight lines, some with a discount of their own."""
    lines = []
    for _ in range(draw(st.integers(1, 8))):
        line = LinePrice(draw(PRICES), draw(st.integers(1, 999)), draw(RATES), is_eligible=draw(st.booleans()))
        lines.append(replace(line, discount=draw(st.integers(0, line.amount))))
    return lines


@st.composite
def shipping_prices(draw: st.DrawFn) -> ShippingPrice:
    """Shipping with a discount of at most its price."""
    amount = draw(PRICES)
    return ShippingPrice(amount, draw(st.integers(0, amount)), draw(st.none() | RATES))


def sum_drawn_order(data: st.DataObject, lines: list[LinePrice]) -> tuple[OrderSums, bool]:
    """The sums of the lines with a percentage or a fixed discount and any shipping, and whether they include tax."""
    percent = data.draw(st.integers(1, 100))
    discount = data.draw(
        st.sampled_from([0, percent_discount(lines, percent), fixed_discount(lines, data.draw(PRICES))])
    )
    tax_included = data.draw(st.booleans())
    shipping = data.draw(shipping_prices())
    return sum_order(lines, tax_included=tax_included, order_discount=discount, shipping=shipping), tax_included


@given(order_lines(), st.data())
def test_every_sum_adds_up_and_nothing_is_negative(lines: list[LinePrice], data: st.DataObject) -> None:
    sums, tax_included = sum_drawn_order(data, lines)
    assert sums.subtotal == sum(line.line_total for line in sums.lines)
    assert sums.tax == sum(line.tax + line.shipping_tax for line in sums.lines)
    added = 0 if tax_included else sums.tax
    assert sums.total == sums.subtotal - sums.discount + sums.shipping + added
    shipping_tax = 0 if tax_included else sum(line.shipping_tax for line in sums.lines)
    assert sums.total == sum(line.total + line.shipping for line in sums.lines) + shipping_tax
    for line in sums.lines:
        assert 0 <= line.discount <= line.line_total
        assert min(line.total, line.shipping, *(tax.amount for tax in line.tax_lines), 0) == 0


@given(amount=st.integers(0, MAX_AMOUNT), rates=RATES, tax_included=st.booleans())
def test_a_tax_is_at_most_half_a_unit_a_rate_from_the_exact_one(
    amount: int, rates: tuple[AppliedRate, ...], *, tax_included: bool
) -> None:
    factor = Fraction(1)
    for rate in rates:
        factor += Fraction(rate.rate_ppm, PPM) * (factor if rate.compound else 1)
    net = amount / factor if tax_included else Fraction(amount)
    tax = sum(line.amount for line in tax_on(amount, rates, tax_included=tax_included))
    # A tax on top of others is computed on the rounded ones, so it may carry their rounding further.
    furthest = Fraction(1, 2) if tax_included else Fraction(1, 2) * len(rates) * (factor if len(rates) > 1 else 1)
    assert abs(tax - net * (factor - 1)) <= furthest
