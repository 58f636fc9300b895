"""Reads a row as a variant."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from pydantic import ValidationError

from contracts.catalog import MAX_STOCK, VariantInput
from contracts.money import Money
from services.catalog.domain.prices import parse_price
from services.catalog.domain.shopify.rows import CsvRow
from services.catalog.domain.shopify.skus import derive_sku

T = TypeVar("T")

OPTION_NUMBERS = (1, 2, 3)
MAX_GRAMS = 10_000_000
COLUMNS = {
    "sku": "Variant SKU",
    "price": "Variant Price",
    "compare_at_price": "Variant Compare At Price",
    "options": "Option Value",
    "weight_grams": "Variant Grams",
    "name": "Title",
    "description": "Body (HTML)",
    "tags": "Tags",
    "attributes": "Vendor",
    "variants": "Variants",
}
"""Fields of the contracts, by the column that they come from."""
_WHOLE_NUMBER = re.compile(r"(-?[0-9]{1,12})(\.0*)?")


class InvalidRowError(Exception):
    """What is wrong with a row, in words for the sender of the file."""


@dataclass(frozen=True, slots=True)
class FileVariant:
    """A variant as its row states it; `quantity` is None where the row has none."""

    line: int
    variant: VariantInput
    quantity: int | None


def has_variant(row: CsvRow) -> bool:
    """Whether the row describes a variant, rather than only an image."""
    return any(row[column] for column in ("Variant Price", "Variant SKU", "Option1 Value"))


def parse_variant(row: CsvRow, first: CsvRow, currency: str) -> FileVariant:
    """The variant of a row; raises `InvalidRowError`. Only the `first` row of a product has the option names."""
    options = _parse_options(row, first)
    price = _parse_cell(row, "Variant Price", lambda text: parse_price(text, currency))
    if price is None:
        raise InvalidRowError("Variant Price is missing")
    compare_at = _parse_cell(row, "Variant Compare At Price", lambda text: parse_price(text, currency))
    grams = _parse_cell(row, "Variant Grams", lambda text: _parse_whole_number(text, MAX_GRAMS))
    quantity = _parse_cell(row, "Variant Inventory Qty", lambda text: _parse_whole_number(text, MAX_STOCK))
    if row.surplus_cells:
        raise InvalidRowError("The row has more cells than the header has columns")
    try:
        variant = VariantInput(
            sku=row["Variant SKU"].removeprefix("'") or derive_sku(row["Handle"], list(options.values())),
            price=Money(amount=price, currency=currency),
            compare_at_price=Money(amount=compare_at, currency=currency) if compare_at else None,
            options=options,
            weight_grams=grams,
        )
    except ValidationError as error:
        raise InvalidRowError(describe_error(error)) from error
    return FileVariant(row.line, variant, quantity)


def describe_error(error: ValidationError) -> str:
    """The first error of a contract model, with the column of the file instead of the field."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    column = COLUMNS.get(str(first["loc"][0]), "") if first["loc"] else ""
    return f"{column}: {first['msg']}" if column else first["msg"]


def _parse_options(row: CsvRow, first: CsvRow) -> dict[str, str]:
    """Shopify writes a product without options as one with the option `Title` and the value `Default Title`."""
    options = {
        first[f"Option{number} Name"] or f"Option {number}": value
        for number in OPTION_NUMBERS
        if (value := row[f"Option{number} Value"])
    }
    return {} if options == {"Title": "Default Title"} else options


def _parse_cell(row: CsvRow, column: str, parse: Callable[[str], T]) -> T | None:
    if not row[column]:
        return None
    try:
        return parse(row[column])
    except ValueError as error:
        raise InvalidRowError(f"{column} {error}") from error


def _parse_whole_number(text: str, maximum: int) -> int:
    """A number from 0. Shopify writes a negative quantity for oversold stock; that counts as 0."""
    match = _WHOLE_NUMBER.fullmatch(text)
    if match is None:
        raise ValueError("is not a whole number")
    if int(match[1]) > maximum:
        raise ValueError(f"is more than {maximum}")
    return max(int(match[1]), 0)
