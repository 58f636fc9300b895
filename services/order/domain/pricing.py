"""What an order costs: its lines, the discount, shipping and tax."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from contracts.failure import FieldError, InvalidRequest
from contracts.money import MAX_AMOUNT, Money
from contracts.order import Address, OrderItem, ShippingMethod
from services.order.domain.sums import LinePrice, ShippingPrice, TaxRate, sum_order

SHIPPING: Mapping[ShippingMethod, int] = MappingProxyType({ShippingMethod.STANDARD: 0})
"""The shipping price of one order, in minor units, by method."""

TAX_RATES: Mapping[str, tuple[TaxRate, ...]] = MappingProxyType({})
"""The rates on goods and shipping by destination country; none for a country that is not listed."""


@dataclass(frozen=True, slots=True)
class OrderTotals:
    """The amounts of an order: `total` is `subtotal - discount + shipping + tax`."""

    subtotal: Money
    discount: Money
    shipping: Money
    tax: Money
    total: Money


def price_order(items: Sequence[OrderItem], currency: str, method: ShippingMethod, address: Address) -> OrderTotals:
    """Adds up the items, shipping and tax. Raises `InvalidRequest` when the total exceeds the largest amount."""
    rates = TAX_RATES.get(address.country, ())
    lines = [LinePrice(item.unit_price.amount, item.quantity, rates) for item in items]
    sums = sum_order(lines, tax_included=False, shipping=ShippingPrice(SHIPPING[method]))
    if sums.total > MAX_AMOUNT:
        detail = "The total exceeds the largest amount of one payment. Order fewer items."
        raise InvalidRequest(errors=[FieldError(pointer="/items", detail=detail)])
    amounts = (sums.subtotal, sums.discount, sums.shipping, sums.tax, sums.total)
    return OrderTotals(*(Money(amount=amount, currency=currency) for amount in amounts))
