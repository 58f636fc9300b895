"""Injects the faults of a timeline at their time and repairs them, even while other faults are active."""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from nats.errors import Error as NatsError
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, stop_never, wait_incrementing

from contracts.failure import Fail
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.stack import Stack
from tests.chaos.crash_harness import CrashTestShop
from tests.chaos.crashes_in_any_process import SharedCrashOrder, run_until_triggered
from tests.chaos.delivery_faults import DeliveryFaults
from tests.chaos.failpoint_scenarios import SCENARIOS
from tests.chaos.fault_schedule import NON_EXCLUSIVE, Fault, FaultKind
from tests.chaos.process_clock import ProcessClock
from tests.chaos.process_trees import pause_tree, resume_processes
from tests.chaos.small_disk import SmallDisk

MAX_ATTEMPTS = 8
"""How often a fault is tried that another fault prevents."""

OVERTIME_SECONDS = 150.0
"""Time at the end for faults that wait for a request or an event."""

ORGANIC_SECONDS = 4.0
"""Time in which the load itself reaches most failpoints."""

CLOCK_OFFSET_SECONDS = 120
RETRYABLE_ERRORS: tuple[type[Exception], ...] = (OSError, TimeoutError, StackError, NatsError, Fail)


@dataclass(frozen=True)
class FaultTools:
    """What the fault injector works with."""

    stack: Stack
    deliveries: DeliveryFaults
    crash_folder: Path
    clocks: Mapping[str, ProcessClock]
    disks: Mapping[str, SmallDisk]
    shop: CrashTestShop | None = None


@dataclass(slots=True)
class FaultEvent:
    """A completed fault; `ended_at` is when it was repaired and recovery began."""

    fault: Fault
    started_at: float
    ended_at: float


