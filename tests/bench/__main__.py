"""`make bench`: what the shop does on this machine, beside what is required of it.

Without arguments, all rows of the table are measured in one run (four minutes), with the limits of the machine before
and after. Rates are required of a machine that serves 30,000 requests per second of bare aiohttp, and scaled to this
one. With --products or --orders, reads are compared at a small and at a large size instead.
"""

import argparse
import logging
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson
import psutil
import uvloop
from rich.console import Console

from infra.ops.devstack.errors import StackError
from tests.bench.full_run import FullRun
from tests.bench.growth import SMALL_CATALOG, SMALL_ORDERS, Growth, measure_orders, measure_products
from tests.bench.report import TableData, cpu_table, figure_table, pss_table, requirement_table

EXAMPLES = """
examples:
  make bench
  make bench ARGS="--only checkout --seconds 4"
  make bench ARGS="--require --json build/bench.json --markdown build/bench.md"
  make bench ARGS="--products 100000"
  make bench ARGS="--orders 1000000"
"""
SUBJECTS = {"catalogue": ("products", 100_000), "orders": ("orders", 1_000_000)}
SECONDS, GROWTH_SECONDS = 8.0, 3.0


@dataclass
class Report:
    """What a run prints and writes."""

    tables: Sequence[TableData]
    data: Mapping[str, Any]
    missed: Sequence[str]
    notes: Sequence[str] = field(default_factory=tuple)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="make bench",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument(
        "subject", nargs="?", choices=sorted(SUBJECTS), help="short for --products 100000, --orders 1000000"
    )
    made.add_argument("--seconds", type=float, help=f"duration of each measurement ({SECONDS:.0f}; growth 3)")
    made.add_argument("--only", default="", metavar="NAME", help="only rows whose name contains this")
    made.add_argument("--products", type=int, metavar="N", help="growth of the catalog's reads to N products")
    made.add_argument("--orders", type=int, metavar="N", help="growth of order lists to N orders")
    made.add_argument("--require", action="store_true", help="exit with 1 if a requirement is missed")
    made.add_argument("--json", type=Path, metavar="FILE", help="also write all figures as JSON")
    made.add_argument("--markdown", type=Path, metavar="FILE", help="also write the tables as Markdown")
    return made


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parses the command line; a subject stands for its size."""
    made = parser()
    options = made.parse_args(arguments)
    if options.subject:
        name, size = SUBJECTS[options.subject]
        if getattr(options, name) is None:
            setattr(options, name, size)
    if options.products is not None and options.products <= SMALL_CATALOG:
        made.error(f"--products must be more than {SMALL_CATALOG}, the small size")
    if options.orders is not None and options.orders <= SMALL_ORDERS:
        made.error(f"--orders must be more than {SMALL_ORDERS}, the small size")
    return options


async def measure(options: argparse.Namespace, console: Console) -> Report:
    """Runs what the options ask for."""

    def show(line: str) -> None:
        console.print(line, style="dim")

    seconds = options.seconds or GROWTH_SECONDS
    if options.products is None and options.orders is None:
        run = FullRun(options.seconds or SECONDS, show)
        await run.measure(options.only)
        return report_full_run(run)
    grown = []
    if options.products is not None:
        grown.append(await measure_products(options.products, seconds, options.only, show))
    if options.orders is not None:
        grown.append(await measure_orders(options.orders, seconds, options.only, show))
    return report_growth(grown)


def report_full_run(run: FullRun) -> Report:
    """The tables of the rows, the CPU and the machine."""
    rows, results = run.rows(), [result for _, result in run.results]
    return Report(
        tables=[
            requirement_table(rows),
            cpu_table(results),
            figure_table([*results, *run.aiohttp, *run.limits]),
            pss_table(run.pss),
        ],
        data={
            "rows": [
                {
                    **asdict(row),
                    "required": row.required,
                    "hoped": row.hoped,
                    "ratio": row.ratio,
                    "missed": row.is_missed,
                }
                for row in rows
            ],
            "results": [result.summary() for result in [*results, *run.aiohttp, *run.limits]],
            "pss": run.pss,
            "aiohttp_rate": run.aiohttp_rate,
            "notes": run.notes,
        },
        missed=[row.name for row in rows if row.is_missed],
        notes=run.notes,
    )


def report_growth(grown: Sequence[Growth]) -> Report:
    """The tables of both sizes."""
    return Report(
        tables=[growth.table() for growth in grown],
        data={
            growth.what: {name: [small.summary(), large.summary()] for name, (small, large) in growth.results.items()}
            for growth in grown
        },
        missed=[name for growth in grown for name in growth.missed],
    )


def machine() -> str:
    """The machine in a line."""
    memory = psutil.virtual_memory().total / 2**30
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.machine()}, Python {platform.python_version()}"


def main(arguments: Sequence[str]) -> int:
    """Measures, prints and writes; returns the exit code."""
    options = parse(arguments)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 170)
    try:
        report = uvloop.run(measure(options, console))
    except StackError as error:
        console.print(*error.details, error.message, sep="\n")
        return 1
    console.print(f"\n[bold]Souk on {machine()}[/bold]")
    for table in report.tables:
        console.print(table.to_rich())
    for note in report.notes:
        console.print(f"[bold red]{note}[/bold red]")
    if report.missed:
        console.print(f"Missed: {', '.join(report.missed)}.")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_bytes(orjson.dumps({"machine": machine(), **report.data}, option=orjson.OPT_INDENT_2))
    if options.markdown:
        options.markdown.parent.mkdir(parents=True, exist_ok=True)
        text = "\n".join([f"Souk on {machine()}\n", *(table.to_markdown() for table in report.tables)])
        options.markdown.write_text(text)
    return exit_code(report, require=options.require)


def exit_code(report: Report, *, require: bool) -> int:
    """A missed requirement fails the command only if it is asked to."""
    return 1 if require and report.missed else 0


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    sys.exit(main(sys.argv[1:]))
