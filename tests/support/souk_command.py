"""Runs a `souk` command inside the test's process, which takes a tenth of the time of a process of its own."""

import asyncio
import io
import os
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from threading import Lock
from unittest.mock import patch

from infra.ops.cli.app import main


def run_in_process(*words: str, variables: Mapping[str, str]) -> tuple[int, str]:
    """Returns the exit code and the output. The command sees no input, and no setting of Souk but `variables`.

    It is for commands that end by themselves, in tests that are not coroutines, since it runs its own event loop.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SOUK_")}
    output, code = io.StringIO(), 0
    with (
        patch.dict(os.environ, {**inherited, **variables}, clear=True),
        patch.object(sys, "argv", ["souk", *words]),
        patch.object(sys, "stdin", io.StringIO()),
        redirect_stdout(output),
        redirect_stderr(output),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(bool(end.code))
    return code, output.getvalue()


_one_at_a_time = Lock()
"""Commands share the process's output and environment."""


async def run_souk(*words: str, **variables: str) -> tuple[int, str]:
    """Returns the exit code and the output, as `run_in_process` does, which runs in a thread."""

    def run() -> tuple[int, str]:
        with _one_at_a_time:
            return run_in_process(*words, variables={"COLUMNS": "120", **variables})

    return await asyncio.to_thread(run)
