"""Waits for a condition, without a guess how long it takes."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def eventually(check: Callable[[], T | Awaitable[T]], *, timeout_seconds: float = 15.0) -> T:
    """Repeats `check` until it returns a truthy value and raises no AssertionError; returns that value."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            found = check()
            result: T = await found if inspect.isawaitable(found) else found
            if result:
                return result
            error: AssertionError | None = None
        except AssertionError as failed:
            error = failed
        if time.monotonic() > deadline:
            raise error or AssertionError(f"not true within {timeout_seconds} s: {_source(check)}")
        await asyncio.sleep(0.01)


def _source(check: Callable[..., object]) -> str:
    try:
        return inspect.getsource(check).strip()
    except (OSError, TypeError):
        return repr(check)
