"""The data files that measured processes leave behind for coverage.py."""

from pathlib import Path

from coverage import CoverageData
from coverage.exceptions import CoverageException

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
    if path.stat().st_size == 0:
        return False
    data = CoverageData(str(path))
    try:
        data.read()
        merged = CoverageData(no_disk=True)
        merged.update(data)  # reads every table, as `coverage combine` does
    except CoverageException:
        return False
    finally:
        data.close()
    return True
