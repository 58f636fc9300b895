"""Reads a product CSV as rows, and groups the rows by product.

Both are iterators, so that a large file needs no more memory than its bytes. Only the rows of a product that do not
stand together are kept until the last of them has come.
"""

import csv
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from contracts.formula_cells import unescape_formula
from services.catalog.domain.shopify.csv_detection import CsvFormat
from services.catalog.domain.slugs import slugify

MAX_CELL_CHARACTERS = 1024 * 1024
MAX_HANDLE_LENGTH = 255
_DIGEST_LENGTH = 10
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")


@dataclass(frozen=True, slots=True)
class CsvRow:
    """A row's cells by column, stripped of blanks; `line` is where the row begins in the file."""

    line: int
    cells: dict[str, str]
    format: CsvFormat
    surplus_cells: int = 0
    """Cells that are not empty beyond the last column."""

    def __getitem__(self, column: str) -> str:
        return self.cells.get(column, "")

    def has_column(self, column: str) -> bool:
        """Whether the file has the column: a missing one leaves a value as it is, an empty cell clears it."""
        return column in self.format.names

    def name_of(self, column: str) -> str:
        """The name of a column in the file."""
        return self.format.names.get(column, column)


@dataclass(frozen=True, slots=True)
class ProductRows:
    """The rows of one product. `rows_done` counts the rows of the file up to the last of them."""

    handle: str
    rows: tuple[CsvRow, ...]
    rows_done: int
    is_scattered: bool = False
    """Whether rows of other products stand between them."""

    @property
    def stated_handle(self) -> str:
        """The handle in the file, which may be empty."""
        return self.rows[0]["Handle"]


def read_rows(content: bytes, csv_format: CsvFormat) -> Iterator[CsvRow]:
    """Every row below the header that is not blank."""
    csv.field_size_limit(MAX_CELL_CHARACTERS)
    columns = csv_format.columns
    reader = csv.reader(csv_format.open(content), delimiter=csv_format.delimiter)
    next(reader)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:  # a cell above the size limit; the reader continues behind it
            cells = []
            yield CsvRow(line, {}, csv_format, surplus_cells=1)
        if any(map(str.strip, cells)):
            by_column = {name: _clean(cell) for name, cell in zip(columns, cells, strict=False)}
            surplus = sum(1 for cell in cells[len(columns) :] if cell.strip())
            yield CsvRow(line, by_column, csv_format, surplus)


def count_scattered(rows: Iterable[CsvRow]) -> Mapping[str, int]:
    """The handles whose rows do not stand together, with the number of places where they do."""
    places: Counter[str] = Counter()
    last = ""
    for row in rows:
        handle = stored_handle(row["Handle"])
        if handle and handle != last:
            places[handle] += 1
        last = handle
    return {handle: count for handle, count in places.items() if count > 1}


def group_rows(rows: Iterable[CsvRow], scattered: Mapping[str, int]) -> Iterator[ProductRows]:
    """The rows of one product after another. A product whose rows are scattered comes with the last of them."""
    waiting: dict[str, list[CsvRow]] = {}
    left = dict(scattered)
    group: list[CsvRow] = []
    current, count = "", 0

    def close() -> Iterator[ProductRows]:
        together = waiting.pop(current, []) + group
        if left.get(current, 1) > 1:
            left[current] -= 1
            waiting[current] = together
        elif together:
            yield ProductRows(current, tuple(together), count, is_scattered=current in scattered)

    for handle, row in _with_handles(rows):
        if group and (handle != current or not handle):
            yield from close()
            group = []
        current = handle
        group.append(row)
        count += 1
    yield from close()


def _with_handles(rows: Iterable[CsvRow]) -> Iterator[tuple[str, CsvRow]]:
    """Each row with the handle of its product.

    A product without a handle gets one from its title, the same in each import. The rows below it that have neither
    belong to it. Other rows without a handle name no product.
    """
    titles: Counter[str] = Counter()
    made = ""
    for row in rows:
        if row["Handle"]:
            made = ""
            yield stored_handle(row["Handle"]), row
            continue
        if title := row["Title"]:
            titles[title] += 1
            made = _make_handle(title, titles[title])
        yield made, row


def stored_handle(handle: str) -> str:
    """The handle as it is stored: itself, or a shorter one that is different for each different handle."""
    if len(handle) <= MAX_HANDLE_LENGTH and not _CONTROL.search(handle):
        return handle
    readable = _CONTROL.sub(" ", handle)[: MAX_HANDLE_LENGTH - _DIGEST_LENGTH - 1]
    return f"{readable}-{_digest(handle)}"


def _make_handle(title: str, occurrence: int) -> str:
    """A handle with a digest, which no other file gives to another product by chance."""
    readable = slugify(title, "product")
    return f"{readable}-{_digest(title if occurrence == 1 else f'{title} {occurrence}')}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_LENGTH]


def _clean(cell: str) -> str:
    text = cell.strip().replace("\0", "")
    return unescape_formula(text) if text[:1] == "'" else text
