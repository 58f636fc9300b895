"""Crashes that any process may take, for runs in which several faults are active at once."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Self

import aiohttp
import asyncpg
from nats.errors import Error as NatsError

from contracts.failure import Fail
from infra.ops.devstack.errors import StackError
from tests.chaos.crash_harness import CrashOrder, CrashTestShop, Scenario, UnknownOutcome

SCENARIO_TIMEOUT_SECONDS = 40.0
"""Time after which another scenario is sent to a failpoint."""
EXPECTED_ERRORS: tuple[type[Exception], ...] = (
    *(AssertionError, KeyError, UnknownOutcome, Fail, OSError, TimeoutError, StackError),
    *(NatsError, aiohttp.ClientError, asyncpg.PostgresError, asyncpg.InterfaceError),
)
"""Errors that may end a scenario while other faults are active."""


class SharedCrashOrder(CrashOrder):
    """A crash that any process may take; unlike `CrashOrder`, it does not wait for the process to restart."""

    def __init__(self, order: Path) -> None:
        self.order = order

    async def __aenter__(self) -> Self:
        self.order.touch()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            await self.wait_until_triggered()

    @property
    def is_triggered(self) -> bool:
        return not self.order.exists()

    async def wait_until_triggered(self) -> None:
        while not self.is_triggered:  # noqa: ASYNC110 - a process that dies cannot notify this one
            await asyncio.sleep(0.05)


class SharedCrashShop(CrashTestShop):
    """A shop in which any process may take a crash."""

    def crash_at(self, process: str, point: str) -> CrashOrder:  # noqa: ARG002 - whichever comes by
        return SharedCrashOrder(self.failpoint_folder / point)


async def run_until_triggered(shopping: CrashTestShop, point: str, traffic: Scenario) -> None:
    """Runs scenarios until a process has died at the failpoint; during other faults that may take several."""
    ordered = SharedCrashOrder(shopping.failpoint_folder / point)
    waits = asyncio.create_task(ordered.wait_until_triggered())
    try:
        while not waits.done():
            visit = asyncio.ensure_future(traffic(shopping, ordered))
            await asyncio.wait({visit, waits}, return_when=asyncio.FIRST_COMPLETED, timeout=SCENARIO_TIMEOUT_SECONDS)
            visit.cancel()
            with suppress(*EXPECTED_ERRORS, asyncio.CancelledError):
                await visit
            if not waits.done():
                await asyncio.sleep(0.5)
    finally:
        waits.cancel()
