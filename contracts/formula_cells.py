"""Cells that a spreadsheet would run as a formula have an apostrophe before them in the CSV files of the shop."""

import re

_FORMULA = re.compile(r"'*[=+\-@\t\r]")
"""The beginning of a cell that is escaped. Apostrophes before a formula count, so that reading takes only one off."""
_ESCAPED = re.compile(r"''*[=+\-@\t\r]")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")


def escape_formula(cell: str) -> str:
    """The cell as it is written. Numbers stay as they are."""
    return f"'{cell}" if _FORMULA.match(cell) and not _NUMBER.fullmatch(cell) else cell


def unescape_formula(cell: str) -> str:
    """The cell as it was before `escape_formula`."""
    return cell[1:] if _ESCAPED.match(cell) else cell
