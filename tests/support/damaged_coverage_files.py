"""The data files that measured processes leave behind for coverage.py."""

import sqlite3
from contextlib import closing
from pathlib import Path

PATTERN = ".coverage.*"


def remove_damaged_coverage_files(folder: Path) -> list[Path]:
    """Removes the files of processes that were killed while they wrote them, and returns what it removed.

    coverage.py would warn about each and ignore it. What such a process measured is lost; other processes run the same
    code.
    """
    removed = []
    for path in sorted(folder.glob(PATTERN)):
        if path.name.endswith("-journal"):
            continue
        if not _is_readable(path):
            path.unlink(missing_ok=True)
            removed.append(path)
        path.with_name(f"{path.name}-journal").unlink(missing_ok=True)
    return removed


def _is_readable(path: Path) -> bool:
    """Whether SQLite finds the file whole, with coverage.py's tables in it."""
    try:
        with closing(sqlite3.connect(path)) as database:
            (result,) = database.execute("PRAGMA integrity_check").fetchone()
            database.execute("SELECT version FROM coverage_schema").fetchone()
    except sqlite3.DatabaseError:
        return False
    return bool(result == "ok")
