"""Crash points: the named lines at which a fault run may kill a process, one between any two durable steps.

A crash point does nothing unless `SOUK_CRASH_FOLDER` is set, which the local environment alone accepts. Then a file in
that folder with a point's name is a standing order: the first process to come by removes the file and kills itself on
that line, as `kill -9` would. Which points there are is read from the code (`tests.chaos.failpoint_scenarios`).
"""

import os
import signal
from pathlib import Path

_folder: Path | None = None


def enable(folder: Path | None) -> None:
    """Called once, by the composition root of a process."""
    global _folder  # noqa: PLW0603 - a process has one, and a point must cost nothing where there is none
    _folder = folder


def failpoint(name: str) -> None:
    """Dies here, if somebody has ordered it; `name` is `<place>.<what has just happened>`."""
    if _folder is None:
        return
    try:
        (_folder / name).unlink()
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
