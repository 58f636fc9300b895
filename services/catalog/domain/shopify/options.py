"""The options of variants: every variant of a product has the same option names, and no two the same values."""

from collections.abc import Mapping, Sequence

from services.catalog.domain.shopify.cells import cut_line, parse_line
from services.catalog.domain.shopify.notices import Notices
from services.catalog.domain.shopify.row_reader import CsvRow

OPTION_NUMBERS = (1, 2, 3)
MAX_NAME_LENGTH = 64
MAX_VALUE_LENGTH = 255
MISSING_VALUE = "-"
MADE_NAME = "Variant"
"""The option of variants that have none."""
NO_OPTIONS = {"Title": "Default Title"}
"""How Shopify writes a product without options."""
_SUFFIX_ROOM = 8


def parse_names(rows: Sequence[CsvRow], notices: Notices) -> dict[int, str]:
    """The name of each option that a row has a value for. Usually only the first row of a product has the names."""
    names: dict[int, str] = {}
    for number in OPTION_NUMBERS:
        named = next((row for row in rows if row[f"Option{number} Name"]), None)
        name = parse_line(named, f"Option{number} Name", MAX_NAME_LENGTH, notices) if named else ""
        if named and name in names.values():
            notices.warn(named, f"Option{number} Name", f"Another option has this name; this one is {name} {number}.")
            name = f"{cut_line(name, MAX_NAME_LENGTH - _SUFFIX_ROOM)} {number}"
        if any(row[f"Option{number} Value"] for row in rows):
            names[number] = name or f"Option {number}"
    return names


def parse_options(row: CsvRow, names: Mapping[int, str], notices: Notices) -> dict[str, str]:
    """The options that a row has a value for."""
    options = {
        name: parse_line(row, f"Option{number} Value", MAX_VALUE_LENGTH, notices)
        for number, name in names.items()
        if row[f"Option{number} Value"]
    }
    return {} if options == NO_OPTIONS else options


def tell_apart(rows: Sequence[CsvRow], found: Sequence[dict[str, str]], notices: Notices) -> list[dict[str, str]]:
    """The options of all variants, completed and made different where they are not."""
    names = list(dict.fromkeys(name for options in found for name in options))
    if len(found) > 1 and not names:
        return _number(rows, notices)
    distinct: list[dict[str, str]] = []
    taken: set[tuple[str, ...]] = set()
    for row, options in zip(rows, found, strict=True):
        complete = {name: options.get(name, MISSING_VALUE) for name in names}
        if missing := [name for name in names if name not in options]:
            notices.warn(row, "Option1 Value", f'This variant has no {", ".join(missing)}; "{MISSING_VALUE}" is shown.')
        if tuple(complete.values()) in taken:
            last = names[-1]
            complete[last] = _next_value(complete, taken)
            notices.warn(
                row,
                "Option1 Value",
                f"Another variant of this product has the same options; the {last} of this one is {complete[last]}.",
            )
        taken.add(tuple(complete.values()))
        distinct.append(complete)
    return distinct


def _number(rows: Sequence[CsvRow], notices: Notices) -> list[dict[str, str]]:
    for row in rows[1:]:
        notices.warn(row, "Option1 Value", "The variants of this product have no options; they are numbered here.")
    return [{MADE_NAME: str(number)} for number in range(1, len(rows) + 1)]


def _next_value(options: Mapping[str, str], taken: set[tuple[str, ...]]) -> str:
    *others, last = options.values()
    base = cut_line(last, MAX_VALUE_LENGTH - _SUFFIX_ROOM)
    number = 2
    while (*others, f"{base} ({number})") in taken:
        number += 1
    return f"{base} ({number})"
