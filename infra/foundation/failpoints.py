"""Failpoints: named lines at which a fault test can kill the process, one between any two durable steps.

A failpoint does nothing unless `SOUK_CRASH_FOLDER` is set, which only the local environment accepts. A file in that
folder with the name of a failpoint arms it: the first process that reaches the failpoint removes the file and kills
itself on that line, as `kill -9` would. The list of failpoints is read from the code
(`tests.chaos.failpoint_scenarios`).
"""

import os
import signal
from pathlib import Path

_folder: Path | None = None


def enable(folder: Path | None) -> None:
    """Sets the folder that arms failpoints, or disables them with None. A process calls this once, at its start."""
    global _folder  # noqa: PLW0603 - one folder a process; a disabled failpoint must cost nothing
    _folder = folder


def failpoint(name: str) -> None:
    """Kills the process here if the failpoint is armed. `name` is `<component>.<what has just happened>`."""
    if _folder is None:
        return
    try:
        (_folder / name).unlink()
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
