"""A failpoint does nothing until its file arms it."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from infra.foundation import failpoints

PROGRAM = """
import sys
from pathlib import Path
from infra.foundation.failpoints import enable, failpoint
enable(Path(sys.argv[1]))
failpoint("place.reached")
failpoint("place.left")
"""


@pytest.mark.parametrize("enabled", [True, False])
def test_unarmed_failpoint_does_nothing(tmp_path: Path, enabled: bool, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: FBT001 - a parameter of the test
    monkeypatch.setattr(failpoints, "_folder", tmp_path if enabled else None)
    failpoints.failpoint("place.reached")


def test_armed_failpoint_kills_once(tmp_path: Path) -> None:
    (tmp_path / "place.left").touch()
    codes = [subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path)], check=False).returncode for _ in range(2)]
    assert codes == [-signal.SIGKILL, 0]
    assert not list(tmp_path.iterdir())
