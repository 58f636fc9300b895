"""Reads the cells of a row. What is not as it should be is rounded, cut or left out, with a warning."""

import re
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Decimal

from pydantic import TypeAdapter, ValidationError

from contracts.catalog import MAX_STOCK, Barcode, ProductStatus
from services.catalog.domain.number_parser import parse_number, parse_price
from services.catalog.domain.shopify.notices import Notices
from services.catalog.domain.shopify.row_reader import CsvRow

MAX_GRAMS = 10_000_000
MAX_ALT_LENGTH = 512
TRUE_WORDS = frozenset({"true", "t", "yes", "y", "1", "on"})
FALSE_WORDS = frozenset({"false", "f", "no", "n", "0", "off"})
_GRAMS_PER_UNIT = {"g": "1", "kg": "1000", "oz": "28.349523125", "lb": "453.59237"}
_WEIGHT_UNIT = re.compile(r"(.*[0-9.,])\s*(kg|g|oz|lb)s?", re.IGNORECASE)
_BARCODE = TypeAdapter[str](Barcode)
_BREAKS = re.compile(r"\s*[\x00-\x1f\x7f]+\s*")


def parse_line(row: CsvRow, column: str, max_length: int, notices: Notices) -> str:
    """A cell as one line of text of at most `max_length` characters."""
    text = row[column]
    line = make_line(text)
    if len(line) > max_length:
        notices.warn(row, column, f"This was cut to {max_length} characters.")
        return cut_line(line, max_length)
    if line != text:
        notices.warn(row, column, "This was made one line of text.")
    return line


def make_line(text: str) -> str:
    """The text without line breaks and other control characters."""
    return _BREAKS.sub(" ", text).strip()


def cut_line(line: str, max_length: int) -> str:
    """The beginning of a line, which ends with an ellipsis if something is missing."""
    return line if len(line) <= max_length else line[: max_length - 1].rstrip() + "…"


def parse_optional_price(row: CsvRow, column: str, currency: str, notices: Notices) -> int | None:
    """The price in a cell, or None for none. A price of 0 in such a cell means none."""
    return parse_amount(row, column, currency, notices) or None


def parse_amount(row: CsvRow, column: str, currency: str, notices: Notices) -> int | None:
    """The amount in a cell in minor units, or None for none."""
    if not row[column]:
        return None
    try:
        price = parse_price(row[column], currency, has_decimal_comma=row.format.has_decimal_comma)
    except ValueError as error:
        notices.warn(row, column, f"This was left out: it {error}.")
        return None
    if price.remark:
        notices.warn(row, column, price.remark)
    return price.amount


def parse_barcode(row: CsvRow, notices: Notices) -> str | None:
    """The barcode. Shopify writes an apostrophe before it, so that a spreadsheet leaves it as it is."""
    column = "Variant Barcode"
    barcode = row[column].removeprefix("'")
    try:
        return _BARCODE.validate_python(barcode) if barcode else None
    except ValidationError:
        notices.warn(row, column, "The barcode was left out: it has at most 64 characters, all of them printable.")
        return None


def parse_flag(row: CsvRow, column: str, notices: Notices) -> bool:
    """Whether a cell says yes, as an empty one does."""
    word = row[column].lower()
    if word and word not in TRUE_WORDS | FALSE_WORDS:
        notices.warn(row, column, "This is neither TRUE nor FALSE; it was read as TRUE.")
    return word not in FALSE_WORDS


def parse_grams(row: CsvRow, notices: Notices) -> int | None:
    """The weight in whole grams."""
    column, text = "Variant Grams", row["Variant Grams"]
    if not text:
        return None
    factor = "1"
    if match := _WEIGHT_UNIT.fullmatch(text):
        text, factor = match[1].strip(), _GRAMS_PER_UNIT[match[2].lower()]
    try:
        number = parse_number(text, has_decimal_comma=row.format.has_decimal_comma)
    except ValueError as error:
        notices.warn(row, column, f"The weight was left out: this {error}.")
        return None
    grams = number.value * Decimal(factor)
    whole = int(grams.to_integral_value(ROUND_HALF_UP))
    if not 0 <= whole <= MAX_GRAMS:
        notices.warn(row, column, f"The weight was left out: it is not between 0 and {MAX_GRAMS} g.")
        return None
    if whole != grams:
        notices.warn(row, column, f"This was rounded to {whole} g.")
    elif not number.is_plain or text != row[column]:
        notices.warn(row, column, f"This was read as {whole} g.")
    return whole


def parse_tracking(row: CsvRow) -> bool | None:
    """Whether orders take units of the variant; None where the file has no column that says so.

    A row that states units counts them, also in the files that leave the tracker of every row empty.
    """
    if not row.has_column("Variant Inventory Tracker"):
        return None
    return bool(row["Variant Inventory Tracker"] or row["Variant Inventory Qty"])


def parse_backorder(row: CsvRow, notices: Notices) -> bool | None:
    """Whether the variant is sold below zero; None where the file has no column that says so."""
    column = "Variant Inventory Policy"
    if not row.has_column(column):
        return None
    policy = row[column].lower()
    if policy not in TRUE_WORDS | FALSE_WORDS | {"", "continue", "deny"}:
        notices.warn(row, column, "This is neither TRUE nor FALSE. The variant is not sold when no unit is left.")
    return policy in TRUE_WORDS | {"continue"}


def parse_quantity(row: CsvRow, notices: Notices) -> int | None:
    """The units on hand. A negative quantity counts as 0, unless the row says that it is sold below zero."""
    column = "Variant Inventory Qty"
    if not row[column]:
        return None
    try:
        number = parse_number(row[column], has_decimal_comma=row.format.has_decimal_comma)
    except ValueError as error:
        notices.warn(row, column, f"The stock was left as it is: this {error}.")
        return None
    is_sold_below_zero = row["Variant Inventory Policy"].lower() in TRUE_WORDS | {"continue"}
    lowest = Decimal(-MAX_STOCK if is_sold_below_zero else 0)
    units = int(min(max(number.value, lowest), Decimal(MAX_STOCK)).to_integral_value(ROUND_FLOOR))
    if units != number.value or not number.is_plain:
        notices.warn(row, column, f"This was read as {units} units.")
    return units


def parse_status(row: CsvRow, notices: Notices) -> ProductStatus | None:
    """Whether the product is on sale or a draft; None where the file has no column that says so."""
    if not (row.has_column("Published") or row.has_column("Status")):
        return None
    published, status = row["Published"].lower(), row["Status"].lower()
    if published and published not in TRUE_WORDS | FALSE_WORDS:
        notices.warn(row, "Published", "This is neither TRUE nor FALSE. The product was not put on sale.")
    if status not in {"", "active", "draft", "archived", "unlisted"}:
        notices.warn(row, "Status", "This is not a known status. The product was not put on sale.")
    if published in TRUE_WORDS | {""} and status in {"", "active"}:
        return ProductStatus.ACTIVE
    return ProductStatus.DRAFT if status == "draft" else ProductStatus.INACTIVE
