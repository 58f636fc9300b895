"""`make bench`: ratios first, then the figures, all from one run on one machine."""

import argparse
import asyncio
import logging
import os
import platform
import tempfile
import time
from collections.abc import Awaitable
from pathlib import Path

import psutil
import uvloop
from rich.console import Console
from rich.table import Table

from infra.messaging import connection as messaging
from infra.ops.devstack.stack import Stack
from infra.ops.devstack.stack_settings import Options
from tests.bench import machine_limits as limits
from tests.bench.load_generator import BenchResult, connect
from tests.bench.scenarios import BenchShop, measure
from tests.conftest import FREE_PORTS

BCRYPT_COST = 12
GOALS = {"add to cart": 1000.0, "checkout until paid": 200.0}
RATIO_SCENARIOS = ("product detail past the cache", "list of 20 past the cache")
RATIO_GOAL = 0.15
PEER_RATES = {
    "list of 20 past the cache": "Vendure 508, Medusa 37",
    "product detail past the cache": "Vendure 246, Medusa 74",
    "add to cart": "Vendure 72, Medusa 11",
    "checkout until paid": "Vendure 15, Medusa 2",
}
"""Requests a second that others reach on this class of machine."""


async def main(seconds: float, chosen: str) -> None:
    console = Console(highlight=False, width=150)
    with tempfile.TemporaryDirectory(prefix="souk-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        options = Options(_env_file=None, data=folder / "shop", nginx_limits=False, seed=False, **FREE_PORTS)
        begun = time.monotonic()
        async with Stack(options).running() as stack:
            console.print(f"The shop serves after {time.monotonic() - begun:.1f} s; now it is stocked.")
            async with messaging.connect(stack.nats_url, "operator", stack.password("operator")) as client:
                shop = BenchShop(stack, client)
                await shop.stock_shop()
                connection = await connect(stack.http_url)
                await shop.open_carts(connection, 32)
                results = await measure(shop, seconds, lambda running: _watched(stack, console, running), chosen)
                wrong = await _unpaid(shop)
                echo = await limits.nats_limit(stack, seconds)
        found = [
            await limits.aiohttp_limit(seconds),
            await limits.nginx_limit(seconds),
            echo,
            await limits.bcrypt_limit(BCRYPT_COST, seconds),
        ]
    _report(console, results, found, wrong)


async def _watched(stack: Stack, console: Console, running: Awaitable[BenchResult]) -> BenchResult:
    """Adds the share of a core that each process used."""
    before, begun = _cpu(stack), time.monotonic()
    result = await running
    took = time.monotonic() - begun
    after = _cpu(stack)
    result.cpu = {name: (after[name] - before.get(name, 0)) / took for name in after}
    console.print(f"  {result.name}: {result.rate:,.0f}/s", style="dim")
    return result


def _cpu(stack: Stack) -> dict[str, float]:
    """Seconds of CPU so far, by process with its children, and this one's as `load`."""
    found = {"load": sum(psutil.Process().cpu_times()[:2])}
    for name, process in stack.processes.items():
        if process.pid:
            parent = psutil.Process(process.pid)
            family = [parent, *parent.children(recursive=True)]
            found[name] = sum(sum(member.cpu_times()[:2]) for member in family)
    return found


async def _unpaid(shop: BenchShop) -> int:
    """Orders of the run that are not paid after all."""
    async with asyncio.timeout(30):
        while shop.unpaid:  # noqa: ASYNC110 - what is on its way has ten seconds of its own
            await asyncio.sleep(0.1)
    return len(shop.unpaid)


def _report(console: Console, results: list[BenchResult], found: list[BenchResult], wrong: int) -> None:
    aiohttp_rate, bcrypt_rate = found[0].rate, found[3].rate
    machine = f"{os.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB, {platform.machine()}"
    console.print(f"\n[bold]Souk on {machine}, Python {platform.python_version()}[/bold]")
    ratios = Table("Scenario", "Rate/s", "Of the limit", "Goal", "Others", title="Ratios", title_justify="left")
    for result in results:
        limit, of = (bcrypt_rate, "bcrypt") if result.name == "login" else (aiohttp_rate, "aiohttp")
        ratios.add_row(
            result.name,
            f"{result.rate:,.0f}",
            f"{result.rate / limit:.2f} of {of}",
            _goal(result, aiohttp_rate),
            PEER_RATES.get(result.name, ""),
        )
    console.print(ratios)
    figures = Table(
        "What", "Rate/s", "p50 ms", "p99 ms", "Errors", "CPU (cores)", title="Figures", title_justify="left"
    )
    for result in [*results, *found]:
        busiest = sorted(result.cpu.items(), key=lambda item: -item[1])
        figures.add_row(
            result.name,
            f"{result.rate:,.0f}",
            f"{result.percentile(0.5) * 1000:.1f}",
            f"{result.percentile(0.99) * 1000:.1f}",
            str(result.errors),
            ", ".join(f"{name} {share:.2f}" for name, share in busiest if share > 0.01),
        )
    console.print(figures)
    if wrong:
        console.print(f"[bold red]{wrong} orders were not paid.[/bold red]")


def _goal(result: BenchResult, aiohttp_rate: float) -> str:
    goal = GOALS.get(result.name, RATIO_GOAL * aiohttp_rate if result.name in RATIO_SCENARIOS else 0.0)
    if not goal:
        return ""
    return f"{'reached' if result.rate >= goal and not result.errors else 'missed'}: {goal:,.0f}"


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement (8)")
    parser.add_argument("--only", default="", help="only scenarios whose name has this in it")
    given = parser.parse_args()
    uvloop.run(main(given.seconds, given.only))
