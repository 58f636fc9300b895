"""One fault run: the shop starts, is loaded, suffers, settles, and is judged."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from rich.console import Console
from rich.live import Live

from contracts.registry import SERVICES
from infra.messaging import connection as messaging
from infra.ops.devstack.stack_settings import Options
from tests.chaos import shop_under_test as shop
from tests.chaos.delivery_faults import Deliveries
from tests.chaos.failpoint_scenarios import NAMES
from tests.chaos.fake_clock import Clock
from tests.chaos.fault_injector import Chaos
from tests.chaos.fault_schedule import CALM, SHORTEST_WITH_CALM, STORES, TIMES, Fault, Kind, Shape, plan
from tests.chaos.fault_tools import Means, Passers, clocks, disks, environments, sweep
from tests.chaos.journeys import Errands
from tests.chaos.load_generator import Load
from tests.chaos.order_stories import Stories
from tests.chaos.quiescence import Settled, settle
from tests.chaos.small_disk import Disk, why_not
from tests.chaos.verify_run import Audit, audit, own_views
from tests.chaos.write_verification import Verdict, judge
from tests.support.http import Http
from tests.support.rpc import Edge
from tests.support.uninstrumented import unmeasured

RATE = 55.0
OFTEN = ("reactor.applied", "relay.published")
"""A consumer that dies between effect and acknowledgement, a relay that dies between acknowledgement and delete."""

SHORT_TIMES = 1
WARM_UP = 3.0
WHOLE = 300.0
OFFERED = 50.0
"""Checkouts a second that a run of `WHOLE` seconds or more begins."""
SERVED = {1: 0.5, 3: 0.3}
"""The share of them that has to be served, by NATS nodes: three keep everything three times, on the same machine."""


@dataclass(frozen=True)
class Wanted:
    """What was asked for on the command line."""

    seed: int
    nats_nodes: int = 1
    seconds: float = 520.0
    times: int = TIMES
    rate: float = RATE
    only: tuple[Kind, ...] = ()
    deadline: int = 20
    """Seconds until an order that nobody pays is given up."""

    def has(self, kind: Kind) -> bool:
        return not self.only or kind in self.only


@dataclass
class Outcome:
    """All there is to tell of a run."""

    wanted: Wanted
    shape: Shape
    timeline: list[Fault]
    load: Load
    chaos: Chaos
    settled: Settled
    verdict: Verdict
    audits: dict[str, Audit]
    took: float
    figures: dict[str, str] = field(default_factory=dict)
    missed: list[str] = field(default_factory=list)
    """Figures that are not what is promised."""

    @property
    def violations(self) -> list[tuple[int, str]]:
        return [*self.verdict.broken, *(found for one in self.audits.values() for found in one.violations)]

    @property
    def missing(self) -> list[str]:
        """What the run should have shown and did not."""
        without = [f"{name}: {one.error}" for name, one in self.audits.items() if one.error]
        left = [f"left after settling: {count} {what}" for what, count in self.settled.left.items()]
        impossible = [f"no disk could be made full: {why_not()}"] if why_not() and self.wanted.has(Kind.DISK) else []
        bugs = [f"{self.load.bugs} answers of 500"] if self.load.bugs else []
        return [*self.chaos.failed, *without, *left, *impossible, *bugs, *self._too_few, *self.missed]

    @property
    def _too_few(self) -> list[str]:
        """A shop that is dark most of the time shows little; a short run is dark for most of its time."""
        if self.wanted.seconds < WHOLE:
            return []
        offered, served = self.load.offered / self.load.seconds, self.load.served
        return [
            *([f"only {offered:.1f} checkouts were begun every second"] if offered < OFFERED else []),
            *([f"only {served:.0%} of the checkouts were served"] if served < SERVED[self.wanted.nats_nodes] else []),
        ]

    def family(self, fault: Fault) -> str:
        """The service of a process, the place of a crash point: what the table has a row for."""
        if fault.kind is Kind.CRASH:
            return fault.target.partition(".")[0]
        if fault.kind in (Kind.DUPLICATE, Kind.REORDER, Kind.LEADER):
            return ""
        return next((name for name, several in self.shape.processes.items() if fault.target in several), fault.target)

    @property
    def crashed(self) -> set[str]:
        """The crash points that a process has died at."""
        return {event.fault.target for event in self.chaos.happened if event.fault.kind is Kind.CRASH}

    @property
    def good(self) -> bool:
        return not self.violations and not self.missing


async def run(wanted: Wanted, data: Path, console: Console) -> Outcome:
    """Everything, on a fresh stack in this folder."""
    begun = time.monotonic()
    made = clocks(data.parent, SERVICES if wanted.has(Kind.CLOCK) else ())
    given = shop.options(data, wanted.nats_nodes, environments(made), wanted.deadline)
    shape = shop.shape(given, NAMES, OFTEN, [] if why_not() else STORES)
    timeline = plan(wanted.seed, shape, wanted.seconds, wanted.times, only=wanted.only)
    for fault in timeline:
        console.print(str(fault), style="dim")
    outcome: Outcome | None = None
    async with (
        _disks(wanted, given, lambda: outcome is None or not outcome.good) as small,
        _serving(given, made, small) as (means, operator),
    ):
        stack, deliveries = means.stack, means.deliveries
        console.print(f"The shop serves after {time.monotonic() - begun:.0f} s.")
        load = await shop.furnish(stack, operator, wanted.rate, random.Random(wanted.seed))
        assert means.shopping is not None
        means.shopping.admin = means.shopping.http.as_(load.admin)
        chaos = Chaos(means, timeline, wanted.seconds)
        audits: dict[str, Audit] = {}
        await _suffer(wanted, load, chaos, audits, console)
        console.print("Nobody comes any more; what is under way may finish.")
        settled = await settle(stack, deliveries)
        await sweep(deliveries)
        console.print(f"At rest after {settled.seconds:.0f} s. Now everything is counted.")
        audits["at the end"] = await audit(stack)
        verdict = await judge(stack, load.journal, stack.http_url)
        verdict.broken += await own_views(stack)
        took = time.monotonic() - begun
        outcome = Outcome(wanted, shape, timeline, load, chaos, settled, verdict, audits, took)
    return outcome


def _disks(wanted: Wanted, given: Options, keep: Callable[[], bool]) -> AbstractAsyncContextManager[Mapping[str, Disk]]:
    return disks(given, given.data.parent / "disks", keep) if wanted.has(Kind.DISK) else nullcontext({})


@asynccontextmanager
async def _serving(
    given: Options, made: Mapping[str, Clock], small: Mapping[str, Disk]
) -> AsyncIterator[tuple[Means, Edge]]:
    assert given.crash_folder is not None
    async with (
        unmeasured(given) as stack,
        messaging.connect(stack.nats_url, "operator", stack.password("operator")) as client,
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
    ):
        http = Http(session, stack.http_url)
        passers = Passers(stack, http, http, client, given.crash_folder)
        deliveries = Deliveries(client, random.Random(given.nats_nodes))
        yield Means(stack, deliveries, given.crash_folder, made, small, passers), Edge(client)


async def _suffer(wanted: Wanted, load: Load, chaos: Chaos, audits: dict[str, Audit], console: Console) -> None:
    """Load and faults at once, with an audit in between; ends with the last fault, or by Ctrl-C."""
    load.begun = time.monotonic()
    arrivals = [asyncio.create_task(arrival) for arrival in _arrivals(load)]
    middle = asyncio.create_task(_audit_in_between(wanted, chaos.means, audits))
    watch = asyncio.create_task(_watch(load, chaos, wanted, console))
    try:
        await asyncio.sleep(WARM_UP)
        await chaos.run()
        await middle
    finally:
        await _ended([*arrivals, middle, watch])
        await chaos.end()
        await load.close()


def _arrivals(load: Load) -> Iterable[Coroutine[Any, Any, None]]:
    stories, errands = Stories(load), Errands(load)
    return (
        load.arrive(load.rate, stories.checkout, counted=True),
        load.arrive(load.rate * 0.5, errands.browse),
        load.arrive(load.rate * 0.06, stories.window_shopping),
        load.arrive(2.0, errands.account),
        load.arrive(1.5, errands.restock),
        load.arrive(0.3, errands.upload),
        load.arrive(0.3, errands.import_products),
        load.arrive(0.5, errands.void),
    )


async def _audit_in_between(wanted: Wanted, means: Means, audits: dict[str, Audit]) -> None:
    """In the calm in the middle: a shop that sells gives no false alarm. What is late then must be done by the end."""
    if wanted.seconds <= SHORTEST_WITH_CALM:
        return
    await asyncio.sleep(WARM_UP + wanted.seconds / 2 - CALM / 4)
    audits["in between"] = (await audit(means.stack)).in_trouble.but_for(
        means.shopping.nonsense if means.shopping else ()
    )


async def _watch(load: Load, chaos: Chaos, wanted: Wanted, console: Console) -> None:
    """One line that tells how it goes."""
    with Live(console=console, refresh_per_second=2, transient=True) as live:
        while True:
            live.update(
                f"{load.seconds:5.0f} of {wanted.seconds:.0f} s   {load.recent():5.1f} checkouts/s"
                f"   {len(load._tasks):4} customers   {', '.join(chaos.now) or 'calm'}"
            )
            await asyncio.sleep(0.5)


async def _ended(tasks: Iterable[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError):
            await task
