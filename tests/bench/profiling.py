"""`make profile SCENARIO=checkout`: where the CPU of one scenario goes.

Starts a private shop and applies the load twice: once to measure the CPU of every process, and once while py-spy
samples each Python process. Writes to build/profile/SCENARIO: `PROCESS.svg` is a flame graph for a browser, `cpu.md`
the CPU by process and the functions with the most samples.
"""

import argparse
import asyncio
import logging
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import uvloop
from rich.console import Console

from infra.ops.devstack.port_allocation import edge_processes, service_processes
from infra.ops.devstack.stack import Stack
from tests.bench import flame_graphs, process_usage
from tests.bench.full_run import measure_scenario, temporary_shop
from tests.bench.load_generator import run
from tests.bench.report import TableData, cpu_table, figure_table
from tests.bench.scenarios import BY_SHORT_NAME, Scenario

FOLDER = Path("build/profile")
FUNCTIONS_SHOWN = 20
OWN_CODE = re.compile(r"\((contracts|edge|infra|services)/")
BUSY_SHARE = 0.02
"""Processes below this share of all CPU get no flame graph."""


async def profile(scenario: Scenario, seconds: float, folder: Path) -> Sequence[TableData]:
    """Writes the flame graphs of a scenario; returns the tables."""
    folder.mkdir(parents=True, exist_ok=True)
    async with temporary_shop() as shop:
        await shop.stock_shop()
        measured, _ = await measure_scenario(shop, scenario, seconds)
        pids = _busy_python(shop.stack, measured.cpu_seconds)
        step = await scenario.make_step(shop)
        load = run(scenario.name, shop.stack.http_url, step, workers=scenario.workers, seconds=seconds + 1, warm_up=0)
        graphs, _ = await asyncio.gather(flame_graphs.record(pids, folder, seconds), load)
    functions = [table for name, path in graphs.items() for table in _function_tables(name, path.read_text())]
    return [figure_table([measured]), cpu_table([measured]), *functions]


def _busy_python(stack: Stack, cpu_seconds: Mapping[str, float]) -> dict[str, int]:
    """The pids of services and edges that the scenario keeps busy."""
    names: Iterable[str] = [*edge_processes(stack.settings), *service_processes(stack.settings)]
    least = BUSY_SHARE * sum(used for name, used in cpu_seconds.items() if name != process_usage.LOAD)
    return {name: pid for name in names if cpu_seconds[name] >= least and (pid := stack.processes[name].pid)}


def _function_tables(process: str, graph: str) -> Sequence[TableData]:
    shares = flame_graphs.function_shares(graph)
    packages = TableData(f"{process}: share of samples by package", ("package", "own %"))
    for package, own in flame_graphs.package_shares(shares).items():
        packages.rows.append((package, _percent(own)))
    functions = TableData(f"{process}: share of samples by function", ("function", "own %", "with calls %"))
    for share in shares[:FUNCTIONS_SHOWN]:
        functions.rows.append((share.function, _percent(share.own), _percent(share.total)))
    callers = TableData(f"{process}: Souk's functions with what they call", functions.columns)
    own_code = [share for share in shares if OWN_CODE.search(share.function)]
    for share in sorted(own_code, key=lambda share: -share.total)[:FUNCTIONS_SHOWN]:
        callers.rows.append((share.function, _percent(share.own), _percent(share.total)))
    return packages, functions, callers


def _percent(share: float) -> str:
    return f"{share * 100:.1f}"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    scenarios = "\n".join(f"  {short:10}{scenario.name}" for short, scenario in BY_SHORT_NAME.items())
    made = argparse.ArgumentParser(
        prog="make profile",
        description=__doc__,
        epilog=f"scenarios:\n{scenarios}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("scenario", choices=sorted(BY_SHORT_NAME), help="what the customers do")
    made.add_argument("--seconds", type=float, default=10.0, help="duration of each of the two loads (10)")
    made.add_argument("--folder", type=Path, help="where to write (build/profile/SCENARIO)")
    return made


def main(arguments: Sequence[str]) -> None:
    """Profiles one scenario and says where the result is."""
    options = parser().parse_args(arguments)
    folder = options.folder or FOLDER / options.scenario
    console = Console(highlight=False, width=150)
    tables = uvloop.run(profile(BY_SHORT_NAME[options.scenario], options.seconds, folder))
    for table in tables[:2]:
        console.print(table.to_rich())
    (folder / "cpu.md").write_text("\n".join(table.to_markdown() for table in tables))
    console.print(f"{folder}/ has the flame graphs, and in cpu.md the functions that use most.")


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    main(sys.argv[1:])
