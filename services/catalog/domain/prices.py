"""Reads prices as people write them."""

import re
from decimal import Decimal

from contracts.money import CURRENCY_EXPONENTS, MAX_AMOUNT

_PRICE = re.compile(r"[0-9]{1,13}(\.[0-9]{1,12})?")


def parse_price(text: str, currency: str) -> int:
    """The price in minor units: `42.99` dollars are 4299 cents. Raises ValueError for any other form."""
    if not _PRICE.fullmatch(text):
        raise ValueError("is not a price like 42.99")
    units = Decimal(text).scaleb(CURRENCY_EXPONENTS[currency])
    if units != units.to_integral_value():
        raise ValueError(f"has more decimals than {currency} has")
    if units > MAX_AMOUNT:
        raise ValueError(f"is more than the largest amount, {MAX_AMOUNT} minor units")
    return int(units)
