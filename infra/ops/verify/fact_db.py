"""The fact database: one temporary SQLite file in which the facts of all stores meet, so that memory stays small.

It is written once and thrown away, so nothing has to survive a crash. The indexes are built after the rows are in,
which SQLite does by sorting on disk.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

from infra.database.checks import Check, FactTable, Row, Value, Violation, placeholders

CACHE_KIB = 32 * 1024
MAX_VIOLATIONS_PER_CHECK = 1000
"""A check that finds more is reported as truncated."""
UUID_BYTES = 16

ProgressCallback = Callable[[str, int], None]
"""Called with what is being read and how many rows were read since the last call."""

_PRAGMAS = (
    "journal_mode = OFF",
    "synchronous = OFF",
    "locking_mode = EXCLUSIVE",
    "temp_store = FILE",
    f"cache_size = -{CACHE_KIB}",
)


class FactDatabase:
    """Fact tables to fill, index and query."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        for pragma in _PRAGMAS:
            self._db.execute(f"PRAGMA {pragma}")
        self._db.create_function("lacks", 2, _lacks, deterministic=True)
        self._db.create_aggregate("in_order", 2, _InOrder)  # type: ignore[arg-type]  # its stubs know one argument
        self._tables: dict[str, FactTable] = {}
        self.count = 0

    def close(self) -> None:
        """Closes the file."""
        self._db.close()

    def create_table(self, table: FactTable) -> None:
        """Creates the table if it does not exist."""
        if table.name not in self._tables:
            self._tables[table.name] = table
            self._db.execute(f"CREATE TABLE {table.name} ({', '.join(table.columns)})")

    def insert(self, table: FactTable, rows: Sequence[Row]) -> None:
        """Adds rows to a table."""
        self._db.execute("BEGIN")
        self._db.executemany(f"INSERT INTO {table.name} VALUES ({placeholders(table.columns)})", rows)  # noqa: S608 - names of ours
        self._db.execute("COMMIT")
        self.count += len(rows)

    def drop_tables(self, *, keep: Sequence[str]) -> None:
        """Drops all tables except those whose rows never change."""
        for name in list(self._tables):
            if name not in keep:
                self._db.execute(f"DROP TABLE {self._tables.pop(name).name}")
        self.count = 0

    def prepare(self, script: str) -> None:
        """Builds the indexes of every table, then runs the script that the checks need."""
        for table in self._tables.values():
            for number, key in enumerate(table.indexes):
                self._db.execute(f"CREATE INDEX IF NOT EXISTS {table.name}_{number} ON {table.name} ({key})")
        self._db.executescript(script)

    def run_check(self, check: Check, values: Mapping[str, Value]) -> Iterator[Violation]:
        """Runs a check; yields at most one violation more than is reported."""
        cursor = self._db.execute(check.sql, values)
        names = [column[0] for column in cursor.description]
        for row in cursor.fetchmany(MAX_VIOLATIONS_PER_CHECK + 1):
            yield build_violation(check, dict(zip(names, row, strict=True)))


@contextmanager
def open_fact_database() -> Iterator[FactDatabase]:
    """A fact database in a temporary folder, which is deleted afterwards."""
    with TemporaryDirectory(prefix="souk-verify-") as folder:
        facts_db = FactDatabase(Path(folder) / "facts.sqlite")
        try:
            yield facts_db
        finally:
            facts_db.close()


def build_violation(check: Check, row: Mapping[str, Value]) -> Violation:
    """The violation that a row of a check reports."""
    ids = {name: _to_text(value) for name, value in row.items() if name != "detail"}
    return Violation(
        check.invariant, check.name, check.title, ids, str(row.get("detail") or ""), check.repair, check.confirm_factor
    )


def _to_text(value: Value) -> str:
    if isinstance(value, bytes) and len(value) == UUID_BYTES:
        return str(UUID(bytes=value))
    return "" if value is None else str(value)


class _InOrder:
    """SQL aggregate: the distinct names in the order of their first number; NULL names are skipped."""

    def __init__(self) -> None:
        self._first: dict[str, int] = {}

    def step(self, name: str | None, number: int) -> None:
        if name is not None:
            self._first[name] = min(number, self._first.get(name, number))

    def finalize(self) -> str | None:
        return ",".join(sorted(self._first, key=self._first.__getitem__)) or None


def _lacks(these: str | None, those: str | None) -> str | None:
    """SQL function: the names of one comma list that the other lacks; None when it lacks none."""
    known = set((those or "").split(","))
    return ", ".join(name for name in (these or "").split(",") if name and name not in known) or None