@dataclass
class FaultInjector:
    """Works through a timeline against a running stack."""

    tools: FaultTools
    timeline: list[Fault]
    seconds: float
    started_at: float = 0.0
    completed: list[FaultEvent] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    """Faults that could not be injected, and why: the run has not shown what it should."""
    active: dict[str, int] = field(default_factory=Counter)
    paused_processes: list[psutil.Process] = field(default_factory=list)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def run(self) -> None:
        """Returns when the time is over; the timeline leaves enough for every fault to end.

        A failpoint that no request reached while the shop was down gets some more time, in which the shop serves.
        """
        self.started_at = time.monotonic()
        for fault in self.timeline:
            await asyncio.sleep(max(0.0, self.started_at + fault.at - time.monotonic()))
            self._tasks.append(asyncio.create_task(self._run_fault(fault)))
        await asyncio.sleep(max(0.0, self.started_at + self.seconds - time.monotonic()))
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=OVERTIME_SECONDS)

    async def clean_up(self) -> None:
        """Stops all faults and repairs what they did."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        resume_processes(self.paused_processes)
        for clock in self.tools.clocks.values():
            clock.set_offset(0)
        for disk in self.tools.disks.values():
            disk.free()
        for order in self.tools.crash_folder.iterdir():
            order.unlink(missing_ok=True)

    @property
    def active_names(self) -> list[str]:
        """The active faults, for display."""
        return [name for name, count in self.active.items() if count]

    async def _run_fault(self, fault: Fault) -> None:
        name = f"{fault.kind.value}: {fault.target}{fault.detail}"
        self.active[name] += 1
        started_at = time.monotonic()
        try:
            ended = await self._retry(partial(self._inject, fault), is_patient=fault.kind in NON_EXCLUSIVE)
            self.completed.append(FaultEvent(fault, started_at, ended))
        except Exception as error:  # noqa: BLE001 - whatever it is, the run tells it
            self.failed.append(f"{name}: {error!r}")
        except asyncio.CancelledError:
            self.failed.append(f"{name}: not over at the end of the run")
            raise
        finally:
            self.active[name] -= 1

    async def _retry(self, action: Callable[[], Awaitable[Any]], *, is_patient: bool = False) -> Any:
        """Runs an action, and again after a pause when another fault prevented it.

        A patient action is retried until the run ends: faults of delivery need a shop that publishes events.
        """
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(RETRYABLE_ERRORS),
            stop=stop_never if is_patient else stop_after_attempt(MAX_ATTEMPTS),
            wait=wait_incrementing(1, 1, max=5),
            reraise=True,
        ):
            with attempt:
                return await action()
        raise AssertionError

    async def _inject(self, fault: Fault) -> float:
        """Injects a fault; returns when it was over."""
        methods: Mapping[FaultKind, Callable[[Fault], Awaitable[float | None]]] = {
            FaultKind.KILL: self._kill,
            FaultKind.PAUSE: self._pause,
            FaultKind.OUTAGE: self._stop_nats,
            FaultKind.LEADER: self._kill_leader,
            FaultKind.CRASH: self._crash,
            FaultKind.DUPLICATE: self._duplicate,
            FaultKind.REORDER: self._reorder,
            FaultKind.CLOCK: self._shift_clock,
            FaultKind.DISK: self._fill_disk,
        }
        return await methods[fault.kind](fault) or time.monotonic()

    async def _kill(self, fault: Fault) -> None:
        for process in self.tools.stack.find_processes(fault.target):
            if process.pid is None:
                raise ConnectionError("the process is down already")
        self.tools.stack.kill(fault.target)

    async def _pause(self, fault: Fault) -> None:
        pids = self.tools.stack.pids(fault.target)
        if not pids:
            raise ConnectionError("the process is down already")
        stopped = [process for pid in pids for process in pause_tree(pid)]
        self.paused_processes += stopped
        try:
            await asyncio.sleep(fault.duration_seconds)
        finally:
            resume_processes(stopped)

    async def _stop_nats(self, fault: Fault) -> None:
        await self.tools.stack.stop("nats", signal.SIGKILL)
        try:
            await asyncio.sleep(fault.duration_seconds)
        finally:
            await self._retry(partial(self.tools.stack.start, "nats"))

    async def _kill_leader(self, fault: Fault) -> None:
        info = await self.tools.deliveries.js.stream_info(fault.target)
        if info.cluster is None or not info.cluster.leader:
            raise ConnectionError(f"{fault.target} has no leader")
        self.tools.stack.kill(info.cluster.leader)

    async def _crash(self, fault: Fault) -> float:
        """Enables a failpoint and waits for a process to die there; runs a scenario if the load does not reach it."""
        async with SharedCrashOrder(self.tools.crash_folder / fault.target) as order:
            with suppress(TimeoutError):
                async with asyncio.timeout(ORGANIC_SECONDS):
                    await order.wait_until_triggered()
            if not order.is_triggered and self.tools.shop:
                await run_until_triggered(self.tools.shop, fault.target, SCENARIOS[fault.target].scenario)
        return time.monotonic()

    async def _shift_clock(self, fault: Fault) -> None:
        clock = self.tools.clocks[fault.target]
        clock.set_offset(float(f"{fault.detail}{CLOCK_OFFSET_SECONDS}"))
        try:
            await asyncio.sleep(fault.duration_seconds)
        finally:
            clock.set_offset(0)

    async def _fill_disk(self, fault: Fault) -> None:
        """Fills the disk again and again, because the store frees space meanwhile."""
        disk, until = self.tools.disks[fault.target], time.monotonic() + fault.duration_seconds
        try:
            while time.monotonic() < until:
                disk.fill()
                await asyncio.sleep(0.5)
        finally:
            disk.free()

    async def _duplicate(self, fault: Fault) -> None:
        stream, _, _ = fault.target.partition(".")
        if not await self.tools.deliveries.duplicate_events(stream):
            raise ConnectionError("no event is stored yet")

    async def _reorder(self, fault: Fault) -> None:
        stream, _, service = fault.target.partition(".")
        before = await self.tools.deliveries.pause_consumer(stream, service, fault.duration_seconds + 1)
        await asyncio.sleep(fault.duration_seconds)
        if not await self.tools.deliveries.redeliver_shuffled(stream, service, before):
            raise ConnectionError("no event was stored meanwhile")
