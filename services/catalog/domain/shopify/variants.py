"""A row as a variant."""

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
_WHOLE = re.compile(r"(-?[0-9]{1,12})(\.0*)?")


class InvalidRowError(Exception):
    """What is wrong with a row."""


@dataclass(frozen=True, slots=True)
class FileVariant:
    """A variant as its row says it; `quantity` is None where the row says none."""

    line: int
    variant: VariantInput
    quantity: int | None


def has_variant(row: CsvRow) -> bool:
    return any(row[column] for column in ("Variant Price", "Variant SKU", "Option1 Value"))


def parse_variant(row: CsvRow, first: CsvRow, currency: str) -> FileVariant:
    """Raises `BadRow`. Option names stand in the `first` row of the product only."""
    options = _options(row, first)
    price = _cell(row, "Variant Price", lambda text: parse_price(text, currency))
    if price is None:
        raise InvalidRowError("Variant Price is missing")
    compared = _cell(row, "Variant Compare At Price", lambda text: parse_price(text, currency))
    grams = _cell(row, "Variant Grams", lambda text: _whole(text, MAX_GRAMS))
    quantity = _cell(row, "Variant Inventory Qty", lambda text: _whole(text, MAX_STOCK))
    if row.surplus_cells:
        raise InvalidRowError("has more cells than the header has columns")
    try:
        variant = VariantInput(
            sku=row["Variant SKU"].removeprefix("'") or derive_sku(row["Handle"], list(options.values())),
            price=Money(amount=price, currency=currency),
            compare_at_price=Money(amount=compared, currency=currency) if compared else None,
            options=options,
            weight_grams=grams,
        )
    except ValidationError as error:
        raise InvalidRowError(describe_error(error)) from error
    return FileVariant(row.line, variant, quantity)


def describe_error(error: ValidationError) -> str:
    """What a contract says of a product or variant, in the words of the file."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    column = COLUMNS.get(str(first["loc"][0]), "") if first["loc"] else ""
    return f"{column}: {first['msg']}" if column else first["msg"]


def _options(row: CsvRow, first: CsvRow) -> dict[str, str]:
    """Shopify writes a product without options as one whose `Title` is `Default Title`."""
    found = {
        first[f"Option{number} Name"] or f"Option {number}": value
        for number in OPTION_NUMBERS
        if (value := row[f"Option{number} Value"])
    }
    return {} if found == {"Title": "Default Title"} else found


def _cell(row: CsvRow, column: str, read: Callable[[str], T]) -> T | None:
    if not row[column]:
        return None
    try:
        return read(row[column])
    except ValueError as error:
        raise InvalidRowError(f"{column} {error}") from error


def _whole(text: str, most: int) -> int:
    """Shopify counts below nothing what was sold without being there; here that is nothing."""
    match = _WHOLE.fullmatch(text)
    if match is None:
        raise ValueError("is not a whole number")
    if int(match[1]) > most:
        raise ValueError(f"is more than {most}")
    return max(int(match[1]), 0)
