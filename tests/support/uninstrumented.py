"""A shop whose processes are not measured for coverage."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

from infra.ops.devstack.stack import Stack
from infra.ops.devstack.stack_settings import Options

COVERAGE_VARIABLE = "COVERAGE_PROCESS_CONFIG"
"""By this, coverage.py has every child measure itself."""


@asynccontextmanager
async def uninstrumented_stack(options: Options) -> AsyncIterator[Stack]:
    """For processes that are killed: they would leave nothing behind, or half a file, and take longer to start."""
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
