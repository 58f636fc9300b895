"""One fault run: start the shop, load it, inject faults, wait until it is quiet, and verify it."""

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
from infra.ops.devstack.stack_settings import StackSettings
from tests.chaos import shop_under_test as shop
from tests.chaos.background_traffic import CustomerJourneys
from tests.chaos.crashes_in_any_process import SharedCrashShop
from tests.chaos.delivery_faults import DeliveryFaults, delete_unreadable_events
from tests.chaos.failpoint_scenarios import FAILPOINT_NAMES
from tests.chaos.fault_injector import FaultInjector, FaultTools
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
from tests.chaos.load_generator import LoadGenerator
from tests.chaos.process_clock import ProcessClock
from tests.chaos.purchase_journeys import OrderStories
from tests.chaos.quiescence import Quiescence, wait_until_quiet
from tests.chaos.service_clocks import clock_environments, create_clocks
from tests.chaos.small_disk import SmallDisk, unavailable_reason
from tests.chaos.store_disks import mount_disks
from tests.chaos.verify_run import VerifyRun, check_store_views, run_verify
from tests.chaos.write_verification import WriteVerification, verify_writes
from tests.support.http import HttpClient
from tests.support.rpc import RpcCaller
from tests.support.without_coverage import uninstrumented_stack

DEFAULT_RATE = 55.0
REPEATED_FAILPOINTS = ("consumer.applied", "relay.published")
"""A consumer that dies between effect and acknowledgement, a relay that dies between acknowledgement and delete."""

SHORT_TIMES = 1
WARM_UP_SECONDS = 3.0
FULL_RUN_SECONDS = 300.0
MIN_CHECKOUT_RATE = 50.0
"""Checkouts per second that a full run has to begin."""
MIN_SERVED_SHARE = {1: 0.5, 3: 0.3}
"""The share of them that has to be served, by NATS nodes: three nodes store everything three times on one machine."""


@dataclass(frozen=True)
class RunOptions:
    """The options of the command line."""

    seed: int
    nats_nodes: int = 1
    seconds: float = 520.0
    repeats: int = DEFAULT_REPEATS
    rate: float = DEFAULT_RATE
    only: tuple[FaultKind, ...] = ()
    pay_deadline_seconds: int = 20
    """Seconds until an unpaid order expires."""

    def includes(self, kind: FaultKind) -> bool:
        return not self.only or kind in self.only


@dataclass
class RunResult:
    """Everything that a report needs."""

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
    """Measurements that miss their goal."""

    @property
    def violations(self) -> list[tuple[int, str]]:
        return [*self.writes.violations, *(found for one in self.verifications.values() for found in one.violations)]

    @property
    def not_shown(self) -> list[str]:
        """What the run should have shown and did not."""
        without = [f"{name}: {one.error}" for name, one in self.verifications.items() if one.error]
        left = [f"still pending: {count} {what}" for what, count in self.quiescence.pending.items()]
        impossible = (
            [f"no disk could be filled: {unavailable_reason()}"]
            if unavailable_reason() and self.options.includes(FaultKind.DISK)
            else []
        )
        bugs = [f"{self.load.internal_errors} responses of 500"] if self.load.internal_errors else []
        return [
            *self.injector.failed,
            *without,
            *left,
            *impossible,
            *bugs,
            *self._too_few_checkouts,
            *self.missed_goals,
        ]

    @property
    def _too_few_checkouts(self) -> list[str]:
        """Too few served checkouts show little. Short runs do not count, as faults fill most of their time."""
        if self.options.seconds < FULL_RUN_SECONDS:
            return []
        offered, served = self.load.checkouts_offered / self.load.seconds, self.load.served_share
        return [
            *([f"only {offered:.1f} checkouts began per second"] if offered < MIN_CHECKOUT_RATE else []),
            *(
                [f"only {served:.0%} of the checkouts were served"]
                if served < MIN_SERVED_SHARE[self.options.nats_nodes]
                else []
            ),
        ]

    def target_group(self, fault: Fault) -> str:
        """The service of a process or the prefix of a failpoint: one row of the table."""
        if fault.kind is FaultKind.CRASH:
            return fault.target.partition(".")[0]
        if fault.kind in (FaultKind.DUPLICATE, FaultKind.REORDER, FaultKind.LEADER):
            return ""
        return next((name for name, several in self.shape.processes.items() if fault.target in several), fault.target)

    @property
    def triggered_failpoints(self) -> set[str]:
        """The failpoints at which a process has died."""
        return {event.fault.target for event in self.injector.completed if event.fault.kind is FaultKind.CRASH}

    @property
    def is_clean(self) -> bool:
        return not self.violations and not self.not_shown


