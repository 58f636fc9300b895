"""All rows of the table from one run: the shop's figures, and the limits of the machine before and after them."""

import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from infra.ops.devstack.stack_settings import StackSettings
from tests.bench import machine_limits as limits
from tests.bench import process_usage
from tests.bench.customers import BCRYPT_COST
from tests.bench.load_generator import BenchResult, run
from tests.bench.mail_queue import MailQueue
from tests.bench.requirements import Requirement, Row, at_most
from tests.bench.scenarios import CHECKOUT, SCENARIOS, Scenario
from tests.bench.stocked_shop import BenchShop, running_shop
from tests.conftest import FREE_PORTS

DRAIN_SECONDS = 5.0
"""How long after the checkouts their events and mails may still be processed."""
STEADY = 0.85
"""How much bare aiohttp may slow down between both measurements on a machine with nothing else to do."""
MAILS_SENT = Requirement(1.0, unit="")
MAIL_CPU = at_most(0.15)
PSS = at_most(400, 300, "MiB")
PSS_OF_SERVERS = at_most(0, unit="MiB")
COLD_START = at_most(4, 2.5, "s")

Show = Callable[[str], None]
"""Shows a line of progress."""


@dataclass
class FullRun:
    """The figures of one run."""

    seconds: float
    show: Show
    results: list[tuple[Scenario, BenchResult]] = field(default_factory=list)
    others: list[tuple[str, float, Requirement]] = field(default_factory=list)
    """Figures that are not a scenario's."""
    aiohttp: list[BenchResult] = field(default_factory=list)
    limits: list[BenchResult] = field(default_factory=list)
    pss: dict[str, float] = field(default_factory=dict)
    unpaid: int = 0

    async def measure(self, chosen: str) -> None:
        """Measures the scenarios whose name contains `chosen`."""
        await self._measure_aiohttp()
        started_at = time.monotonic()
        async with temporary_shop() as shop:
            cold_start = time.monotonic() - started_at
            self.show(f"The shop is ready after {cold_start:.1f} s. Creating products and customers ...")
            await shop.stock_shop()
            for scenario in SCENARIOS:
                if chosen in scenario.name:
                    await self._measure_scenario(shop, scenario)
            self.unpaid = await shop.wait_until_paid()
            self.limits.append(await limits.nats_limit(shop.stack, self.seconds / 2))
        self.others += [
            ("services and edge after load, PSS", sum(process_usage.of_souk(self.pss).values()), PSS),
            ("with all servers", sum(process_usage.of_the_shop(self.pss).values()), PSS_OF_SERVERS),
            ("cold start until ready", cold_start, COLD_START),
        ]
        self.limits.append(await limits.nginx_limit(self.seconds / 2))
        self.limits.append(await limits.bcrypt_limit(BCRYPT_COST, self.seconds / 2))
        await self._measure_aiohttp()

    async def _measure_aiohttp(self) -> None:
        result = await limits.aiohttp_limit(self.seconds / 2)
        result.name += ", after" if self.aiohttp else ", before"
        self.aiohttp.append(result)
        self.show(f"{result.name}: {result.rate:,.0f}/s")

    async def _measure_scenario(self, shop: BenchShop, scenario: Scenario) -> None:
        result, mails = await measure_scenario(shop, scenario, self.seconds)
        self.results.append((scenario, result))
        if not shop.many_keys:  # products that only one scenario needs do not count
            self.pss = process_usage.pss_mebibytes(shop.stack)
        if scenario.name == CHECKOUT:
            self.others.append(("mails sent of those due", mails.sent_share, MAILS_SENT))
            self.others.append(("mails: share of a checkout's CPU", mail_share(result), MAIL_CPU))
            self.show(f"mails: {mails.due:,} due, {mails.sent:,} sent")
        self.show(f"{scenario.name}: {scenario.requirement.format(scenario.figure(result))}, {result.errors} errors")

    @property
    def aiohttp_rate(self) -> float:
        """Bare aiohttp per second: the mean of both measurements."""
        return sum(result.rate for result in self.aiohttp) / len(self.aiohttp)

    @property
    def notes(self) -> Sequence[str]:
        """What makes the run worth less."""
        slow, fast = sorted(result.rate for result in self.aiohttp)
        noisy = f"Bare aiohttp changed from {slow:,.0f} to {fast:,.0f}/s or back: other programs disturbed the run."
        notes = [noisy] if slow < STEADY * fast else []
        return notes + ([f"{self.unpaid} orders were not paid."] if self.unpaid else [])

    def rows(self) -> Sequence[Row]:
        """Every figure beside its requirement."""
        rate = self.aiohttp_rate
        return [
            *(Row(s.name, s.figure(result), s.requirement, rate, result.errors) for s, result in self.results),
            *(Row(name, figure, requirement, rate) for name, figure, requirement in self.others),
        ]


async def measure_scenario(shop: BenchShop, scenario: Scenario, seconds: float) -> tuple[BenchResult, MailQueue]:
    """Measures a scenario. Its CPU includes the mails that it causes, as long as they are sent soon afterwards."""
    step = await scenario.make_step(shop)
    mails = MailQueue(shop.stack)
    await mails.start()
    result = await run(
        scenario.name,
        shop.stack.http_url,
        step,
        workers=scenario.workers,
        seconds=seconds,
        settle=lambda: mails.drain(DRAIN_SECONDS),
        read_cpu=lambda: process_usage.cpu_seconds(shop.stack),
    )
    return result, mails


def mail_share(checkout: BenchResult) -> float:
    """The share of a checkout's CPU that notification uses."""
    used = process_usage.of_the_shop(checkout.cpu_seconds)
    return used.get("notification", 0.0) / sum(used.values()) if used else 0.0


@asynccontextmanager
async def temporary_shop() -> AsyncIterator[BenchShop]:
    """A shop of its own on free ports, without rate limits, which is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="souk-bench-") as name:
        Path(name).chmod(0o711)
        settings = StackSettings(_env_file=None, data=Path(name) / "shop", nginx_limits=False, seed=False, **FREE_PORTS)
        async with running_shop(settings) as shop:
            yield shop
