"""What an order costs: its lines, the discount, shipping and tax, by the merchant's rules."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from contracts.coupons import CouponTarget, CouponTerms
from contracts.failure import FieldError, InvalidRequest
from contracts.money import MAX_AMOUNT, Money
from contracts.order import DEFAULT_TAX_CATEGORY, TaxLine, TaxSettings
from services.order.domain.applicable_taxes import TaxTable, taxing_place
from services.order.domain.coupons import discount_on, require_fitting
from services.order.domain.places import Place
from services.order.domain.shipping import NOTHING_TO_SHIP, ShippingChoice, ShippingTable
from services.order.domain.sums import (
    AppliedRate,
    ComputedTax,
    LinePrice,
    LineSums,
    OrderSums,
    ShippingPrice,
    sum_order,
)


@dataclass(frozen=True, slots=True)
class PricingRules:
    """The tax settings, tax rates and shipping zones of a moment. Each change of any of them makes a new version."""

    version: int
    settings: TaxSettings
    taxes: TaxTable
    shipping: ShippingTable


@dataclass(frozen=True, slots=True)
class GoodsLine:
    """A line before its taxes: `unit_price` in minor units. The tax category decides which taxes apply.

    `weight_grams` is that of one unit. What is not shipped, such as a download, adds nothing to the order's weight.
    """

    unit_price: int
    quantity: int
    tax_category: str = DEFAULT_TAX_CATEGORY
    requires_shipping: bool = True
    weight_grams: int = 0


@dataclass(frozen=True, slots=True)
class LineTaxes:
    """What is taken off a line, and the taxes on its goods and on its share of the shipping."""

    discount: Money
    tax_lines: list[TaxLine]
    shipping_tax_lines: list[TaxLine]


@dataclass(frozen=True, slots=True)
class OrderPrice:
    """The discount and taxes of each line, and the amounts of an order.

    `total` is `subtotal - discount + shipping`, plus `tax` unless the prices include it. `discount` includes
    `shipping_discount`.
    """

    lines: list[LineTaxes]
    shipping_method: str
    tax_included: bool
    tax_lines: list[TaxLine]
    subtotal: Money
    discount: Money
    shipping: Money
    shipping_discount: Money
    tax: Money
    total: Money


def price_order(
    lines: Sequence[GoodsLine],
    currency: str,
    method: str,
    destination: Place,
    rules: PricingRules,
    at: datetime,
    coupon: CouponTerms | None = None,
) -> OrderPrice:
    """Adds up the lines, the coupon's discount, shipping and tax as the rules are at that time.

    Raises `NotDeliverable` or `InvalidRequest` when nothing ships there as requested, or the total exceeds the largest
    amount, and `CouponInvalid` when the coupon is not for this order.
    """
    settings, place = rules.settings, taxing_place(rules.settings, destination)
    rates = {
        category: rules.taxes.rates_at(place, category, at)
        for category in (*(line.tax_category for line in lines), settings.shipping_tax_category)
        if category is not None
    }
    prices = [LinePrice(line.unit_price, line.quantity, rates[line.tax_category]) for line in lines]
    subtotal = sum(price.amount for price in prices)
    if coupon is not None:
        require_fitting(coupon, subtotal, currency)
    goods_discount = discount_on(coupon, CouponTarget.GOODS, prices)
    shipped = [line for line in lines if line.requires_shipping]
    weight_grams = sum(line.weight_grams * line.quantity for line in shipped)
    shipping = NOTHING_TO_SHIP
    if shipped:
        shipping = rules.shipping.choose(destination, method, subtotal - goods_discount, weight_grams, currency)
    shipping_rates = rates[settings.shipping_tax_category] if settings.shipping_tax_category else None
    shipping_discount = discount_on(coupon, CouponTarget.SHIPPING, [LinePrice(shipping.price, 1)])
    sums = sum_order(
        prices,
        tax_included=settings.prices_include_tax,
        order_discount=goods_discount,
        shipping=ShippingPrice(shipping.price, shipping_discount, shipping_rates),
    )
    if sums.total > MAX_AMOUNT:
        detail = "The total exceeds the largest amount of one payment. Order fewer items."
        raise InvalidRequest(errors=[FieldError(pointer="/items", detail=detail)])
    return _to_price(sums, shipping, shipping_discount, currency, tax_included=settings.prices_include_tax)


def _to_price(
    sums: OrderSums, shipping: ShippingChoice, shipping_discount: int, currency: str, *, tax_included: bool
) -> OrderPrice:
    taxes = [tax for line in sums.lines for tax in (*line.tax_lines, *_shipping_taxes(line))]
    amounts = (sums.subtotal, sums.discount, sums.shipping, shipping_discount, sums.tax, sums.total)
    return OrderPrice(
        [
            LineTaxes(
                Money(amount=line.discount, currency=currency),
                _to_tax_lines(line.tax_lines, currency),
                _to_tax_lines(_shipping_taxes(line), currency),
            )
            for line in sums.lines
        ],
        shipping.method,
        tax_included,
        _to_tax_lines(_sum_by_rate(taxes), currency),
        *(Money(amount=amount, currency=currency) for amount in amounts),
    )


def _shipping_taxes(sums: LineSums) -> tuple[ComputedTax, ...]:
    """The taxes on the line's share of shipping; none if that is nothing."""
    return sums.shipping_tax_lines if sums.shipping else ()


def _sum_by_rate(taxes: Iterable[ComputedTax]) -> list[ComputedTax]:
    """One tax for each rate, in the order in which the rates first occur."""
    by_rate: dict[AppliedRate, ComputedTax] = {}
    for tax in taxes:
        other = by_rate.get(tax.rate)
        by_rate[tax.rate] = ComputedTax(tax.rate, tax.base + other.base, tax.amount + other.amount) if other else tax
    return list(by_rate.values())


def _to_tax_lines(taxes: Iterable[ComputedTax], currency: str) -> list[TaxLine]:
    return [
        TaxLine(
            name=tax.rate.name,
            rate_ppm=tax.rate.rate_ppm,
            base=Money(amount=tax.base, currency=currency),
            amount=Money(amount=tax.amount, currency=currency),
            compound=tax.rate.compound,
            reason=tax.rate.reason,
        )
        for tax in taxes
    ]
