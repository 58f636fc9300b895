"""What an order costs: its lines, the discount, shipping and tax."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from contracts.failure import FieldError, InvalidRequest
from contracts.money import MAX_AMOUNT, Money, sum_money
from contracts.order import Address, OrderItem, ShippingMethod

SHIPPING: Mapping[ShippingMethod, int] = MappingProxyType({ShippingMethod.STANDARD: 0})
"""The shipping price of one order, in minor units, by method."""

TAX: Mapping[str, int] = MappingProxyType({})
"""Tax in thousandths of the price of the goods, by destination country; 0 for a country that is not listed."""


@dataclass(frozen=True, slots=True)
class OrderTotals:
    """The amounts of an order: `total` is `subtotal - discount + shipping + tax`."""

    subtotal: Money
    discount: Money
    shipping: Money
    tax: Money
    total: Money


def price_order(items: Sequence[OrderItem], currency: str, method: ShippingMethod, address: Address) -> OrderTotals:
    """Adds up the items, shipping and tax. Raises `Invalid` when the total exceeds the largest amount."""
    subtotal = sum_money([item.line_total for item in items], currency)
    discount = Money(amount=0, currency=currency)
    shipping = shipping_price(method, currency)
    tax = tax_on(subtotal, address)
    due = subtotal.amount - discount.amount + shipping.amount + tax.amount
    if due > MAX_AMOUNT:
        detail = "The total exceeds the largest amount of one payment. Order fewer items."
        raise InvalidRequest(errors=[FieldError(pointer="/items", detail=detail)])
    return OrderTotals(subtotal, discount, shipping, tax, Money(amount=due, currency=currency))


def shipping_price(method: ShippingMethod, currency: str) -> Money:
    """Returns the shipping price of one order."""
    return Money(amount=SHIPPING[method], currency=currency)


def tax_on(goods: Money, address: Address) -> Money:
    """Returns the tax on the goods at the destination, rounded down to the minor unit."""
    return Money(amount=goods.amount * TAX.get(address.country, 0) // 1000, currency=goods.currency)
