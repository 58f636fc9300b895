"""The sums of an order, in integers of minor units: discounts, shipping and tax, to the cent.

The order of computation is fixed. A line is unit price times quantity, less its own discount. The order's discount is
divided among the eligible lines, and shipping, less its discount, among all lines. Then each line's tax is computed on
what is left and rounded once per line and rate. The sums of the order are the sums of these rounded lines.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.money import allocate, divide_half_up
from contracts.order import PPM, TaxReason


@dataclass(frozen=True, slots=True)
class AppliedRate:
    """A rate of tax. A compound one applies to the price and the taxes before it."""

    name: str
    rate_ppm: int
    reason: TaxReason
    compound: bool = False


@dataclass(frozen=True, slots=True)
class ComputedTax:
    """The tax of one rate on one line. `base` is the amount without this tax that it applies to."""

    rate: AppliedRate
    base: int
    amount: int


@dataclass(frozen=True, slots=True)
class LinePrice:
    """A line before the sums: `discount` is its own, and only eligible lines share the order's discount."""

    unit_price: int
    quantity: int
    rates: tuple[AppliedRate, ...] = ()
    discount: int = 0
    is_eligible: bool = True

    @property
    def amount(self) -> int:
        """The price of all units, before discounts."""
        return self.unit_price * self.quantity


@dataclass(frozen=True, slots=True)
class ShippingPrice:
    """Shipping before the sums. Without rates of its own, each line's share is taxed as the line is."""

    amount: int = 0
    discount: int = 0
    rates: tuple[AppliedRate, ...] | None = None


@dataclass(frozen=True, slots=True)
class LineSums:
    """A line with its share of the discounts and of shipping. `total` is what is paid for the goods of the line."""

    line_total: int
    discount: int
    tax_lines: tuple[ComputedTax, ...]
    total: int
    shipping: int
    shipping_tax_lines: tuple[ComputedTax, ...]

    @property
    def tax(self) -> int:
        """The tax on the goods."""
        return _sum_tax(self.tax_lines)

    @property
    def shipping_tax(self) -> int:
        """The tax on the line's share of shipping."""
        return _sum_tax(self.shipping_tax_lines)


@dataclass(frozen=True, slots=True)
class OrderSums:
    """`shipping` is the price before its discount, which `discount` includes; `tax` includes that on shipping.

    `total` is `subtotal - discount + shipping`, plus `tax` unless the prices include it.
    """

    lines: tuple[LineSums, ...]
    subtotal: int
    discount: int
    shipping: int
    tax: int
    total: int


def sum_order(
    lines: Sequence[LinePrice], *, tax_included: bool, order_discount: int = 0, shipping: ShippingPrice | None = None
) -> OrderSums:
    """Computes all sums of an order of one line or more.

    The order's discount must not exceed what the eligible lines cost after their own discounts, nor a discount its
    line or shipping: see `percent_discount` and `fixed_discount`.
    """
    shipping = shipping or ShippingPrice()
    discounts = _line_discounts(lines, order_discount)
    paid = [line.amount - discount for line, discount in zip(lines, discounts, strict=True)]
    shares = allocate(shipping.amount - shipping.discount, _shipping_weights(lines, paid))
    summed = [
        _sum_line(line, discount, share, shipping, tax_included=tax_included)
        for line, discount, share in zip(lines, discounts, shares, strict=True)
    ]
    subtotal = sum(line.line_total for line in summed)
    discount = sum(discounts) + shipping.discount
    tax = sum(line.tax + line.shipping_tax for line in summed)
    total = subtotal - discount + shipping.amount + (0 if tax_included else tax)
    return OrderSums(tuple(summed), subtotal, discount, shipping.amount, tax, total)


def percent_discount(lines: Sequence[LinePrice], percent: int) -> int:
    """Returns 1 to 100 percent of the eligible lines, rounded once. 100 percent leaves exactly nothing."""
    return divide_half_up(_eligible_amount(lines) * percent, 100)


