"""What an order costs: its lines, what is taken off, shipping and tax."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from contracts.failure import FieldError, InvalidRequest
from contracts.money import MAX_AMOUNT, Money, sum_money
from contracts.order import Address, OrderItem, ShippingMethod

SHIPPING: Mapping[ShippingMethod, int] = MappingProxyType({ShippingMethod.STANDARD: 0})
"""Minor units an order."""

TAX: Mapping[str, int] = MappingProxyType({})
"""Thousandths of what the goods cost, by the country they go to; nothing for a country that is not named."""


@dataclass(frozen=True, slots=True)
class OrderTotals:
    """`total` is subtotal - discount + shipping + tax."""

    subtotal: Money
    discount: Money
    shipping: Money
    tax: Money
    total: Money


def price_order(items: Sequence[OrderItem], currency: str, method: ShippingMethod, address: Address) -> OrderTotals:
    subtotal = sum_money([item.line_total for item in items], currency)
    discount = Money(amount=0, currency=currency)
    shipping = shipping_of(method, currency)
    tax = tax_on(subtotal, address)
    due = subtotal.amount - discount.amount + shipping.amount + tax.amount
    if due > MAX_AMOUNT:
        raise InvalidRequest(errors=[FieldError(pointer="/items", detail="They cost more than can be paid at once")])
    return OrderTotals(subtotal, discount, shipping, tax, Money(amount=due, currency=currency))


def shipping_of(method: ShippingMethod, currency: str) -> Money:
    return Money(amount=SHIPPING[method], currency=currency)


def tax_on(goods: Money, address: Address) -> Money:
    return Money(amount=goods.amount * TAX.get(address.country, 0) // 1000, currency=goods.currency)
