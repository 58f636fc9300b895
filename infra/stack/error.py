"""What goes wrong with a local stack, told to the person at the terminal."""

from collections.abc import Sequence
from pathlib import Path

TAIL_LINES = 15


class StackError(Exception):
    """What happened and what to do now, in a sentence or two; `lines` are the last of a dead server's log."""

    def __init__(self, message: str, lines: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.lines = tuple(lines)


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
