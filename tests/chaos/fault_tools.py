"""The means by which a run makes things go wrong: clocks, small disks, crash orders and who comes by them."""

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
from infra.ops.devstack.data_dir import open_data_folder
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.run_as_user import account
from infra.ops.devstack.stack import Stack
from infra.ops.devstack.stack_settings import Options
from tests.chaos.crash_harness import CrashOrder, CrashTestShop, Scenario, UnknownOutcome
from tests.chaos.delivery_faults import DeliveryFaults
from tests.chaos.fake_clock import ProcessClock
from tests.chaos.small_disk import SmallDisk, small_disk, unavailable_reason

DISK_MEGABYTES = 1536
"""Of each small disk: more than a run writes. The file behind it is sparse."""

UNREADABLE_BODY = b"nonsense"
"""What the traffic that comes by the dead letters says."""
SCENARIO_TIMEOUT_SECONDS = 40.0
"""Seconds after which somebody else is sent to a crash point."""
EXPECTED_ERRORS: tuple[type[Exception], ...] = (
    *(AssertionError, KeyError, UnknownOutcome, Fail, OSError, TimeoutError, StackError),
    *(NatsError, aiohttp.ClientError, asyncpg.PostgresError, asyncpg.InterfaceError),
)
"""What a visit may end with while other things go wrong: answers that are no answers, and stores that are away."""

CLOCK_CACHE_SETTINGS = {"FAKETIME_NO_CACHE": "0", "FAKETIME_CACHE_DURATION": "1"}
"""A process looks a second late whether its clock is off: to look each time would cost what the load needs."""


@dataclass(frozen=True)
class FaultTools:
    """What chaos works with."""

    stack: Stack
    deliveries: DeliveryFaults
    crash_folder: Path
    clocks: Mapping[str, ProcessClock]
    disks: Mapping[str, SmallDisk]
    shop: CrashTestShop | None = None


def create_clocks(folder: Path, services: tuple[str, ...]) -> dict[str, ProcessClock]:
    """A clock a service; all of its processes have the same."""
    return {service: ProcessClock(folder / f"{service}-clock") for service in services}


def clock_environments(made: Mapping[str, ProcessClock]) -> dict[str, Mapping[str, str]]:
    return {service: {**clock.environment(), **CLOCK_CACHE_SETTINGS} for service, clock in made.items()}


@asynccontextmanager
async def mount_disks(given: Options, kept: Path, keep: Callable[[], bool]) -> AsyncIterator[dict[str, SmallDisk]]:
    """A small disk each for PostgreSQL, MongoDB and one NATS node; none where this machine cannot mount any.

    Where `keep` says so at the end, what is on them is copied to `kept`, for whoever looks into it.
    """
    if unavailable_reason():
        yield {}
        return
    data = open_data_folder(given.data).data
    folders = {"postgres": data / "postgres", "mongo": data / "mongo"}
    folders["nats"] = data / ("nats" if given.nats_nodes == 1 else "nats-1")
    async with AsyncExitStack() as mounted:
        made = {
            name: await mounted.enter_async_context(small_disk(folder, DISK_MEGABYTES))
            for name, folder in folders.items()
        }
        if user := account():
            os.chown(folders["postgres"], user.uid, user.gid)
        folders["postgres"].chmod(0o700)
        try:
            yield made
        finally:
            for name, folder in folders.items() if keep() else ():
                await asyncio.to_thread(shutil.copytree, folder, kept / name, symlinks=True, dirs_exist_ok=True)


async def delete_unreadable_events(deliveries: DeliveryFaults) -> int:
    """Removes what no service can read and a crash point needed, as an operator does: the letters, and their events."""
    removed = 0
    for sequence in range(1, (await deliveries.js.stream_info(DEAD_LETTER_STREAM)).state.last_seq + 1):
        with suppress(NotFoundError):
            letter = await deliveries.js.get_msg(DEAD_LETTER_STREAM, sequence)
            said = letter.headers or {}
            if letter.data == UNREADABLE_BODY:
                await deliveries.js.delete_msg(DEAD_LETTER_STREAM, sequence)
                with suppress(NotFoundError):
                    await deliveries.js.delete_msg(said[headers.DEAD_STREAM], int(said[headers.DEAD_SEQUENCE]))
                removed += 1
    return removed


class SharedCrashOrder(CrashOrder):
    """A crash that any process may take: as `Crash`, but it waits for none to come back."""

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
        while not self.is_triggered:  # noqa: ASYNC110 - the process that takes the order can tell nobody
            await asyncio.sleep(0.05)


class SharedCrashShop(CrashTestShop):
    """Shopping whose crashes any process may take."""

    def crash_at(self, process: str, point: str) -> CrashOrder:  # noqa: ARG002 - whichever comes by
        return SharedCrashOrder(self.failpoint_folder / point)


async def run_until_triggered(shopping: CrashTestShop, point: str, traffic: Scenario) -> None:
    """Comes by a crash point until somebody has died of it; the shop being what it is, it may take several visits."""
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
