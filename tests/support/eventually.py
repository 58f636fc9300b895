"""Waits for a condition, without a guess how long it takes."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

MIN_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.01, 0.05
"""The shortest and the longest pause between two checks."""
PAUSE_SHARE = 0.1
"""The share of the time waited so far that a pause takes: a check often costs a request, which slows what it awaits."""


async def eventually(check: Callable[[], T | Awaitable[T]], *, timeout_seconds: float = 15.0) -> T:
    """Repeats `check` until it returns a truthy value and raises no AssertionError; returns that value."""
    started_at = time.monotonic()
    while True:
        try:
            found = check()
            result: T = await found if inspect.isawaitable(found) else found
            if result:
                return result
            error: AssertionError | None = None
        except AssertionError as failed:
            error = failed
        waited = time.monotonic() - started_at
        if waited > timeout_seconds:
            raise error or AssertionError(f"not true within {timeout_seconds} s: {_source(check)}")
        await asyncio.sleep(min(max(waited * PAUSE_SHARE, MIN_PAUSE_SECONDS), MAX_PAUSE_SECONDS))


def _source(check: Callable[..., object]) -> str:
    try:
        return inspect.getsource(check).strip()
    except (OSError, TypeError):
        return repr(check)
