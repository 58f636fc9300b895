"""Reads prices and other numbers as people write them."""

import re
import unicodedata
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from contracts.money import CURRENCY_EXPONENTS, MAX_AMOUNT

MAX_NUMBER_LENGTH = 30
CURRENCY_SIGNS = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥"}
_THOUSANDS_DIGITS = 3
_PLAIN = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_SIMPLE = re.compile(r"(-?)([0-9]*)(?:([.,])([0-9]*))?")
_GROUPED = re.compile(
    r"(-?)([0-9]{1,3}(?P<separator>[,.'\u2019\u00a0\u202f ])[0-9]{3}(?:(?P=separator)[0-9]{3})*)(?:([.,])([0-9]*))?"
)
_DECIMAL_SIGNS = str.maketrans({"\u066b": ".", "\u066c": ",", "\uff0e": ".", "\uff0c": ",", "\u2212": "-"})


@dataclass(frozen=True, slots=True)
class ParsedNumber:
    """A number, and whether it was written plainly: digits with a point before the decimals."""

    value: Decimal
    is_plain: bool


@dataclass(frozen=True, slots=True)
class ParsedPrice:
    """A price in minor units; `remark` says how it was read where that is not plain."""

    amount: int
    remark: str = ""


def parse_number(text: str, *, has_decimal_comma: bool = False) -> ParsedNumber:
    """The number that a text states, with separators of thousands. Raises ValueError for any other text.

    A lone comma before exactly three digits separates thousands. With `has_decimal_comma` a lone point does.
    """
    digits = text if text.isascii() else "".join(map(_to_ascii_digit, text.translate(_DECIMAL_SIGNS)))
    if len(digits) <= MAX_NUMBER_LENGTH:
        if match := _SIMPLE.fullmatch(digits):
            sign, whole, mark, decimals = (part or "" for part in match.groups())
            is_group = len(decimals) == _THOUSANDS_DIGITS and len(whole) <= _THOUSANDS_DIGITS and whole.strip("0") != ""
            if is_group and mark == ("." if has_decimal_comma else ","):
                whole, decimals = whole + decimals, ""
        elif match := _GROUPED.fullmatch(digits):
            sign, grouped, separator, mark, decimals = (part or "" for part in match.groups())
            whole = "" if mark == separator else grouped.replace(separator, "")
        else:
            whole = decimals = ""
        if whole or decimals:
            return ParsedNumber(Decimal(f"{sign}{whole or '0'}.{decimals or '0'}"), bool(_PLAIN.fullmatch(text)))
    raise ValueError("is not a number")


def parse_price(text: str, currency: str, *, has_decimal_comma: bool = False) -> ParsedPrice:
    """The price that a text states: `42.99` dollars are 4299 cents. Raises ValueError for a text that states none."""
    bare = _strip_currency(text, currency)
    try:
        number = parse_number(bare, has_decimal_comma=has_decimal_comma)
    except ValueError:
        raise ValueError("is not a price like 42.99") from None
    exact = number.value.scaleb(CURRENCY_EXPONENTS[currency])
    units = Decimal(int(exact.to_integral_value(ROUND_HALF_UP)))
    if units < 0:
        raise ValueError("is less than 0")
    if units > MAX_AMOUNT:
        raise ValueError(f"is more than the largest amount, {MAX_AMOUNT} minor units")
    shown = f"{units.scaleb(-CURRENCY_EXPONENTS[currency]):f}"
    if units != exact:
        return ParsedPrice(int(units), f"This was rounded to {shown}, because {currency} has no smaller unit.")
    return ParsedPrice(int(units), "" if number.is_plain and bare == text else f"This was read as {shown}.")


def _strip_currency(text: str, currency: str) -> str:
    """The text without the code or the sign of that currency. With another currency's it is no price."""
    for mark in (currency, CURRENCY_SIGNS.get(currency, currency)):
        text = text.removeprefix(mark).removesuffix(mark).strip()
    return text


def _to_ascii_digit(character: str) -> str:
    digit = unicodedata.decimal(character, None)
    return character if digit is None else str(digit)
