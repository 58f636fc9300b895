"""What docs/security.md calls shown is shown by a test that is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMED = sorted(set(re.findall(r"`([\w/]+\.py)(?:::(test_\w+))?`", (ROOT / "docs/security.md").read_text())))


def test_the_page_names_tests() -> None:
    assert len(NAMED) > 80


@pytest.mark.parametrize(("path", "function"), NAMED)
def test_it_is_there(path: str, function: str) -> None:
    file = ROOT / path if path.startswith("tests/") else ROOT / "tests" / path
    assert file.is_file()
    assert not function or f"def {function}(" in file.read_text()
