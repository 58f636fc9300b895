"""The tasks of a running service end with it."""

import asyncio
from contextlib import suppress

import pytest

from infra.runtime import service


async def test_a_worker_that_loses_a_cancellation_does_not_hold_up_the_shutdown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(service, "CANCEL_AGAIN_SECONDS", 0.01)

    async def work() -> None:
        with suppress(asyncio.CancelledError):  # as `asyncio.wait_for` does when what it waits for arrives then
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    async with asyncio.timeout(5), service.running_tasks([("worker", work())]):
        await asyncio.sleep(0)