def fixed_discount(lines: Sequence[LinePrice], amount: int) -> int:
    """Returns a fixed discount, at most what the eligible lines cost."""
    return min(amount, _eligible_amount(lines))


def tax_on(amount: int, rates: Sequence[AppliedRate], *, tax_included: bool) -> tuple[ComputedTax, ...]:
    """Returns the tax lines of an amount, which includes the tax or not. Each tax is rounded once."""
    return _included_tax(amount, rates) if tax_included else _added_tax(amount, rates)


def _sum_line(
    line: LinePrice, discount: int, shipping_share: int, shipping: ShippingPrice, *, tax_included: bool
) -> LineSums:
    paid = line.amount - discount
    tax_lines = tax_on(paid, line.rates, tax_included=tax_included)
    shipping_rates = line.rates if shipping.rates is None else shipping.rates
    return LineSums(
        line_total=line.amount,
        discount=discount,
        tax_lines=tax_lines,
        total=paid if tax_included else paid + _sum_tax(tax_lines),
        shipping=shipping_share,
        shipping_tax_lines=tax_on(shipping_share, shipping_rates, tax_included=tax_included),
    )


def _line_discounts(lines: Sequence[LinePrice], order_discount: int) -> list[int]:
    """The whole discount of each line: its own and its share of the order's."""
    weights = _eligible_amounts(lines)
    assert order_discount <= sum(weights), "the discount exceeds the eligible lines"
    shares = allocate(order_discount, weights) if order_discount else [0] * len(lines)
    return [line.discount + share for line, share in zip(lines, shares, strict=True)]


def _eligible_amounts(lines: Sequence[LinePrice]) -> list[int]:
    return [line.amount - line.discount if line.is_eligible else 0 for line in lines]


def _eligible_amount(lines: Sequence[LinePrice]) -> int:
    return sum(_eligible_amounts(lines))


def _shipping_weights(lines: Sequence[LinePrice], paid: Sequence[int]) -> Sequence[int]:
    """By what each line costs; when all cost nothing, by the price before discounts, and then by quantity."""
    amounts = [line.amount for line in lines]
    return next(weights for weights in (paid, amounts, [line.quantity for line in lines]) if any(weights))


def _added_tax(amount: int, rates: Sequence[AppliedRate]) -> tuple[ComputedTax, ...]:
    taxes: list[ComputedTax] = []
    for rate in rates:
        base = amount + (_sum_tax(taxes) if rate.compound else 0)
        taxes.append(ComputedTax(rate, base, divide_half_up(base * rate.rate_ppm, PPM)))
    return tuple(taxes)


def _included_tax(gross: int, rates: Sequence[AppliedRate]) -> tuple[ComputedTax, ...]:
    """The whole tax with the combined rate, rounded once and then divided among the rates."""
    if not rates:
        return ()
    weights, one = _combined_rates(rates)
    tax = divide_half_up(gross * sum(weights), one + sum(weights))
    amounts = allocate(tax, weights) if tax else [0] * len(rates)
    net, taxes = gross - tax, list[ComputedTax]()
    for rate, amount in zip(rates, amounts, strict=True):
        taxes.append(ComputedTax(rate, net + (_sum_tax(taxes) if rate.compound else 0), amount))
    return tuple(taxes)


def _combined_rates(rates: Sequence[AppliedRate]) -> tuple[list[int], int]:
    """Each rate's exact part of the net price, as numerators of one denominator.

    A compound rate applies to the taxes before it, so each needs a factor of a million more to stay exact.
    """
    parts: list[int] = []
    one = 1
    for rate in rates:
        taxed = one + (sum(parts) if rate.compound else 0)
        parts = [part * PPM for part in parts]
        parts.append(taxed * rate.rate_ppm)
        one *= PPM
    return parts, one


def _sum_tax(taxes: Sequence[ComputedTax]) -> int:
    return sum(tax.amount for tax in taxes)
