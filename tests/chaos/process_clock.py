"""A wrong clock for one process: libfaketime shifts the wall clock that the process reads, while it runs.

    clock = ProcessClock(folder / "order-clock")
    StackSettings(env_of={"order": clock.environment()}, ...)
    clock.set_offset(120)    # from now on two minutes ahead

Only the wall clock is shifted, because a wrong clock never makes the monotonic time of a machine jump.
"""

import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

LIBRARY_PATH = Path("vendor", "libfaketime", "src", "libfaketime.so.1")


class FakeClockUnavailable(Exception):  # noqa: N818 - tells what this machine lacks
    """This machine cannot shift the clock of a process."""


@dataclass(frozen=True)
class ProcessClock:
    """The file with the offset, which the process reads with every look at the clock."""

    offset_file: Path

    def environment(self) -> Mapping[str, str]:
        """The environment to start the process with; it starts with the right time unless an offset was set before."""
        if not self.offset_file.exists():
            self.set_offset(0)
        return {
            "LD_PRELOAD": str(find_library()),
            "FAKETIME_TIMESTAMP_FILE": str(self.offset_file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set_offset(self, seconds: float) -> None:
        """Sets the clock ahead by so many seconds, or behind if negative."""
        draft = self.offset_file.with_suffix(".new")
        draft.write_text(f"{seconds:+.3f}s\n")
        draft.replace(self.offset_file)


def find_library() -> Path:
    """The path of the library; raises `FakeClockUnavailable` without it. Importing it would affect this process."""
    found = importlib.util.find_spec("libfaketime") if sys.platform == "linux" else None
    path = Path(found.origin).parent / LIBRARY_PATH if found and found.origin else None
    if path is None or not path.is_file():
        message = "libfaketime is not installed, or not made for this platform"
        raise FakeClockUnavailable(message)
    return path