async def run_faults(options: RunOptions, data: Path, console: Console) -> RunResult:
    """Runs everything on a new stack in this folder."""
    started_at = time.monotonic()
    made = create_clocks(data.parent, SERVICES if options.includes(FaultKind.CLOCK) else ())
    stack_settings = shop.shop_options(data, options.nats_nodes, clock_environments(made), options.pay_deadline_seconds)
    shape = shop.stack_shape(
        stack_settings, FAILPOINT_NAMES, REPEATED_FAILPOINTS, [] if unavailable_reason() else STORES
    )
    timeline = draw_timeline(options.seed, shape, options.seconds, options.repeats, only=options.only)
    for fault in timeline:
        console.print(str(fault), style="dim")
    result: RunResult | None = None
    async with (
        _disks(options, stack_settings, lambda: result is None or not result.is_clean) as small,
        _running_shop(stack_settings, made, small) as (tools, operator),
    ):
        stack, deliveries = tools.stack, tools.deliveries
        console.print(f"The shop is ready after {time.monotonic() - started_at:.0f} s.")
        load = await shop.stock_shop(stack, operator, options.rate, random.Random(options.seed))
        assert tools.shop is not None
        tools.shop.admin = tools.shop.http.with_token(load.admin)
        injector = FaultInjector(tools, timeline, options.seconds)
        verifications: dict[str, VerifyRun] = {}
        await _run_load_and_faults(options, load, injector, verifications, console)
        console.print("The load has ended; pending work may finish.")
        quiescence = await wait_until_quiet(stack, deliveries)
        await delete_unreadable_events(deliveries)
        console.print(f"Quiet after {quiescence.seconds:.0f} s. Now everything is verified.")
        verifications["at the end"] = await run_verify(stack)
        writes = await verify_writes(stack, load.journal, stack.http_url)
        writes.violations += await check_store_views(stack)
        seconds = time.monotonic() - started_at
        result = RunResult(options, shape, timeline, load, injector, quiescence, writes, verifications, seconds)
    return result


def _disks(
    options: RunOptions, stack_settings: StackSettings, keep: Callable[[], bool]
) -> AbstractAsyncContextManager[Mapping[str, SmallDisk]]:
    return (
        mount_disks(stack_settings, stack_settings.data.parent / "disks", keep)
        if options.includes(FaultKind.DISK)
        else nullcontext({})
    )


@asynccontextmanager
async def _running_shop(
    stack_settings: StackSettings, made: Mapping[str, ProcessClock], small: Mapping[str, SmallDisk]
) -> AsyncIterator[tuple[FaultTools, RpcCaller]]:
    assert stack_settings.crash_folder is not None
    async with (
        uninstrumented_stack(stack_settings) as stack,
        messaging.connect(stack.nats_url, "operator", stack.nats_password("operator")) as client,
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
    ):
        http = HttpClient(session, stack.http_url)
        shared_shop = SharedCrashShop(stack, http, http, client, stack_settings.crash_folder)
        deliveries = DeliveryFaults(client, random.Random(stack_settings.nats_nodes))
        yield FaultTools(stack, deliveries, stack_settings.crash_folder, made, small, shared_shop), RpcCaller(client)


async def _run_load_and_faults(
    options: RunOptions,
    load: LoadGenerator,
    injector: FaultInjector,
    verifications: dict[str, VerifyRun],
    console: Console,
) -> None:
    """Load and faults together, with a verification in between; ends with the last fault or by Ctrl-C."""
    load.started_at = time.monotonic()
    arrivals = [asyncio.create_task(arrival) for arrival in _arrivals(load)]
    middle = asyncio.create_task(_verify_in_between(options, injector.tools, verifications))
    watch = asyncio.create_task(_show_progress(load, injector, options, console))
    try:
        await asyncio.sleep(WARM_UP_SECONDS)
        await injector.run()
        await middle
    finally:
        await _cancel([*arrivals, middle, watch])
        await injector.clean_up()
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


async def _verify_in_between(options: RunOptions, tools: FaultTools, verifications: dict[str, VerifyRun]) -> None:
    """Verifies the shop in the fault-free middle: no false alarm. Work that is late then must be done by the end."""
    if options.seconds <= MIN_SECONDS_WITH_CALM:
        return
    await asyncio.sleep(WARM_UP_SECONDS + options.seconds / 2 - CALM_SECONDS / 4)
    verifications["in between"] = (await run_verify(tools.stack)).without_late_work.without_ids(
        tools.shop.unreadable_ids if tools.shop else ()
    )


async def _show_progress(load: LoadGenerator, injector: FaultInjector, options: RunOptions, console: Console) -> None:
    """Shows one line of progress."""
    with Live(console=console, refresh_per_second=2, transient=True) as live:
        while True:
            live.update(
                f"{load.seconds:5.0f} of {options.seconds:.0f} s   {load.recent_rate():5.1f} checkouts/s"
                f"   {len(load._tasks):4} customers   {', '.join(injector.active_names) or 'calm'}"
            )
            await asyncio.sleep(0.5)


async def _cancel(tasks: Iterable[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError):
            await task
