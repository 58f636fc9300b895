"""The entry point of the `souk` command.

This module imports nothing but the standard library, so that Ctrl-C prints no traceback while the command is loading.
"""

import os
import sys

INTERRUPTED = 130
"""The exit code that shells use for a command that Ctrl-C has ended."""


def main() -> None:
    """Runs the subcommand of the command line. Prints a `StackError` without a traceback and exits with 1."""
    try:
        _run()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    finally:
        _discard_output_of_closed_pipe()


def _run() -> None:
    from infra.ops.cli.commands import app  # noqa: PLC0415 - loaded inside the handler of Ctrl-C
    from infra.ops.devstack.errors import StackError  # noqa: PLC0415 - as above

    try:
        app()
    except StackError as error:
        from rich.console import Console  # noqa: PLC0415 - only an error needs it

        console = Console(stderr=True, highlight=False)
        for line in error.details:
            console.print(f"  {line}", style="dim", markup=False, soft_wrap=True)
        console.print(error.message, style="bold red", markup=False, soft_wrap=True)
        sys.exit(1)


def _discard_output_of_closed_pipe() -> None:
    """Keeps Python silent at its end when the reader of a pipe (`souk logs | head`) has closed it."""
    if sys.__stdout__ is None:
        return
    try:
        sys.__stdout__.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno())


if __name__ == "__main__":
    main()
