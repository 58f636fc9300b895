"""Reads a CSV with the units on hand of SKUs, and plans the stock after it."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import ValidationError

from contracts.catalog import (
    MAX_INVENTORY_LINES,
    MAX_STOCK,
    AdjustStock,
    NotCsv,
    ProductImportError,
    StockReserved,
)
from contracts.failure import PayloadTooLarge
from services.catalog.domain.number_parser import parse_number
from services.catalog.domain.shopify.csv_detection import CsvFormat, possible_formats
from services.catalog.domain.shopify.notices import Notices
from services.catalog.domain.shopify.variant_reader import describe_error
from services.catalog.domain.stock import StockRecord, adjust_on_hand

REQUIRED_COLUMNS = ("sku", "quantity")
DEFAULT_REASON = "inventory import"


@dataclass(frozen=True, slots=True)
class InventoryLine:
    """A line of the file: the adjustment that it states, and its cells for the report."""

    number: int
    cells: Mapping[str, str]
    adjustment: AdjustStock


@dataclass(frozen=True, slots=True)
class InventoryFile:
    """The lines of a file by SKU, and those that cannot be read."""

    line_count: int
    lines: Mapping[str, InventoryLine]
    errors: Sequence[ProductImportError]


@dataclass(frozen=True, slots=True)
class InventoryPlan:
    """The stock that changes, by SKU, the SKUs that have their units already, and the lines that cannot be applied."""

    changes: dict[str, StockRecord] = field(default_factory=dict)
    unchanged: list[str] = field(default_factory=list)
    errors: list[ProductImportError] = field(default_factory=list)


def read_inventory(content: bytes) -> InventoryFile:
    """The lines of a file. Raises `NotCsv` without the required columns, and `PayloadTooLarge` for too many lines."""
    csv_format = _choose_format(content)
    notices = Notices(handle="")
    lines: dict[str, InventoryLine] = {}
    count = 0
    for number, cells in _read_lines(content, csv_format):
        count += 1
        if count > MAX_INVENTORY_LINES:
            raise PayloadTooLarge(f"An inventory file has at most {MAX_INVENTORY_LINES} lines. Send it in parts.")
        quantity = _parse_quantity(cells["quantity"], has_decimal_comma=csv_format.has_decimal_comma)
        adjustment = _parse_line(number, cells, quantity, notices)
        if adjustment is not None and adjustment.sku in lines:
            detail = f"Line {lines[adjustment.sku].number} has this SKU already."
            notices.add_error(number, "sku", adjustment.sku, detail)
        elif adjustment is not None:
            lines[adjustment.sku] = InventoryLine(number, cells, adjustment)
    return InventoryFile(count, lines, notices.errors)


def plan_inventory(file: InventoryFile, stock: Mapping[str, StockRecord]) -> InventoryPlan:
    """What the file changes of the stock; a SKU that no product has is not in `stock`."""
    plan, notices = InventoryPlan(), Notices(handle="")
    for sku, line in file.lines.items():
        if sku not in stock:
            notices.add_error(line.number, "sku", sku, "No product has this SKU.")
            continue
        try:
            after = adjust_on_hand(stock[sku], line.adjustment)
        except StockReserved as refused:
            notices.add_error(line.number, "quantity", line.cells["quantity"], refused.errors[0].detail)
            continue
        if after == stock[sku]:
            plan.unchanged.append(sku)
        else:
            plan.changes[sku] = after
    plan.errors.extend(sorted([*file.errors, *notices.errors], key=lambda error: error.line))
    return plan


def _choose_format(content: bytes) -> CsvFormat:
    missing: list[str] = []
    for found in possible_formats(content):
        missing = [column for column in REQUIRED_COLUMNS if column not in _columns(found)]
        if not missing:
            return found
        if len(missing) < len(REQUIRED_COLUMNS):
            break
    raise NotCsv(f"The file lacks the column {', '.join(missing)}. Send a CSV with the columns sku and quantity.")


def _columns(csv_format: CsvFormat) -> list[str]:
    return [name.lower() for name in csv_format.header]


def _read_lines(content: bytes, csv_format: CsvFormat) -> Iterator[tuple[int, dict[str, str]]]:
    """The cells of each line below the header that is not blank, with its number in the file."""
    columns = _columns(csv_format)
    reader = csv.reader(csv_format.open(content), delimiter=csv_format.delimiter)
    next(reader)
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:  # a cell above the size limit; the reader continues behind it
            cells = []
            yield number, dict.fromkeys(columns, "")
        if any(map(str.strip, cells)):
            yield (
                number,
                dict.fromkeys(columns, "") | {name: cell.strip() for name, cell in zip(columns, cells, strict=False)},
            )


def _parse_line(number: int, cells: Mapping[str, str], quantity: int | None, notices: Notices) -> AdjustStock | None:
    if quantity is None:
        detail = f"The quantity is not a whole number from 0 to {MAX_STOCK}."
        notices.add_error(number, "quantity", cells["quantity"], detail)
        return None
    try:
        return AdjustStock(sku=cells["sku"], set=quantity, reason=cells.get("reason") or DEFAULT_REASON)
    except ValidationError as error:
        column = str(error.errors(include_url=False, include_input=False)[0]["loc"][0])
        notices.add_error(number, column, cells.get(column, ""), describe_error(error))
        return None


def _parse_quantity(text: str, *, has_decimal_comma: bool) -> int | None:
    try:
        value = parse_number(text, has_decimal_comma=has_decimal_comma).value
    except ValueError:
        return None
    return int(value) if value == value.to_integral_value() and 0 <= value <= MAX_STOCK else None
