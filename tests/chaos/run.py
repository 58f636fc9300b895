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
from tests.chaos.delivery_faults import DeliveryFaults
from tests.chaos.failpoint_scenarios import FAILPOINT_NAMES
from tests.chaos.fake_clock import ProcessClock
from tests.chaos.fault_injector import FaultInjector
from tests.chaos.fault_schedule import (
    CALM_SECONDS,
    DEFAULT_REPEATS,
    MIN_SECONDS_WITH_CALM,
    STORES,
    Fault,
    FaultKind,
    StackShape,
    draw_timeline,
)
from tests.chaos.fault_tools import (
    FaultTools,
    SharedCrashShop,
    clock_environments,
    create_clocks,
    delete_unreadable_events,
    mount_disks,
)
from tests.chaos.journeys import CustomerJourneys
from tests.chaos.load_generator import LoadGenerator
from tests.chaos.order_stories import OrderStories
from tests.chaos.quiescence import Quiescence, wait_until_quiet
from tests.chaos.small_disk import SmallDisk, unavailable_reason
from tests.chaos.verify_run import VerifyRun, check_store_views, run_verify
from tests.chaos.write_verification import WriteVerification, verify_writes
from tests.support.http import HttpClient
from tests.support.rpc import RpcCaller
from tests.support.uninstrumented import uninstrumented_stack

DEFAULT_RATE = 55.0
REPEATED_FAILPOINTS = ("reactor.applied", "relay.published")
"""A consumer that dies between effect and acknowledgement, a relay that dies between acknowledgement and delete."""

SHORT_TIMES = 1
WARM_UP_SECONDS = 3.0
FULL_RUN_SECONDS = 300.0
MIN_CHECKOUT_RATE = 50.0
"""Checkouts a second that a run of `WHOLE` seconds or more begins."""
MIN_SERVED_SHARE = {1: 0.5, 3: 0.3}
"""The share of them that has to be served, by NATS nodes: three keep everything three times, on the same machine."""


@dataclass(frozen=True)
class RunOptions:
    """What was asked for on the command line."""

    seed: int
    nats_nodes: int = 1
    seconds: float = 520.0
    repeats: int = DEFAULT_REPEATS
    rate: float = DEFAULT_RATE
    only: tuple[FaultKind, ...] = ()
    pay_deadline_seconds: int = 20
    """Seconds until an order that nobody pays is given up."""

    def includes(self, kind: FaultKind) -> bool:
        return not self.only or kind in self.only


@dataclass
class RunResult:
    """All there is to tell of a run."""

    options: RunOptions
    shape: StackShape
    timeline: list[Fault]
    load: LoadGenerator
    injector: FaultInjector
    quiescence: Quiescence
    writes: WriteVerification
    verifications: dict[str, VerifyRun]
    seconds: float
    measurements: dict[str, str] = field(default_factory=dict)
    missed_goals: list[str] = field(default_factory=list)
    """Figures that are not what is promised."""

    @property
    def violations(self) -> list[tuple[int, str]]:
        return [*self.writes.violations, *(found for one in self.verifications.values() for found in one.violations)]

    @property
    def not_shown(self) -> list[str]:
        """What the run should have shown and did not."""
        without = [f"{name}: {one.error}" for name, one in self.verifications.items() if one.error]
        left = [f"left after settling: {count} {what}" for what, count in self.quiescence.pending.items()]
        impossible = (
            [f"no disk could be made full: {unavailable_reason()}"]
            if unavailable_reason() and self.options.includes(FaultKind.DISK)
            else []
        )
        bugs = [f"{self.load.internal_errors} answers of 500"] if self.load.internal_errors else []
        return [*self.injector.failed, *without, *left, *impossible, *bugs, *self._too_few, *self.missed_goals]

    @property
    def _too_few(self) -> list[str]:
        """A shop that is dark most of the time shows little; a short run is dark for most of its time."""
        if self.options.seconds < FULL_RUN_SECONDS:
            return []
        offered, served = self.load.checkouts_offered / self.load.seconds, self.load.served_share
        return [
            *([f"only {offered:.1f} checkouts were begun every second"] if offered < MIN_CHECKOUT_RATE else []),
            *(
                [f"only {served:.0%} of the checkouts were served"]
                if served < MIN_SERVED_SHARE[self.options.nats_nodes]
                else []
            ),
        ]

    def target_group(self, fault: Fault) -> str:
        """The service of a process, the place of a crash point: what the table has a row for."""
        if fault.kind is FaultKind.CRASH:
            return fault.target.partition(".")[0]
        if fault.kind in (FaultKind.DUPLICATE, FaultKind.REORDER, FaultKind.LEADER):
            return ""
        return next((name for name, several in self.shape.processes.items() if fault.target in several), fault.target)

    @property
    def triggered_failpoints(self) -> set[str]:
        """The crash points that a process has died at."""
        return {event.fault.target for event in self.injector.completed if event.fault.kind is FaultKind.CRASH}

    @property
    def is_clean(self) -> bool:
        return not self.violations and not self.not_shown


