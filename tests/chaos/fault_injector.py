"""Makes things go wrong at their moment, and puts them right again, whatever else has gone wrong meanwhile."""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import psutil
from nats.errors import Error as NatsError
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, stop_never, wait_incrementing

from contracts.failure import Fail
from infra.ops.devstack.errors import StackError
from tests.chaos.failpoint_scenarios import SCENARIOS
from tests.chaos.fault_schedule import NON_EXCLUSIVE, Fault, FaultKind
from tests.chaos.fault_tools import FaultTools, SharedCrashOrder, run_until_triggered
from tests.chaos.process_trees import pause_tree, resume_processes

MAX_ATTEMPTS = 8
"""How often a fault that could not be brought about, as NATS was away, is tried again."""

OVERTIME_SECONDS = 150.0
"""Seconds that remain at the end for what waits for somebody to come by, or for something to be said."""

ORGANIC_SECONDS = 4.0
"""Seconds in which the load comes by most crash points by itself."""

CLOCK_OFFSET_SECONDS = 120
RETRYABLE_ERRORS: tuple[type[Exception], ...] = (OSError, TimeoutError, StackError, NatsError, Fail)


@dataclass(slots=True)
class FaultEvent:
    """A fault that has happened; `ended` is when it was put right, and what recovers begins to."""

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
    """Faults that could not be brought about, and why: the run has not shown what it should."""
    active: dict[str, int] = field(default_factory=Counter)
    paused_processes: list[psutil.Process] = field(default_factory=list)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def run(self) -> None:
        """Returns when the time is over; the timeline leaves enough for every fault to end.

        Who has to come by a crash point may have found the shop dark: they have some time more, in which it serves.
        """
        self.started_at = time.monotonic()
        for fault in self.timeline:
            await asyncio.sleep(max(0.0, self.started_at + fault.at - time.monotonic()))
            self._tasks.append(asyncio.create_task(self._one(fault)))
        await asyncio.sleep(max(0.0, self.started_at + self.seconds - time.monotonic()))
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=OVERTIME_SECONDS)

    async def clean_up(self) -> None:
        """Puts everything right."""
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
        """What goes on, for the eye."""
        return [name for name, count in self.active.items() if count]

    async def _one(self, fault: Fault) -> None:
        name = f"{fault.kind.value}: {fault.target}{fault.detail}"
        self.active[name] += 1
        began = time.monotonic()
        try:
            ended = await self._at_last(partial(self._bring_about, fault), patient=fault.kind in NON_EXCLUSIVE)
            self.completed.append(FaultEvent(fault, began, ended))
        except Exception as error:  # noqa: BLE001 - whatever it is, the run tells it
            self.failed.append(f"{name}: {error!r}")
        except asyncio.CancelledError:
            self.failed.append(f"{name}: not over when the time was")
            raise
        finally:
            self.active[name] -= 1

    async def _at_last(self, act: Callable[[], Awaitable[Any]], *, patient: bool = False) -> Any:
        """Does it; again after a while when something else that went wrong was in the way.

        Who is patient waits for as long as there is time: what is done to events needs a shop that says some.
        """
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(RETRYABLE_ERRORS),
            stop=stop_never if patient else stop_after_attempt(MAX_ATTEMPTS),
            wait=wait_incrementing(1, 1, max=5),
            reraise=True,
        ):
            with attempt:
                return await act()
        raise AssertionError

    async def _bring_about(self, fault: Fault) -> float:
        """When the fault was over."""
        ways: Mapping[FaultKind, Callable[[Fault], Awaitable[float | None]]] = {
            FaultKind.KILL: self._kill,
            FaultKind.PAUSE: self._pause,
            FaultKind.OUTAGE: self._away,
            FaultKind.LEADER: self._kill_leader,
            FaultKind.CRASH: self._crash,
            FaultKind.DUPLICATE: self._duplicate,
            FaultKind.REORDER: self._reorder,
            FaultKind.CLOCK: self._wrong_clock,
            FaultKind.DISK: self._full_disk,
        }
        return await ways[fault.kind](fault) or time.monotonic()

    async def _kill(self, fault: Fault) -> None:
        for process in self.tools.stack.named(fault.target):
            if process.pid is None:
                raise ConnectionError("it is down already")
        self.tools.stack.kill(fault.target)

    async def _pause(self, fault: Fault) -> None:
        pids = self.tools.stack.pids(fault.target)
        if not pids:
            raise ConnectionError("it is down already")
        stopped = [process for pid in pids for process in pause_tree(pid)]
        self.paused_processes += stopped
        try:
            await asyncio.sleep(fault.duration_seconds)
        finally:
            resume_processes(stopped)

    async def _away(self, fault: Fault) -> None:
        await self.tools.stack.stop("nats", signal.SIGKILL)
        try:
            await asyncio.sleep(fault.duration_seconds)
        finally:
            await self._at_last(partial(self.tools.stack.start, "nats"))

    async def _kill_leader(self, fault: Fault) -> None:
        info = await self.tools.deliveries.js.stream_info(fault.target)
        if info.cluster is None or not info.cluster.leader:
            raise ConnectionError(f"{fault.target} has no leader")
        self.tools.stack.kill(info.cluster.leader)

    async def _crash(self, fault: Fault) -> float:
        """Orders it, and waits for whoever dies of it; where nobody comes by of themselves, somebody is sent."""
        async with SharedCrashOrder(self.tools.crash_folder / fault.target) as order:
            with suppress(TimeoutError):
                async with asyncio.timeout(ORGANIC_SECONDS):
                    await order.wait_until_triggered()
            if not order.is_triggered and self.tools.shop:
                await run_until_triggered(self.tools.shop, fault.target, SCENARIOS[fault.target].scenario)
        return time.monotonic()

    async def _wrong_clock(self, fault: Fault) -> None:
        clock = self.tools.clocks[fault.target]
        clock.set_offset(float(f"{fault.detail}{CLOCK_OFFSET_SECONDS}"))
        try:
            await asyncio.sleep(fault.duration_seconds)
        finally:
            clock.set_offset(0)

    async def _full_disk(self, fault: Fault) -> None:
        """Full all the time: what the store gives back meanwhile is taken, too."""
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
            raise ConnectionError("there is no event yet")

    async def _reorder(self, fault: Fault) -> None:
        stream, _, service = fault.target.partition(".")
        before = await self.tools.deliveries.pause_consumer(stream, service, fault.duration_seconds + 1)
        await asyncio.sleep(fault.duration_seconds)
        if not await self.tools.deliveries.redeliver_shuffled(stream, service, before):
            raise ConnectionError("nothing was stored meanwhile")
