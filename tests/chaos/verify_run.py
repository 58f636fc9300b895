"""The audit of a run: `souk audit` as an operator calls it, and the views in which the stores tell of themselves."""

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
"""Seconds in which an audit that could not look, since something was away, is tried again."""
RETRY_PAUSE_SECONDS = 2.0
LATE_WORK_INVARIANT = 2
"""The law that everything comes to its end, or waits on something that has a deadline."""

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
        },
    }
)
"""Law and statement of what must find nothing."""


@dataclass(frozen=True)
class VerifyRun:
    """What an audit has found: law and what, one a violation."""

    violations: list[tuple[int, str]]
    seconds: float
    error: str = ""
    """Why there is no audit."""
    late_checks: Counter[str] = field(default_factory=Counter)
    """What only waits for longer than it should, by the check that says so: no violation while things go wrong."""

    @property
    def without_late_work(self) -> "VerifyRun":
        """The same, taken while things go wrong: whatever waits for what is away (law 2) is late, and rightly so."""
        late = Counter(what.partition(" ")[0] for law, what in self.violations if law == LATE_WORK_INVARIANT)
        return replace(self, violations=[one for one in self.violations if one[0] != LATE_WORK_INVARIANT], waiting=late)

    def without_ids(self, known: Iterable[str]) -> "VerifyRun":
        """Without what it says of these ids: the run itself has planted it, and it was found."""
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
    """Runs the command; again where what has just gone wrong was still in its way."""
    tries = AsyncRetrying(
        retry=retry_if_result(lambda found: found.error),
        stop=stop_after_delay(RETRY_SECONDS),
        wait=wait_fixed(RETRY_PAUSE_SECONDS),
        retry_error_callback=lambda tried: tried.outcome.result() if tried.outcome else None,
    )
    found: VerifyRun = await tries(_once, stack)
    return found


async def _once(stack: Stack) -> VerifyRun:
    """The command as a process of its own."""
    begun = time.monotonic()
    command = (sys.executable, "-m", "infra.ops.cli.app", "audit", "--data", str(stack.layout.data), "--json")
    child = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(VERIFY_TIMEOUT_SECONDS):
            said, complaint = await child.communicate()
    except TimeoutError:
        child.kill()
        return VerifyRun([], time.monotonic() - begun, f"no audit within {VERIFY_TIMEOUT_SECONDS:.0f} s")
    seconds = time.monotonic() - begun
    try:
        told = orjson.loads(said)
    except ValueError:
        last = (complaint or said).decode(errors="replace").strip().splitlines()[-1:]
        return VerifyRun([], seconds, last[0] if last else "it said nothing")
    return VerifyRun([_violation(one) for one in told["violations"]], seconds)


def _violation(told: Any) -> tuple[int, str]:
    return int(told["law"]), f"{told['check']} {told.get('ids', '')}: {told.get('detail', '')}"
