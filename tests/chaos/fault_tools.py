"""The tools of fault injection: clocks, small disks, failpoints and the scenarios that reach them."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import aiohttp
import asyncpg
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError

from contracts import headers
from contracts.failure import Fail
from infra.messaging.topology import DEAD_LETTER_STREAM
from infra.ops.devstack.data_dir import open_data_dir
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.run_as_user import postgres_user
from infra.ops.devstack.stack import Stack
from infra.ops.devstack.stack_settings import StackSettings
from tests.chaos.crash_harness import CrashOrder, CrashTestShop, Scenario, UnknownOutcome
from tests.chaos.delivery_faults import DeliveryFaults
from tests.chaos.fake_clock import ProcessClock
from tests.chaos.small_disk import SmallDisk, small_disk, unavailable_reason

DISK_MEGABYTES = 1536
"""The size of each small disk: more than a run writes. The file behind it is sparse."""

UNREADABLE_BODY = b"nonsense"
"""The body of the events that no service can parse."""
SCENARIO_TIMEOUT_SECONDS = 40.0
"""Time after which another scenario is sent to a failpoint."""
EXPECTED_ERRORS: tuple[type[Exception], ...] = (
    *(AssertionError, KeyError, UnknownOutcome, Fail, OSError, TimeoutError, StackError),
    *(NatsError, aiohttp.ClientError, asyncpg.PostgresError, asyncpg.InterfaceError),
)
"""Errors that may end a scenario while other faults are active."""

CLOCK_CACHE_SETTINGS = {"FAKETIME_NO_CACHE": "0", "FAKETIME_CACHE_DURATION": "1"}
"""A process reads its clock offset once a second, because reading it every time would slow the load."""


@dataclass(frozen=True)
class FaultTools:
    """What the fault injector works with."""

    stack: Stack
    deliveries: DeliveryFaults
    crash_folder: Path
    clocks: Mapping[str, ProcessClock]
    disks: Mapping[str, SmallDisk]
    shop: CrashTestShop | None = None


def create_clocks(folder: Path, services: tuple[str, ...]) -> dict[str, ProcessClock]:
    """A clock for each service; its processes share it."""
    return {service: ProcessClock(folder / f"{service}-clock") for service in services}


def clock_environments(made: Mapping[str, ProcessClock]) -> dict[str, Mapping[str, str]]:
    return {service: {**clock.environment(), **CLOCK_CACHE_SETTINGS} for service, clock in made.items()}


@asynccontextmanager
async def mount_disks(
    stack_settings: StackSettings, stored: Path, keep: Callable[[], bool]
) -> AsyncIterator[dict[str, SmallDisk]]:
    """Mounts a small disk each for PostgreSQL, MongoDB and one NATS node; none if this machine cannot.

    If `keep` returns true at the end, their contents are copied to `kept` for inspection.
    """
    if unavailable_reason():
        yield {}
        return
    data = open_data_dir(stack_settings.data).path
    folders = {"postgres": data / "postgres", "mongo": data / "mongo"}
    folders["nats"] = data / ("nats" if stack_settings.nats_nodes == 1 else "nats-1")
    async with AsyncExitStack() as mounted:
        made = {
            name: await mounted.enter_async_context(small_disk(folder, DISK_MEGABYTES))
            for name, folder in folders.items()
        }
        if user := postgres_user():
            os.chown(folders["postgres"], user.uid, user.gid)
        folders["postgres"].chmod(0o700)
        try:
            yield made
        finally:
            for name, folder in folders.items() if keep() else ():
                await asyncio.to_thread(shutil.copytree, folder, stored / name, symlinks=True, dirs_exist_ok=True)


async def delete_unreadable_events(deliveries: DeliveryFaults) -> int:
    """Deletes the unparseable events of the failpoint scenarios and their dead letters, as an operator would."""
    removed = 0
    for sequence in range(1, (await deliveries.js.stream_info(DEAD_LETTER_STREAM)).state.last_seq + 1):
        with suppress(NotFoundError):
            dead_letter = await deliveries.js.get_msg(DEAD_LETTER_STREAM, sequence)
            header = dead_letter.headers or {}
            if dead_letter.data == UNREADABLE_BODY:
                await deliveries.js.delete_msg(DEAD_LETTER_STREAM, sequence)
                with suppress(NotFoundError):
                    await deliveries.js.delete_msg(header[headers.DEAD_STREAM], int(header[headers.DEAD_SEQUENCE]))
                removed += 1
    return removed


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
