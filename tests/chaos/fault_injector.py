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
from tests.chaos.failpoint_scenarios import PASSED
from tests.chaos.fault_schedule import QUIET, Fault, Kind
from tests.chaos.fault_tools import Means, Ordered, lure
from tests.chaos.process_trees import freeze, thaw

TRIES = 8
"""How often a fault that could not be brought about, as NATS was away, is tried again."""

OVERTIME = 150.0
"""Seconds that remain at the end for what waits for somebody to come by, or for something to be said."""

BY_ITSELF = 4.0
"""Seconds in which the load comes by most crash points by itself."""

OFF = 120
IN_THE_WAY: tuple[type[Exception], ...] = (OSError, TimeoutError, StackError, NatsError, Fail)


@dataclass(slots=True)
class Event:
    """A fault that has happened; `ended` is when it was put right, and what recovers begins to."""

    fault: Fault
    began: float
    ended: float


@dataclass
class Chaos:
    """Works through a timeline against a running stack."""

    means: Means
    timeline: list[Fault]
    seconds: float
    begun: float = 0.0
    happened: list[Event] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    """Faults that could not be brought about, and why: the run has not shown what it should."""
    active: dict[str, int] = field(default_factory=Counter)
    frozen: list[psutil.Process] = field(default_factory=list)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def run(self) -> None:
        """Returns when the time is over; the timeline leaves enough for every fault to end.

        Who has to come by a crash point may have found the shop dark: they have some time more, in which it serves.
        """
        self.begun = time.monotonic()
        for fault in self.timeline:
            await asyncio.sleep(max(0.0, self.begun + fault.at - time.monotonic()))
            self._tasks.append(asyncio.create_task(self._one(fault)))
        await asyncio.sleep(max(0.0, self.begun + self.seconds - time.monotonic()))
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=OVERTIME)

    async def end(self) -> None:
        """Puts everything right."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        thaw(self.frozen)
        for clock in self.means.clocks.values():
            clock.shift(0)
        for disk in self.means.disks.values():
            disk.free()
        for order in self.means.crash_folder.iterdir():
            order.unlink(missing_ok=True)

    @property
    def now(self) -> list[str]:
        """What goes on, for the eye."""
        return [name for name, count in self.active.items() if count]

    async def _one(self, fault: Fault) -> None:
        name = f"{fault.kind.value}: {fault.target}{fault.detail}"
        self.active[name] += 1
        began = time.monotonic()
        try:
            ended = await self._at_last(partial(self._bring_about, fault), patient=fault.kind in QUIET)
            self.happened.append(Event(fault, began, ended))
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
            retry=retry_if_exception_type(IN_THE_WAY),
            stop=stop_never if patient else stop_after_attempt(TRIES),
            wait=wait_incrementing(1, 1, max=5),
            reraise=True,
        ):
            with attempt:
                return await act()
        raise AssertionError

    async def _bring_about(self, fault: Fault) -> float:
        """When the fault was over."""
        ways: Mapping[Kind, Callable[[Fault], Awaitable[float | None]]] = {
            Kind.KILL: self._kill,
            Kind.PAUSE: self._pause,
            Kind.AWAY: self._away,
            Kind.LEADER: self._kill_leader,
            Kind.CRASH: self._crash,
            Kind.DUPLICATE: self._duplicate,
            Kind.REORDER: self._reorder,
            Kind.CLOCK: self._wrong_clock,
            Kind.DISK: self._full_disk,
        }
        return await ways[fault.kind](fault) or time.monotonic()

    async def _kill(self, fault: Fault) -> None:
        for process in self.means.stack.named(fault.target):
            if process.pid is None:
                raise ConnectionError("it is down already")
        self.means.stack.kill(fault.target)

    async def _pause(self, fault: Fault) -> None:
        pids = self.means.stack.pids(fault.target)
        if not pids:
            raise ConnectionError("it is down already")
        stopped = [process for pid in pids for process in freeze(pid)]
        self.frozen += stopped
        try:
            await asyncio.sleep(fault.lasts)
        finally:
            thaw(stopped)

    async def _away(self, fault: Fault) -> None:
        await self.means.stack.stop("nats", signal.SIGKILL)
        try:
            await asyncio.sleep(fault.lasts)
        finally:
            await self._at_last(partial(self.means.stack.start, "nats"))

    async def _kill_leader(self, fault: Fault) -> None:
        info = await self.means.deliveries.js.stream_info(fault.target)
        if info.cluster is None or not info.cluster.leader:
            raise ConnectionError(f"{fault.target} has no leader")
        self.means.stack.kill(info.cluster.leader)

    async def _crash(self, fault: Fault) -> float:
        """Orders it, and waits for whoever dies of it; where nobody comes by of themselves, somebody is sent."""
        async with Ordered(self.means.crash_folder / fault.target) as order:
            with suppress(TimeoutError):
                async with asyncio.timeout(BY_ITSELF):
                    await order.carried_out()
            if not order.is_carried_out and self.means.shopping:
                await lure(self.means.shopping, fault.target, PASSED[fault.target].traffic)
        return time.monotonic()

    async def _wrong_clock(self, fault: Fault) -> None:
        clock = self.means.clocks[fault.target]
        clock.shift(float(f"{fault.detail}{OFF}"))
        try:
            await asyncio.sleep(fault.lasts)
        finally:
            clock.shift(0)

    async def _full_disk(self, fault: Fault) -> None:
        """Full all the time: what the store gives back meanwhile is taken, too."""
        disk, until = self.means.disks[fault.target], time.monotonic() + fault.lasts
        try:
            while time.monotonic() < until:
                disk.fill()
                await asyncio.sleep(0.5)
        finally:
            disk.free()

    async def _duplicate(self, fault: Fault) -> None:
        stream, _, _ = fault.target.partition(".")
        if not await self.means.deliveries.repeat(stream):
            raise ConnectionError("there is no event yet")

    async def _reorder(self, fault: Fault) -> None:
        stream, _, service = fault.target.partition(".")
        before = await self.means.deliveries.pause(stream, service, fault.lasts + 1)
        await asyncio.sleep(fault.lasts)
        if not await self.means.deliveries.hand_over(stream, service, before):
            raise ConnectionError("nothing was stored meanwhile")
