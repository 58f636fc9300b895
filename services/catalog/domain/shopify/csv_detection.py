"""Finds out how a CSV file is written: its encoding, its delimiter and its columns."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from contracts.catalog import NotCsv
from services.catalog.domain.shopify.columns import READ_COLUMNS, known_columns

REQUIRED_COLUMNS = ("Title", "Variant Price")
DELIMITERS = (",", ";", "\t")
_CHUNK_BYTES = 1024 * 1024
_SAMPLE_BYTES = 4096
_BYTE_ORDER_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_NOT_ASCII = re.compile(r"[^\x00-\x7f\ufffd]")


@dataclass(frozen=True)
class CsvFormat:
    """How a file is written. `columns` are the names that the code uses, `header` those in the file."""

    encoding: str
    delimiter: str
    header: tuple[str, ...]
    remark: str = ""
    """What a reader should know about how the file was read."""
    kept_columns: tuple[str, ...] = ()
    """The columns whose cells are kept as they are."""

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The column of each cell, by its older name."""
        return known_columns(self.header)

    @cached_property
    def names(self) -> Mapping[str, str]:
        """The names in the file, by the names that the code uses."""
        return dict(zip(self.columns, self.header, strict=True))

    @cached_property
    def unread_columns(self) -> tuple[str, ...]:
        """The columns whose cells are kept: the shop has no field for them."""
        return tuple(name for name in self.columns if name not in READ_COLUMNS)

    @property
    def has_decimal_comma(self) -> bool:
        """Whether a lone comma in a number stands before decimals, as where files are written with semicolons."""
        return self.delimiter == ";"

    def open(self, content: bytes) -> io.TextIOWrapper:
        """The text of a file in this format. Bytes that are no text become a replacement character."""
        return io.TextIOWrapper(io.BytesIO(content), encoding=self.encoding, errors="replace", newline="")


def possible_formats(content: bytes) -> list[CsvFormat]:
    """How a file may be written: its header, cut by each of the delimiters."""
    encoding, remark = _detect_encoding(content)
    return [
        CsvFormat(encoding, delimiter, _read_header(content, encoding, delimiter), remark) for delimiter in DELIMITERS
    ]


def choose_format(formats: Sequence[CsvFormat]) -> CsvFormat:
    """The format of a file of Shopify's; raises `NotCsv` for a file without the required columns."""
    missing: list[str] = []
    for found in formats:
        missing = [column for column in REQUIRED_COLUMNS if column not in found.columns]
        if not missing:
            return found
        if len(missing) < len(REQUIRED_COLUMNS):
            break
    raise NotCsv(f"The file lacks the column {', '.join(missing)}. Send a product CSV of Shopify or WooCommerce.")


def _read_header(content: bytes, encoding: str, delimiter: str) -> tuple[str, ...]:
    stream = io.TextIOWrapper(io.BytesIO(content), encoding=encoding, errors="replace", newline="")
    try:
        return tuple(name.strip() for name in next(csv.reader(stream, delimiter=delimiter), []))
    except (UnicodeError, csv.Error):
        return ()


def _detect_encoding(content: bytes) -> tuple[str, str]:
    """The encoding, and a remark where it is a guess that the sender should check."""
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if content.startswith(mark):
            return encoding, ""
    if guess := _guess_utf16(content[:_SAMPLE_BYTES]):
        return guess, ""
    try:
        stream = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8")
        while stream.read(_CHUNK_BYTES):
            pass
    except UnicodeDecodeError:
        return _choose_for_broken_utf8(content)
    return "utf-8", ""


def _guess_utf16(sample: bytes) -> str | None:
    """UTF-16 without a mark: every other byte of an English header is 0."""
    half = len(sample) // 2
    if half and sample[1::2].count(0) > half // 2:
        return "utf-16-le"
    return "utf-16-be" if half and sample[0::2].count(0) > half // 2 else None


def _choose_for_broken_utf8(content: bytes) -> tuple[str, str]:
    """UTF-8 where most of its characters are sound, else the code page of Windows in Western Europe."""
    text = content.decode("utf-8", errors="replace")
    if len(_NOT_ASCII.findall(text)) > text.count("\ufffd"):
        return "utf-8", "Some characters of the file are not valid UTF-8. Each was replaced by a question mark sign."
    return "cp1252", "The file is not UTF-8. It was read as Windows-1252; check letters with accents."
