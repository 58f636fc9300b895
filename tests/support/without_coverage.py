"""Processes that coverage.py does not measure."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

from infra.ops.devstack.stack import Stack
from infra.ops.devstack.stack_settings import StackSettings

COVERAGE_VARIABLE = "COVERAGE_PROCESS_CONFIG"
"""With this variable, coverage.py measures every child process."""


def unmeasured_environment() -> dict[str, str]:
    """This process's environment, for programs of others, and for code that another test measures: they run faster."""
    return {name: value for name, value in os.environ.items() if name != COVERAGE_VARIABLE}


@asynccontextmanager
async def uninstrumented_stack(options: StackSettings) -> AsyncIterator[Stack]:
    """For processes that are killed: measured ones would leave no data or half a file, and start more slowly."""
    async with AsyncExitStack() as opened:
        with _without(COVERAGE_VARIABLE):
            stack = await opened.enter_async_context(Stack(options).running())
        yield stack


@contextmanager
def _without(name: str) -> Iterator[None]:
    value = os.environ.pop(name, None)
    try:
        yield
    finally:
        if value is not None:
            os.environ[name] = value
