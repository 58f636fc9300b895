"""A shop whose processes are not measured for coverage."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

from infra.ops.devstack.stack import Stack
from infra.ops.devstack.stack_settings import Options

MEASURED = "COVERAGE_PROCESS_CONFIG"
"""By this, coverage.py has every child measure itself."""


@asynccontextmanager
async def unmeasured(options: Options) -> AsyncIterator[Stack]:
    """For processes that are killed: they would leave nothing behind, or half a file, and take longer to start."""
    async with AsyncExitStack() as opened:
        with _without(MEASURED):
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
