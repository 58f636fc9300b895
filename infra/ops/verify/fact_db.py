"""The temporary file in which the facts of all stores meet: SQLite, on the disk, with little memory.

It is written once and thrown away, so that nothing of it has to survive a crash. Ids are found by indexes that are
made after the rows are in, which SQLite does by sorting on the disk.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

from infra.database.checks import Check, FactTable, Row, Value, Violation, placeholders

CACHE_KIB = 32 * 1024
MAX_VIOLATIONS_PER_CHECK = 1000
"""Things that one check tells of; where there are more, that is told too."""
UUID_BYTES = 16

_PRAGMAS = (
    "journal_mode = OFF",
    "synchronous = OFF",
    "locking_mode = EXCLUSIVE",
    "temp_store = FILE",
    f"cache_size = -{CACHE_KIB}",
)


class FactDatabase:
    """Tables to be filled, made ready and asked."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        for pragma in _PRAGMAS:
            self._db.execute(f"PRAGMA {pragma}")
        self._db.create_function("lacks", 2, _lacks, deterministic=True)
        self._db.create_aggregate("in_order", 2, _InOrder)  # type: ignore[arg-type]  # its stubs know one argument
        self._tables: dict[str, FactTable] = {}
        self.count = 0

    def close(self) -> None:
        self._db.close()

    def create_table(self, facts: FactTable) -> None:
        """An empty table of these facts, unless it is there."""
        if facts.name not in self._tables:
            self._tables[facts.name] = facts
            self._db.execute(f"CREATE TABLE {facts.name} ({', '.join(facts.columns)})")

    def insert(self, facts: FactTable, rows: Sequence[Row]) -> None:
        self._db.execute("BEGIN")
        self._db.executemany(f"INSERT INTO {facts.name} VALUES ({placeholders(facts.columns)})", rows)  # noqa: S608 - names of ours
        self._db.execute("COMMIT")
        self.count += len(rows)

    def drop_tables(self, *, keep: Sequence[str]) -> None:
        """Empties all tables save those whose rows never change."""
        for name in list(self._tables):
            if name not in keep:
                self._db.execute(f"DROP TABLE {self._tables.pop(name).name}")
        self.count = 0

    def prepare(self, script: str) -> None:
        """The indexes of every table, and then what the laws ask for."""
        for facts in self._tables.values():
            for number, key in enumerate(facts.indexes):
                self._db.execute(f"CREATE INDEX IF NOT EXISTS {facts.name}_{number} ON {facts.name} ({key})")
        self._db.executescript(script)

    def run_check(self, check: Check, values: Mapping[str, Value]) -> Iterator[Violation]:
        """What a check finds, up to one more than is told."""
        found = self._db.execute(check.sql, values)
        names = [column[0] for column in found.description]
        for row in found.fetchmany(MAX_VIOLATIONS_PER_CHECK + 1):
            yield build_violation(check, dict(zip(names, row, strict=True)))

    def fetch_value(self, sql: str) -> Value:
        row = self._db.execute(sql).fetchone()
        found: Value = row[0] if row else None
        return found


@contextmanager
def open_fact_database() -> Iterator[FactDatabase]:
    """In a folder of its own, which is gone afterwards."""
    with TemporaryDirectory(prefix="souk-audit-") as folder:
        found = FactDatabase(Path(folder) / "evidence.sqlite")
        try:
            yield found
        finally:
            found.close()


def build_violation(check: Check, row: Mapping[str, Value]) -> Violation:
    """A row that a check has found."""
    ids = {name: _shown(value) for name, value in row.items() if name != "detail"}
    return Violation(
        check.invariant, check.name, check.title, ids, str(row.get("detail") or ""), check.repair, check.confirm_factor
    )


def _shown(value: Value) -> str:
    if isinstance(value, bytes) and len(value) == UUID_BYTES:
        return str(UUID(bytes=value))
    return "" if value is None else str(value)


class _InOrder:
    """Names, each once, in the order in which they first come; NULL is none."""

    def __init__(self) -> None:
        self._first: dict[str, int] = {}

    def step(self, name: str | None, number: int) -> None:
        if name is not None:
            self._first[name] = min(number, self._first.get(name, number))

    def finalize(self) -> str | None:
        return ",".join(sorted(self._first, key=self._first.__getitem__)) or None


def _lacks(these: str | None, those: str | None) -> str | None:
    """The names of one list that are not in the other; None when it lacks none."""
    known = set((those or "").split(","))
    return ", ".join(name for name in (these or "").split(",") if name and name not in known) or None
