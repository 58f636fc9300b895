"""A process that is killed while it writes its coverage data does not disturb the report."""

import subprocess
import sys
from pathlib import Path

import pytest
from coverage import CoverageData

from tests.support.damaged_coverage_files import remove_damaged_coverage_files


def measured(folder: Path, name: str, lines: int = 3) -> Path:
    path = folder / f".coverage.{name}"
    data = CoverageData(str(path))
    data.add_lines({str(folder / f"{name}-{number}.py"): range(1, 200) for number in range(lines)})
    data.close()
    return path


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4096])


def zero_pages(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:4096] + bytes(len(content) - 4096))


def overwrite(path: Path) -> None:
    path.write_text("no database")


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [truncate, zero_pages, overwrite, empty])
def test_damaged_files_are_removed_and_the_others_combined(tmp_path: Path, damage: object) -> None:
    assert callable(damage)
    whole, damaged = measured(tmp_path, "whole"), measured(tmp_path, "damaged")
    damage(damaged)
    damaged.with_name(f"{damaged.name}-journal").write_bytes(b"rest")
    assert remove_damaged_coverage_files(tmp_path) == [damaged]
    assert list(tmp_path.glob(".coverage*")) == [whole]
    command = [sys.executable, "-m", "coverage", "combine", "--keep"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "warning" not in (done.stdout + done.stderr).lower()
    combined = CoverageData(str(tmp_path / ".coverage"))
    combined.read()
    assert len(combined.measured_files()) == 3


def test_whole_files_stay(tmp_path: Path) -> None:
    whole = [measured(tmp_path, name) for name in ("a", "b")]
    assert remove_damaged_coverage_files(tmp_path) == []
    assert all(path.exists() for path in whole)
