"""Reads the rows of a product as its variants."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import ValidationError

from contracts import text_patterns
from contracts.catalog import MAX_VARIANTS, VariantInput
from contracts.money import Money
from services.catalog.domain.number_parser import parse_price
from services.catalog.domain.shopify.cells import (
    parse_amount,
    parse_backorder,
    parse_barcode,
    parse_flag,
    parse_grams,
    parse_optional_price,
    parse_quantity,
    parse_tracking,
)
from services.catalog.domain.shopify.derived_skus import derive_sku
from services.catalog.domain.shopify.notices import Notices
from services.catalog.domain.shopify.options import OPTION_NUMBERS, parse_names, parse_options, tell_apart
from services.catalog.domain.shopify.row_reader import CsvRow
from services.catalog.domain.sku_format import find_sku_problem

_VARIANT_COLUMNS = ("Variant Price", "Variant SKU", "Variant Barcode", *(f"Option{n} Value" for n in OPTION_NUMBERS))


@dataclass(frozen=True, slots=True)
class FileVariant:
    """A variant as its row states it.

    `quantity` is None where the row has none. `option_values` are those of the row, which SKUs are made from.
    """

    row: CsvRow
    variant: VariantInput
    quantity: int | None
    option_values: tuple[str, ...]
    made_skus: int = 0
    """How many SKUs were made for it, because others have the earlier ones."""
    other_cells: Mapping[str, str] = field(default_factory=dict)
    """Its cells of columns that the shop has no field for."""
    is_tracked: bool | None = None
    backorder: bool | None = None
    """These two are None where the file has no column for them."""


def parse_variants(rows: Sequence[CsvRow], handle: str, currency: str, notices: Notices) -> list[FileVariant]:
    """The variants of a product's rows. A row without a price is refused; a row that is only an image is none."""
    names = parse_names(rows, notices)
    priced = [
        (row, price) for row in _variant_rows(rows) if (price := _parse_price(row, currency, notices)) is not None
    ]
    for row, _ in priced[MAX_VARIANTS:]:
        notices.refuse(row, "Variant Price", f"A product has at most {MAX_VARIANTS} variants")
    del priced[MAX_VARIANTS:]
    sold = [row for row, _ in priced]
    stated = [parse_options(row, names, notices) for row in sold]
    options = tell_apart(sold, stated, notices)
    skus = _choose_skus(sold, handle, stated, notices)
    variants = []
    for index, (row, price) in enumerate(priced):
        compare_at = parse_optional_price(row, "Variant Compare At Price", currency, notices)
        cost = parse_amount(row, "Cost per item", currency, notices)
        try:
            variant = VariantInput(
                sku=skus[index],
                price=Money(amount=price, currency=currency),
                compare_at_price=None if compare_at is None else Money(amount=compare_at, currency=currency),
                options=options[index],
                weight_grams=parse_grams(row, notices),
                barcode=parse_barcode(row, notices),
                cost=None if cost is None else Money(amount=cost, currency=currency),
                requires_shipping=parse_flag(row, "Variant Requires Shipping", notices),
            )
        except ValidationError as error:
            notices.refuse(row, "", describe_error(error))
            continue
        variants.append(
            FileVariant(
                row,
                variant,
                parse_quantity(row, notices),
                tuple(stated[index].values()),
                is_tracked=parse_tracking(row),
                backorder=parse_backorder(row, notices),
            )
        )
    return variants


def describe_error(error: ValidationError) -> str:
    """The first error of a contract model."""
    first = error.errors(include_url=False, include_input=False)[0]
    place, detail = "/".join(map(str, first["loc"])), text_patterns.describe_error(first)
    return f"{place}: {detail}" if place else detail


def _variant_rows(rows: Sequence[CsvRow]) -> list[CsvRow]:
    """The rows that are variants. In a product without any, the first row is one that lacks its price."""
    found = [row for row in rows if row.surplus_cells or any(row[column] for column in _VARIANT_COLUMNS)]
    return found or [rows[0]]


def _parse_price(row: CsvRow, currency: str, notices: Notices) -> int | None:
    column = "Variant Price"
    if row.surplus_cells:
        notices.refuse(row, "", "The row has more cells than the header has columns")
        return None
    if not row[column]:
        notices.refuse(row, column, f"{row.name_of(column)} is missing")
        return None
    try:
        price = parse_price(row[column], currency, has_decimal_comma=row.format.has_decimal_comma)
    except ValueError as error:
        notices.refuse(row, column, f"{row.name_of(column)} {error}")
        return None
    if price.remark:
        notices.warn(row, column, price.remark)
    return price.amount


def _choose_skus(
    rows: Sequence[CsvRow], handle: str, options: Sequence[Mapping[str, str]], notices: Notices
) -> list[str]:
    """A SKU for each variant. The first that states a SKU has it; another one gets a SKU that is made."""
    chosen: dict[int, str] = {}
    problems: dict[int, str] = {}
    for index, row in enumerate(rows):
        sku = row["Variant SKU"].removeprefix("'")
        if sku in chosen.values():
            problems[index] = "Another variant of this product has this SKU"
        elif sku and (problem := find_sku_problem(sku)):
            problems[index] = problem
        elif sku:
            chosen[index] = sku
    for index, row in enumerate(rows):
        if index in chosen:
            continue
        attempt = 0
        values = list(options[index].values())
        while (sku := derive_sku(handle, values, attempt)) in chosen.values():
            attempt += 1
        chosen[index] = sku
        if index in problems:
            notices.warn(row, "Variant SKU", f"{problems[index]}; this one has {sku}.")
    return [chosen[index] for index in range(len(rows))]
