"""A clock that is wrong in one process: libfaketime moves what it reads as the date, and moves it while it runs.

    clock = Clock(folder / "order-clock")
    Options(env_of={"order": clock.environment()}, ...)
    clock.shift(120)    # from now on two minutes ahead

Only the wall clock is moved: no clock of a machine that is set wrong makes its monotonic time jump.
"""

import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

LIBRARY_PATH = Path("vendor", "libfaketime", "src", "libfaketime.so.1")


class FakeClockUnavailable(Exception):  # noqa: N818 - tells what this machine lacks
    """The clock of a process cannot be moved here."""


@dataclass(frozen=True)
class ProcessClock:
    """The file that says how far a process's clock is off; it is read at every look at the clock."""

    offset_file: Path

    def environment(self) -> Mapping[str, str]:
        """What the process is started with; it starts with the right time unless it was shifted before."""
        if not self.offset_file.exists():
            self.set_offset(0)
        return {
            "LD_PRELOAD": str(find_library()),
            "FAKETIME_TIMESTAMP_FILE": str(self.offset_file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set_offset(self, seconds: float) -> None:
        """Ahead of the true time by so many seconds; behind it when negative."""
        draft = self.offset_file.with_suffix(".new")
        draft.write_text(f"{seconds:+.3f}s\n")
        draft.replace(self.offset_file)


def find_library() -> Path:
    """The library itself; raises `NoClock` where there is none. Its package is not imported: it would reach in here."""
    found = importlib.util.find_spec("libfaketime") if sys.platform == "linux" else None
    path = Path(found.origin).parent / LIBRARY_PATH if found and found.origin else None
    if path is None or not path.is_file():
        message = "libfaketime is not installed, or not made for this platform"
        raise FakeClockUnavailable(message)
    return path