async def run_faults(options: RunOptions, data: Path, console: Console) -> RunResult:
    """Everything, on a fresh stack in this folder."""
    begun = time.monotonic()
    made = create_clocks(data.parent, SERVICES if options.includes(FaultKind.CLOCK) else ())
    given = shop.shop_options(data, options.nats_nodes, clock_environments(made), options.pay_deadline_seconds)
    shape = shop.stack_shape(given, FAILPOINT_NAMES, REPEATED_FAILPOINTS, [] if unavailable_reason() else STORES)
    timeline = draw_timeline(options.seed, shape, options.seconds, options.repeats, only=options.only)
    for fault in timeline:
        console.print(str(fault), style="dim")
    outcome: RunResult | None = None
    async with (
        _disks(options, given, lambda: outcome is None or not outcome.is_clean) as small,
        _serving(given, made, small) as (means, operator),
    ):
        stack, deliveries = means.stack, means.deliveries
        console.print(f"The shop serves after {time.monotonic() - begun:.0f} s.")
        load = await shop.stock_shop(stack, operator, options.rate, random.Random(options.seed))
        assert means.shop is not None
        means.shop.admin = means.shop.http.with_token(load.admin)
        chaos = FaultInjector(means, timeline, options.seconds)
        audits: dict[str, VerifyRun] = {}
        await _suffer(options, load, chaos, audits, console)
        console.print("Nobody comes any more; what is under way may finish.")
        settled = await wait_until_quiet(stack, deliveries)
        await delete_unreadable_events(deliveries)
        console.print(f"At rest after {settled.seconds:.0f} s. Now everything is counted.")
        audits["at the end"] = await run_verify(stack)
        verdict = await verify_writes(stack, load.journal, stack.http_url)
        verdict.violations += await check_store_views(stack)
        took = time.monotonic() - begun
        outcome = RunResult(options, shape, timeline, load, chaos, settled, verdict, audits, took)
    return outcome


def _disks(
    wanted: RunOptions, given: Options, keep: Callable[[], bool]
) -> AbstractAsyncContextManager[Mapping[str, SmallDisk]]:
    return mount_disks(given, given.data.parent / "disks", keep) if wanted.includes(FaultKind.DISK) else nullcontext({})


@asynccontextmanager
async def _serving(
    given: Options, made: Mapping[str, ProcessClock], small: Mapping[str, SmallDisk]
) -> AsyncIterator[tuple[FaultTools, RpcCaller]]:
    assert given.crash_folder is not None
    async with (
        uninstrumented_stack(given) as stack,
        messaging.connect(stack.nats_url, "operator", stack.password("operator")) as client,
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
    ):
        http = HttpClient(session, stack.http_url)
        passers = SharedCrashShop(stack, http, http, client, given.crash_folder)
        deliveries = DeliveryFaults(client, random.Random(given.nats_nodes))
        yield FaultTools(stack, deliveries, given.crash_folder, made, small, passers), RpcCaller(client)


async def _suffer(
    wanted: RunOptions, load: LoadGenerator, chaos: FaultInjector, audits: dict[str, VerifyRun], console: Console
) -> None:
    """Load and faults at once, with an audit in between; ends with the last fault, or by Ctrl-C."""
    load.started_at = time.monotonic()
    arrivals = [asyncio.create_task(arrival) for arrival in _arrivals(load)]
    middle = asyncio.create_task(_audit_in_between(wanted, chaos.tools, audits))
    watch = asyncio.create_task(_watch(load, chaos, wanted, console))
    try:
        await asyncio.sleep(WARM_UP_SECONDS)
        await chaos.run()
        await middle
    finally:
        await _ended([*arrivals, middle, watch])
        await chaos.clean_up()
        await load.close()


def _arrivals(load: LoadGenerator) -> Iterable[Coroutine[Any, Any, None]]:
    stories, errands = OrderStories(load), CustomerJourneys(load)
    return (
        load.run_arrivals(load.rate, stories.checkout, counted=True),
        load.run_arrivals(load.rate * 0.5, errands.browse),
        load.run_arrivals(load.rate * 0.06, stories.abandon_guest_cart),
        load.run_arrivals(2.0, errands.use_account),
        load.run_arrivals(1.5, errands.restock),
        load.run_arrivals(0.3, errands.upload_image),
        load.run_arrivals(0.3, errands.import_products),
        load.run_arrivals(0.5, errands.cancel_unconfirmed_order),
    )


async def _audit_in_between(wanted: RunOptions, means: FaultTools, audits: dict[str, VerifyRun]) -> None:
    """In the calm in the middle: a shop that sells gives no false alarm. What is late then must be done by the end."""
    if wanted.seconds <= MIN_SECONDS_WITH_CALM:
        return
    await asyncio.sleep(WARM_UP_SECONDS + wanted.seconds / 2 - CALM_SECONDS / 4)
    audits["in between"] = (await run_verify(means.stack)).without_late_work.without_ids(
        means.shop.unreadable_ids if means.shop else ()
    )


async def _watch(load: LoadGenerator, chaos: FaultInjector, wanted: RunOptions, console: Console) -> None:
    """One line that tells how it goes."""
    with Live(console=console, refresh_per_second=2, transient=True) as live:
        while True:
            live.update(
                f"{load.seconds:5.0f} of {wanted.seconds:.0f} s   {load.recent_rate():5.1f} checkouts/s"
                f"   {len(load._tasks):4} customers   {', '.join(chaos.active_names) or 'calm'}"
            )
            await asyncio.sleep(0.5)


async def _ended(tasks: Iterable[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError):
            await task
