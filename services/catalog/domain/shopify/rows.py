"""The file as rows, and the rows as products; read as a stream, so that a large file needs no more than its bytes."""

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from contracts.catalog import NotCsv

REQUIRED_COLUMNS = ("Handle", "Title", "Variant Price")
MAX_CELL_CHARACTERS = 1024 * 1024
_CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class CsvRow:
    """A row's cells by column, without the blanks around them; `line` is where it begins in the file."""

    line: int
    cells: dict[str, str]
    surplus_cells: int = 0
    """Cells beyond the last column."""

    def __getitem__(self, column: str) -> str:
        return self.cells.get(column, "")


@dataclass(frozen=True, slots=True)
class ProductRows:
    """The rows of one product. `last` is how many rows of the file are done with after it."""

    handle: str
    rows: tuple[CsvRow, ...]
    rows_done: int
    is_scattered: bool = False
    """Rows of the same handle stand elsewhere in the file, further up."""


def check_csv(content: bytes) -> None:
    """Raises `NotCsv` unless this is text with the columns that make a product file."""
    stream = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig", newline="")
    try:
        header = next(csv.reader(stream), [])
        while stream.read(_CHUNK):
            pass
    except (UnicodeDecodeError, csv.Error) as error:
        raise NotCsv from error
    missing = [column for column in REQUIRED_COLUMNS if column not in [name.strip() for name in header]]
    if missing:
        raise NotCsv(f"This is not a product CSV: it has no column {', '.join(missing)}")


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
        except csv.Error:  # a cell beyond all measure; the reader goes on behind it
            cells = []
            yield CsvRow(line, {}, surplus_cells=1)
        if any(cells):
            named = {name: cell.strip() for name, cell in zip(header, cells, strict=False)}
            yield CsvRow(line, named, surplus_cells=sum(map(bool, cells[len(header) :])))


def group_rows(rows: Iterable[CsvRow]) -> Iterator[ProductRows]:
    """The rows, product by product."""
    seen: set[str] = set()
    gathered: list[CsvRow] = []
    count = 0
    for row in rows:
        if gathered and (row["Handle"] != gathered[0]["Handle"] or not row["Handle"]):
            yield _group(gathered, count, seen)
            gathered = []
        gathered.append(row)
        count += 1
    if gathered:
        yield _group(gathered, count, seen)


def _group(rows: list[CsvRow], count: int, seen: set[str]) -> ProductRows:
    handle = rows[0]["Handle"]
    scattered = handle in seen
    seen.add(handle)
    return ProductRows(handle, tuple(rows), count, scattered)
