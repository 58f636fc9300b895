"""`make faults`: the shop under load and faults, by a schedule drawn from a seed; then every invariant is checked."""

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
from tests.chaos.overload_and_restart_measurements import measure_without_faults
from tests.chaos.report import print_report, to_markdown
from tests.chaos.run import DEFAULT_RATE, RunOptions, RunResult, run_faults

SECONDS, SHORT_SECONDS = 500.0, 150.0


def stack_settings() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--seed", type=int, help="repeat the schedule of an earlier run (default: a new one)")
    parser.add_argument("--nats-nodes", type=int, default=1, choices=(1, 3))
    parser.add_argument("--short", action="store_true", help="inject each fault once, in less than 4 minutes")
    parser.add_argument("--minutes", type=float, help="minutes of load and faults")
    parser.add_argument("--times", type=int, help=f"how often each fault occurs ({DEFAULT_REPEATS})")
    parser.add_argument("--rate", type=float, default=DEFAULT_RATE, help=f"checkouts per second ({DEFAULT_RATE:.0f})")
    parser.add_argument(
        "--only",
        default="",
        help="only these kinds of faults, separated by commas: " + ", ".join(k.name for k in FaultKind),
    )
    parser.add_argument("--no-figures", action="store_true", help="skip the overload and rolling restart measurements")
    parser.add_argument("--report", type=Path, help="write the tables as Markdown to this file")
    return parser.parse_args()


def options(arguments: argparse.Namespace) -> RunOptions:
    return RunOptions(
        seed=secrets.randbelow(1_000_000) if arguments.seed is None else arguments.seed,
        nats_nodes=arguments.nats_nodes,
        seconds=arguments.minutes * 60 if arguments.minutes else SHORT_SECONDS if arguments.short else SECONDS,
        repeats=arguments.times or (1 if arguments.short else DEFAULT_REPEATS),
        rate=arguments.rate,
        only=tuple(FaultKind[name.strip().upper()] for name in arguments.only.split(",") if name.strip()),
    )


async def main() -> bool:
    console = Console(highlight=False, width=170)
    arguments = stack_settings()
    what = options(arguments)
    folder = Path(tempfile.mkdtemp(prefix="souk-faults-"))
    folder.chmod(0o711)
    console.print(f"[bold]Seed {what.seed}[/bold], NATS nodes: {what.nats_nodes}. Data in {folder}")
    result: RunResult | None = None
    try:
        result = await run_faults(what, folder / "shop", console)
        if not (arguments.short or arguments.only or arguments.no_figures):
            await measure_without_faults(result, folder / "figures", console)
        print_report(result, console)
        if arguments.report:
            arguments.report.write_text(to_markdown(result))
    finally:
        if result is not None and result.is_clean:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            console.print(f"Data and logs are in {folder}. Repeat with --seed {what.seed}.")
    return result.is_clean


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    sys.exit(not asyncio.run(main()))
