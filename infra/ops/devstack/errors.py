"""The error that commands print without a traceback."""

from collections.abc import Sequence


class StackError(Exception):
    """Says what is wrong and what to do. `details` are lines to print before it, such as the end of a log."""

    def __init__(self, message: str, details: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.details = tuple(details)
