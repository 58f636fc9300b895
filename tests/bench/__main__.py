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
from infra.ops.devstack.stack_settings import StackSettings
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
"""Requests per second that other platforms reach on this class of machine."""


async def main(seconds: float, chosen: str) -> None:
    console = Console(highlight=False, width=150)
    with tempfile.TemporaryDirectory(prefix="souk-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        options = StackSettings(_env_file=None, data=folder / "shop", nginx_limits=False, seed=False, **FREE_PORTS)
        started_at = time.monotonic()
        async with Stack(options).running() as stack:
            console.print(
                f"The shop is ready after {time.monotonic() - started_at:.1f} s; creating products and customers."
            )
            async with messaging.connect(stack.nats_url, "operator", stack.nats_password("operator")) as client:
                shop = BenchShop(stack, client)
                await shop.stock_shop()
                connection = await connect(stack.http_url)
                await shop.open_carts(connection, 32)
                results = await measure(shop, seconds, lambda running: _measure_cpu(stack, console, running), chosen)
                unpaid = await _unpaid(shop)
                echo = await limits.nats_limit(stack, seconds)
        limit_results = [
            await limits.aiohttp_limit(seconds),
            await limits.nginx_limit(seconds),
            echo,
            await limits.bcrypt_limit(BCRYPT_COST, seconds),
        ]
    _report(console, results, limit_results, unpaid)


async def _measure_cpu(stack: Stack, console: Console, running: Awaitable[BenchResult]) -> BenchResult:
    """Adds the CPU cores that each process used."""
    before, started_at = _cpu(stack), time.monotonic()
    result = await running
    seconds_taken = time.monotonic() - started_at
    after = _cpu(stack)
    result.cpu = {name: (after[name] - before.get(name, 0)) / seconds_taken for name in after}
    console.print(f"  {result.name}: {result.rate:,.0f}/s", style="dim")
    return result


def _cpu(stack: Stack) -> dict[str, float]:
    """CPU seconds so far of each process with its children; this process is `load`."""
    cpu_seconds = {"load": sum(psutil.Process().cpu_times()[:2])}
    for name, process in stack.processes.items():
        if process.pid:
            parent = psutil.Process(process.pid)
            family = [parent, *parent.children(recursive=True)]
            cpu_seconds[name] = sum(sum(member.cpu_times()[:2]) for member in family)
    return cpu_seconds


async def _unpaid(shop: BenchShop) -> int:
    """The number of orders of the run that stay unpaid."""
    async with asyncio.timeout(30):
        while shop.unpaid:  # noqa: ASYNC110 - what is on its way has ten seconds of its own
            await asyncio.sleep(0.1)
    return len(shop.unpaid)


def _report(console: Console, results: list[BenchResult], limit_results: list[BenchResult], unpaid: int) -> None:
    aiohttp_rate, bcrypt_rate = limit_results[0].rate, limit_results[3].rate
    machine = f"{os.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB, {platform.machine()}"
    console.print(f"\n[bold]Souk on {machine}, Python {platform.python_version()}[/bold]")
    ratios = Table(
        "Scenario", "Rate/s", "Of the limit", "Goal", "Other platforms", title="Ratios", title_justify="left"
    )
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
    for result in [*results, *limit_results]:
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
    if unpaid:
        console.print(f"[bold red]{unpaid} orders were not paid.[/bold red]")


def _goal(result: BenchResult, aiohttp_rate: float) -> str:
    goal = GOALS.get(result.name, RATIO_GOAL * aiohttp_rate if result.name in RATIO_SCENARIOS else 0.0)
    if not goal:
        return ""
    return f"{'reached' if result.rate >= goal and not result.errors else 'missed'}: {goal:,.0f}"


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--seconds", type=float, default=8.0, help="duration of each measurement (8)")
    parser.add_argument("--only", default="", help="only scenarios whose name contains this")
    arguments = parser.parse_args()
    uvloop.run(main(arguments.seconds, arguments.only))
