"""`make fuzz`: every route of a shop of its own, as nobody, as a customer and as an administrator.

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
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--examples", type=int, default=2000, help="of each route, at the most")
    parser.add_argument("--phases", default=",".join(PHASES))
    parser.add_argument("--seed", type=int)
    parser.add_argument("--only", choices=("anonymous", "customer", "admin"), default="")
    said = parser.parse_args()
    effort = FuzzBudget(round(said.minutes * 60), said.examples, tuple(said.phases.split(",")), said.seed)
    logging.disable(logging.WARNING)
    found = asyncio.run(fuzz_as_all_callers(effort, said.only, on_result=_tell))
    raise SystemExit(any(outcome.code for outcome in found))


def _tell(outcome: FuzzResult) -> None:
    sys.stdout.write(f"\n===== {outcome.caller.name}: {'findings' if outcome.code else 'clean'}\n{outcome.report}")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
