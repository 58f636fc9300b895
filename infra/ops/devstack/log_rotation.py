"""The log of one process: its last lines, and its rotation while the process writes to it."""

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

from infra.ops.devstack.private_files import create_private_file

TAIL_LINES = 15
MAX_LOG_BYTES = 16 * 1024 * 1024


def tail(log: Path, offset: int = 0) -> list[str]:
    """Returns the last lines that were written after `offset` bytes."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(min(offset, size), size - 64_000))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return []
    return [line for line in text.splitlines() if line.strip()][-TAIL_LINES:]


def is_too_long(log: Path) -> bool:
    """Tells whether a log is longer than `MAX_LOG_BYTES`."""
    try:
        return log.stat().st_size > MAX_LOG_BYTES
    except FileNotFoundError:
        return False


def rotate(log: Path) -> bool:
    """Copies a log that is too long to `.log.1` and empties it. Returns whether it did.

    The process keeps writing to the same file. A line that it writes between the copy and the truncation is lost, and
    the copy is dropped when the disk has no room for it.
    """
    if not is_too_long(log):
        return False
    copy = log.with_suffix(".log.1")
    try:
        shutil.copyfile(log, create_private_file(copy))
    except OSError:
        copy.unlink(missing_ok=True)
    os.truncate(log, 0)
    return True


def append_note(log: Path, text: str) -> None:
    """Adds a line of the supervisor to the log of a process."""
    with suppress(OSError), log.open("a") as file:
        file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} souk: {text}\n")
