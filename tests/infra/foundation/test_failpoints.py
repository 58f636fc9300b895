"""A crash point: nothing, until somebody has ordered it."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from infra.foundation import failpoints as crash

DYING = """
import sys
from pathlib import Path
from infra.foundation.failpoints import arm, crash_point
arm(Path(sys.argv[1]))
crash_point("place.reached")
crash_point("place.left")
"""


@pytest.mark.parametrize("armed", [True, False])
def test_without_an_order_nothing_happens(tmp_path: Path, armed: bool, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: FBT001 - a parameter of the test
    monkeypatch.setattr(crash, "_folder", tmp_path if armed else None)
    crash.failpoint("place.reached")


def test_an_order_is_carried_out_once(tmp_path: Path) -> None:
    (tmp_path / "place.left").touch()
    codes = [subprocess.run([sys.executable, "-c", DYING, str(tmp_path)], check=False).returncode for _ in range(2)]
    assert codes == [-signal.SIGKILL, 0]
    assert not list(tmp_path.iterdir())
