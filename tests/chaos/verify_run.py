"""Runs `souk verify` as an operator does, and the views in which stores check themselves."""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import asyncpg
import orjson
from tenacity import AsyncRetrying, retry_if_result, stop_after_delay, wait_fixed

from infra.ops.devstack.stack import Stack

VERIFY_TIMEOUT_SECONDS = 120.0
RETRY_SECONDS = 600.0
"""How long a verification is repeated that could not run because a server was down."""
RETRY_PAUSE_SECONDS = 2.0
LATE_WORK_INVARIANT = 2
"""The invariant that every order ends or waits for something with a deadline."""

STORE_VIEWS: Mapping[str, Mapping[str, tuple[int, str]]] = MappingProxyType(
    {
        "catalog": {
            "stock out of balance": (1, "SELECT sku FROM stock_out_of_balance"),
            "stock below nothing": (1, "SELECT sku FROM stock WHERE NOT (0 <= reserved AND reserved <= on_hand)"),
        },
        "payment": {
            "ledger does not balance": (4, "SELECT currency FROM ledger_balance WHERE balance <> 0"),
            "ledger and payments differ": (4, "SELECT payment_id FROM ledger_disagreement"),
            "refunds exceed the payment": (3, "SELECT id FROM payment WHERE refunded > amount"),
            "gift cards and ledger differ": (4, "SELECT gift_card_id FROM gift_card_disagreement"),
        },
    }
)
"""Invariant and query of each view, which must return no row."""


@dataclass(frozen=True)
class VerifyRun:
    """The result of a verification: one entry of invariant and description per violation."""

    violations: list[tuple[int, str]]
    seconds: float
    error: str = ""
    """Why the verification failed to run."""
    late_checks: Counter[str] = field(default_factory=Counter)
    """Late work, by check: no violation during faults."""

    @property
    def without_late_work(self) -> "VerifyRun":
        """The same result during faults: work that waits for a failed server (invariant 2) is rightly late."""
        late = Counter(what.partition(" ")[0] for law, what in self.violations if law == LATE_WORK_INVARIANT)
        return replace(
            self, violations=[one for one in self.violations if one[0] != LATE_WORK_INVARIANT], late_checks=late
        )

    def without_ids(self, known: Iterable[str]) -> "VerifyRun":
        """Without violations about these ids, which the run itself has caused."""
        ids = tuple(known)
        return replace(self, violations=[one for one in self.violations if not any(id_ in one[1] for id_ in ids)])

    def __str__(self) -> str:
        late = "".join(f", {count} times {check}" for check, count in self.late_checks.most_common())
        return self.error or f"{len(self.violations)} violations in {self.seconds:.1f} s{late}"


async def check_store_views(stack: Stack) -> list[tuple[int, str]]:
    found = []
    for service, checks in STORE_VIEWS.items():
        connection = await asyncpg.connect(stack.dsn(service))
        try:
            for name, (law, statement) in checks.items():
                rows = await connection.fetch(statement)
                found += [(law, f"{name}: {row[0]}") for row in rows]
        finally:
            await connection.close()
    return found


async def run_verify(stack: Stack) -> VerifyRun:
    """Runs the command, again if a fault prevented it."""
    tries = AsyncRetrying(
        retry=retry_if_result(lambda found: found.error),
        stop=stop_after_delay(RETRY_SECONDS),
        wait=wait_fixed(RETRY_PAUSE_SECONDS),
        retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
    )
    found: VerifyRun = await tries(_run_once, stack)
    return found


async def _run_once(stack: Stack) -> VerifyRun:
    """Runs the command once, as a process."""
    started_at = time.monotonic()
    command = (sys.executable, "-m", "infra.ops.cli.app", "verify", "--data", str(stack.data_dir.path), "--json")
    child = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(VERIFY_TIMEOUT_SECONDS):
            stdout, stderr = await child.communicate()
    except TimeoutError:
        child.kill()
        return VerifyRun([], time.monotonic() - started_at, f"no verification within {VERIFY_TIMEOUT_SECONDS:.0f} s")
    seconds = time.monotonic() - started_at
    try:
        output = orjson.loads(stdout)
    except ValueError:
        last = (stderr or stdout).decode(errors="replace").strip().splitlines()[-1:]
        return VerifyRun([], seconds, last[0] if last else "it printed nothing")
    return VerifyRun([_violation(one) for one in output["violations"]], seconds)


def _violation(output: Any) -> tuple[int, str]:
    return int(output["law"]), f"{output['check']} {output.get('ids', '')}: {output.get('detail', '')}"
