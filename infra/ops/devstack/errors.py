"""What goes wrong with a local stack, told to the person at the terminal."""

from collections.abc import Sequence


class StackError(Exception):
    """What happened and what to do now, in a sentence or two; `lines` are the last of a dead server's log."""

    def __init__(self, message: str, lines: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.lines = tuple(lines)
