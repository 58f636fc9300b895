"""`make faults`: the shop under load and under faults, by a schedule drawn from a seed; then every law is checked."""

import argparse
import asyncio
import logging
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

import uvloop
from rich.console import Console

from tests.chaos.fault_schedule import DEFAULT_REPEATS, FaultKind
from tests.chaos.measurements import measure_without_faults
from tests.chaos.report import print_report, to_markdown
from tests.chaos.run import DEFAULT_RATE, RunOptions, RunResult, run_faults

SECONDS, SHORT_SECONDS = 500.0, 150.0


def given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--seed", type=int, help="repeats the schedule of a run; a new one each time by default")
    parser.add_argument("--nats-nodes", type=int, default=1, choices=(1, 3))
    parser.add_argument("--short", action="store_true", help="each fault once, in less than 4 minutes")
    parser.add_argument("--minutes", type=float, help="of load and faults")
    parser.add_argument("--times", type=int, help=f"how often each fault comes ({DEFAULT_REPEATS})")
    parser.add_argument(
        "--rate", type=float, default=DEFAULT_RATE, help=f"checkouts that begin every second ({DEFAULT_RATE:.0f})"
    )
    parser.add_argument(
        "--only", default="", help="kinds of faults, by commas: " + ", ".join(k.name for k in FaultKind)
    )
    parser.add_argument("--no-figures", action="store_true", help="neither overload nor rolling restarts at the end")
    parser.add_argument("--report", type=Path, help="a file that the tables are written to as Markdown")
    return parser.parse_args()


def wanted(asked: argparse.Namespace) -> RunOptions:
    return RunOptions(
        seed=secrets.randbelow(1_000_000) if asked.seed is None else asked.seed,
        nats_nodes=asked.nats_nodes,
        seconds=asked.minutes * 60 if asked.minutes else SHORT_SECONDS if asked.short else SECONDS,
        repeats=asked.times or (1 if asked.short else DEFAULT_REPEATS),
        rate=asked.rate,
        only=tuple(FaultKind[name.strip().upper()] for name in asked.only.split(",") if name.strip()),
    )


async def main() -> bool:
    console = Console(highlight=False, width=170)
    asked = given()
    what = wanted(asked)
    folder = Path(tempfile.mkdtemp(prefix="souk-faults-"))
    folder.chmod(0o711)
    console.print(f"[bold]Seed {what.seed}[/bold], NATS nodes: {what.nats_nodes}. Data in {folder}")
    outcome: RunResult | None = None
    try:
        outcome = await run_faults(what, folder / "shop", console)
        if not (asked.short or asked.only or asked.no_figures):
            await measure_without_faults(outcome, folder / "figures", console)
        print_report(outcome, console)
        if asked.report:
            asked.report.write_text(to_markdown(outcome))
    finally:
        if outcome is not None and outcome.is_clean:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            console.print(f"What it was like is kept in {folder}. Repeat with --seed {what.seed}.")
    return outcome.is_clean


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    sys.exit(not asyncio.run(main()))
