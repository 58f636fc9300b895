"""The log of one process: its last lines, and its size kept within bounds while the process writes to it."""

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

TAIL_LINES = 15
LONGEST = 16 * 1024 * 1024


def tail(log: Path, offset: int = 0) -> list[str]:
    """The last lines of a log, of what was written after `offset` bytes."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(min(offset, size), size - 64_000))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return []
    return [line for line in text.splitlines() if line.strip()][-TAIL_LINES:]


def shorten(log: Path) -> bool:
    """Copies a long log aside, over the older copy, and empties it; says whether it did.

    The process goes on writing to the same file, at its end: it need not know. A line that it writes in the moment
    between is lost, and so is the copy when the disk has no room for it.
    """
    try:
        if log.stat().st_size <= LONGEST:
            return False
    except FileNotFoundError:
        return False
    copy = log.with_suffix(".log.1")
    try:
        shutil.copyfile(log, copy)
    except OSError:
        copy.unlink(missing_ok=True)
    os.truncate(log, 0)
    return True


def note(log: Path, text: str) -> None:
    """A word of the stack's own in the log of the process that it is about."""
    with suppress(OSError), log.open("a") as file:
        file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} souk: {text}\n")
