"""Reads a product CSV as rows, and groups the rows by product.

Both are iterators, so that a large file needs no more memory than its bytes.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from contracts.catalog import NotCsv

REQUIRED_COLUMNS = ("Handle", "Title", "Variant Price")
MAX_CELL_CHARACTERS = 1024 * 1024
_CHUNK_CHARACTERS = 1024 * 1024


@dataclass(frozen=True, slots=True)
class CsvRow:
    """A row's cells by column, stripped of blanks; `line` is where the row begins in the file."""

    line: int
    cells: dict[str, str]
    surplus_cells: int = 0
    """Cells that are not empty beyond the last column."""

    def __getitem__(self, column: str) -> str:
        return self.cells.get(column, "")


@dataclass(frozen=True, slots=True)
class ProductRows:
    """The rows of one product. `rows_done` counts the rows of the file up to the last of them."""

    handle: str
    rows: tuple[CsvRow, ...]
    rows_done: int
    is_scattered: bool = False
    """Whether the file has other rows with the same handle further up."""


def check_csv(content: bytes) -> None:
    """Raises `NotCsv` unless the content is UTF-8 text with the required columns."""
    stream = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig", newline="")
    try:
        header = next(csv.reader(stream), [])
        while stream.read(_CHUNK_CHARACTERS):
            pass
    except (UnicodeDecodeError, csv.Error) as error:
        raise NotCsv from error
    columns = [name.strip() for name in header]
    missing = [column for column in REQUIRED_COLUMNS if column not in columns]
    if missing:
        raise NotCsv(f"The file lacks the column {', '.join(missing)}. Send a product CSV in Shopify's format.")


def read_rows(content: bytes) -> Iterator[CsvRow]:
    """Every row below the header that is not blank."""
    csv.field_size_limit(MAX_CELL_CHARACTERS)
    reader = csv.reader(io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig", newline=""))
    header = [name.strip() for name in next(reader)]
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:  # a cell above the size limit; the reader continues behind it
            cells = []
            yield CsvRow(line, {}, surplus_cells=1)
        if any(cells):
            by_column = {name: cell.strip() for name, cell in zip(header, cells, strict=False)}
            yield CsvRow(line, by_column, surplus_cells=sum(map(bool, cells[len(header) :])))


def group_rows(rows: Iterable[CsvRow]) -> Iterator[ProductRows]:
    """The rows of one product after another. A row without a handle is a group of its own."""
    seen_handles: set[str] = set()
    group: list[CsvRow] = []
    count = 0
    for row in rows:
        if group and (row["Handle"] != group[0]["Handle"] or not row["Handle"]):
            yield _close_group(group, count, seen_handles)
            group = []
        group.append(row)
        count += 1
    if group:
        yield _close_group(group, count, seen_handles)


def _close_group(rows: list[CsvRow], rows_done: int, seen_handles: set[str]) -> ProductRows:
    handle = rows[0]["Handle"]
    is_scattered = handle in seen_handles
    seen_handles.add(handle)
    return ProductRows(handle, tuple(rows), rows_done, is_scattered)
