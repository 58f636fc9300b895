"""`make fuzz`: every route of a new shop, as an anonymous client, a guest, a customer and an administrator.

`python -m tests.fuzz --minutes 10 --seed 7`
"""

import argparse
import asyncio
import logging
import sys

from tests.fuzz.fuzz_run import fuzz_as_all_callers
from tests.fuzz.schemathesis import PHASES, FuzzBudget, FuzzResult


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="total time, shared by the callers (10)")
    parser.add_argument("--examples", type=int, default=2000, help="most examples per route (2000)")
    parser.add_argument("--phases", default=",".join(PHASES), help="phases of Schemathesis, separated by commas")
    parser.add_argument("--seed", type=int, help="repeat an earlier run")
    parser.add_argument(
        "--only", choices=("anonymous", "guest", "customer", "admin"), default="", help="run as this caller only"
    )
    arguments = parser.parse_args()
    phases = tuple(arguments.phases.split(","))
    budget = FuzzBudget(round(arguments.minutes * 60), arguments.examples, phases, arguments.seed)
    logging.disable(logging.WARNING)
    results = asyncio.run(fuzz_as_all_callers(budget, arguments.only, on_result=_print_result))
    raise SystemExit(any(result.code for result in results))


def _print_result(result: FuzzResult) -> None:
    sys.stdout.write(f"\n===== {result.caller.name}: {'findings' if result.code else 'clean'}\n{result.report}")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
