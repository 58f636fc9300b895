"""The rows of an exported file of orders: one for each order."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from contracts.formula_cells import escape_formula
from contracts.money import CURRENCY_EXPONENTS
from services.order.domain.order_numbers import format_order_number

AMOUNTS = ("subtotal", "discount", "shipping", "tax", "total")
COLUMNS = (
    *("number", "id", "status", "created_at", "user_id", "email", "name", "country", "company", "vat_id", "items"),
    *("currency", *AMOUNTS, "tax_included", "coupon", "payment_id"),
)


def header_line() -> bytes:
    """The first line of a file."""
    return _to_line(COLUMNS)


def order_line(row: Mapping[str, Any]) -> bytes:
    """The line of an order. `row` has the columns as the database stores them, with a `serial` for the number."""
    cells: dict[str, Any] = {**row, "number": format_order_number(row["serial"])}
    cells |= {column: format_decimal(row[column], row["currency"]) for column in AMOUNTS}
    return _to_line(_to_text(cells[column]) for column in COLUMNS)


def format_decimal(amount: int, currency: str) -> str:
    """An amount of at least 0 with all digits of its currency and a point, such as `12.50`, which is no formula."""
    digits = CURRENCY_EXPONENTS[currency]
    units, minor = divmod(amount, 10**digits)
    return f"{units}.{minor:0{digits}d}" if digits else str(units)


def _to_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else str(value)


def _to_line(cells: Iterable[str]) -> bytes:
    line = io.StringIO(newline="")
    csv.writer(line, lineterminator="\r\n").writerow([escape_formula(cell) for cell in cells])
    return line.getvalue().encode()


def join_fitting(lines: Sequence[bytes], max_bytes: int) -> tuple[bytes, int]:
    """Joins the first lines that fit, at least one, and returns their number too."""
    size, count = 0, 0
    for line in lines:
        size += len(line)
        if count and size > max_bytes:
            break
        count += 1
    return b"".join(lines[:count]), count
