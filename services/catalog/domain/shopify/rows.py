"""The file as rows, and the rows as products; read as a stream, so that a large file needs no more than its bytes."""

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from contracts.catalog import NotCsv

NEEDED = ("Handle", "Title", "Variant Price")
LARGEST_CELL = 1024 * 1024
_CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Row:
    """A row's cells by column, without the blanks around them; `line` is where it begins in the file."""

    line: int
    cells: dict[str, str]
    surplus: int = 0
    """Cells beyond the last column."""

    def __getitem__(self, column: str) -> str:
        return self.cells.get(column, "")


@dataclass(frozen=True, slots=True)
class Group:
    """The rows of one product. `last` is how many rows of the file are done with after it."""

    handle: str
    rows: tuple[Row, ...]
    last: int
    scattered: bool = False
    """Rows of the same handle stand elsewhere in the file, further up."""


def check(content: bytes) -> None:
    """Raises `NotCsv` unless this is text with the columns that make a product file."""
    stream = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig", newline="")
    try:
        header = next(csv.reader(stream), [])
        while stream.read(_CHUNK):
            pass
    except (UnicodeDecodeError, csv.Error) as error:
        raise NotCsv from error
    missing = [column for column in NEEDED if column not in [name.strip() for name in header]]
    if missing:
        raise NotCsv(f"This is not a product CSV: it has no column {', '.join(missing)}")


def rows_of(content: bytes) -> Iterator[Row]:
    """Every row below the header that is not blank."""
    csv.field_size_limit(LARGEST_CELL)
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
            yield Row(line, {}, surplus=1)
        if any(cells):
            named = {name: cell.strip() for name, cell in zip(header, cells, strict=False)}
            yield Row(line, named, surplus=sum(map(bool, cells[len(header) :])))


def groups_of(rows: Iterable[Row]) -> Iterator[Group]:
    """The rows, product by product."""
    seen: set[str] = set()
    gathered: list[Row] = []
    count = 0
    for row in rows:
        if gathered and (row["Handle"] != gathered[0]["Handle"] or not row["Handle"]):
            yield _group(gathered, count, seen)
            gathered = []
        gathered.append(row)
        count += 1
    if gathered:
        yield _group(gathered, count, seen)


def _group(rows: list[Row], count: int, seen: set[str]) -> Group:
    handle = rows[0]["Handle"]
    scattered = handle in seen
    seen.add(handle)
    return Group(handle, tuple(rows), count, scattered)
