"""Takes each safeguard away, one at a time, and sees that a test notices: `make safeguards`.

A safeguard is a few words of the code. They are replaced in a copy of the project, and the tests that are there for it
run against that copy: a test has to fail. A suite that stays green without a safeguard would not have shown anything.
"""

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.mutation.access_safeguards import ACCESS_SAFEGUARDS
from tests.mutation.safeguard import Safeguard

ROOT = Path(__file__).resolve().parents[2]
TEST_TIMEOUT_SECONDS = 300.0


SAFEGUARDS = (
    Safeguard(
        "the inbox: an event that comes twice is applied twice",
        "infra/database/postgres.py",
        "if delivery.event_id in new:\n                    new.remove(delivery.event_id)",
        "if True:\n                    new.discard(delivery.event_id)",
        ("tests/infra/messaging/test_consumer.py::test_the_same_event_has_its_effect_once",),
    ),
    Safeguard(
        "the hold's transaction: stock is looked at without a lock",
        "services/catalog/migrations/0003_holds.up.sql",
        "PERFORM 1 FROM stock s WHERE s.sku = ANY (asked_skus) ORDER BY s.sku FOR UPDATE;",
        "",
        ("tests/services/catalog/test_holds.py::test_a_hundred_want_the_last_ten",),
    ),
    Safeguard(
        "the hold's transaction: what is short is left out, the other lines are held",
        "services/catalog/migrations/0003_holds.up.sql",
        "ELSIF short IS NOT NULL THEN",
        "ELSIF short IS NOT NULL AND json_array_length(json_build_array(short)) = 0 THEN",
        ("tests/services/catalog/test_holds.py::test_every_line_or_none",),
    ),
    Safeguard(
        "the idempotency row: an answer is not kept with its effect",
        "infra/database/postgres.py",
        "    if key is None:\n        if tx.events:",
        "    if True:\n        if tx.events:",
        (
            "tests/infra/messaging/test_rpc_server.py::test_twenty_first_ones_at_once_are_one",
            "tests/services/payment/test_charge.py::test_one_key_makes_one_payment_and_one_answer",
        ),
    ),
    Safeguard(
        "the chain's lock: two acts at once have the same one before them",
        "infra/database/audit_log.py",
        "    await connection.execute(_LINE_UP, LOCK)\n",
        "",
        ("tests/infra/database/test_audit_log.py::test_fifty_at_once_make_one_chain",),
    ),
    Safeguard(
        "the drain: a process that is told to stop does not finish what it has",
        "infra/runtime/service.py",
        "            await self._drain()\n",
        "",
        ("tests/infra/messaging/test_rpc_server.py::test_a_stop_finishes_what_is_at_work",),
    ),
    Safeguard(
        "the relay's leader lock: every replica publishes",
        "infra/database/outbox.py",
        "if not await connection.fetchval(_TRY_LOCK, LOCK):",
        "if not await connection.fetchval('SELECT $1::int IS NOT NULL', LOCK):",
        ("tests/infra/database/test_outbox.py::test_only_the_holder_of_the_lock_publishes",),
    ),
    Safeguard(
        "the late-capture refund: what is captured for a cancelled order is kept",
        "services/payment/domain/payments.py",
        "refund=payment.left if payment.cancelled else 0)",
        "refund=0)",
        (
            "tests/services/payment/test_cancelled_orders.py::test_a_late_capture_of_a_cancelled_order_is_said_and_goes_back",
        ),
    ),
    Safeguard(
        "the outbox: an event is said beside the transaction, not in it",
        "infra/database/outbox.py",
        '    """Writes the events on the caller\'s connection, in the caller\'s transaction."""\n',
        "    return\n",
        ("tests/infra/database/test_outbox.py::test_leaves_in_order_from_whichever_replica",),
    ),
    Safeguard(
        "the gateway's idempotency key: each try is a charge of its own",
        "services/payment/workers/charge.py",
        "key, money = attempt.payment_id, attempt.money",
        "key, money = new_id(), attempt.money",
        ("tests/services/payment/test_charge.py::test_a_gateway_that_does_not_tell_is_asked_again_under_the_same_key",),
    ),
    Safeguard(
        "a hold named by what is ordered: each try holds stock of its own",
        "services/order/handlers/place.py",
        'return uuid5(_HOLDS, f"cart {source.cart_id} {source.version}")',
        "return new_id()",
        ("tests/services/order/test_idempotency.py::test_who_tries_again_after_a_crash_finds_the_hold_again",),
    ),
    Safeguard(
        "one payment an order: the bill's row lets everybody through",
        "services/payment/store/payments.py",
        "WHERE $10 AND NOT bill.cancelled",
        "WHERE $10 OR NOT bill.cancelled OR true",
        ("tests/services/payment/test_charge.py::test_an_order_is_paid_once_however_many_ask",),
    ),
    Safeguard(
        "a cart's line knows since when it is there: an order that is heard of late takes what was put in anew",
        "services/cart/domain/carts.py",
        "if line.since <= version else line",
        "if version else line",
        ("tests/services/cart/test_events.py::test_a_line_that_was_put_in_anew_is_not_what_was_ordered",),
    ),
    *ACCESS_SAFEGUARDS,
)


@dataclass(frozen=True, slots=True)
class MutationResult:
    """What the tests said without the safeguard."""

    safeguard: Safeguard
    noticed: bool
    last_line: str


async def run_without(safeguard: Safeguard) -> MutationResult:
    """Runs its tests against a copy of the project that lacks it."""
    with tempfile.TemporaryDirectory(prefix="souk-safeguard-") as folder:
        copy = Path(folder) / "souk"
        await asyncio.to_thread(_copy, copy)
        await asyncio.to_thread(_take_away, safeguard, copy)
        words = await _tests_in(copy, safeguard.tests)
    return MutationResult(safeguard, words.startswith("FAILED"), words)


def _copy(to: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],  # noqa: S607 - whichever git there is
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    for name in listed.stdout.splitlines():
        source, target = ROOT / name, to / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


def _take_away(safeguard: Safeguard, copy: Path) -> None:
    path = copy / safeguard.file
    path.write_text(path.read_text().replace(safeguard.code, safeguard.replacement))


async def _tests_in(copy: Path, tests: tuple[str, ...]) -> str:
    """The last words of pytest: which test failed, that none did, or that they could not run (an ERROR)."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests,
        cwd=copy, env={**os.environ, "PYTHONPATH": str(copy)},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        output, _ = await asyncio.wait_for(process.communicate(), TEST_TIMEOUT_SECONDS)
    except TimeoutError:
        process.kill()
        return f"FAILED to end within {TEST_TIMEOUT_SECONDS:.0f} s"
    lines = output.decode().strip().splitlines()
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    return (failed or lines or ["nothing"])[-1]


async def main(only: str, markdown: Path | None) -> int:
    console = Console()
    chosen = [one for one in SAFEGUARDS if only in one.name]
    tried: list[MutationResult] = []
    for number, safeguard in enumerate(chosen, 1):
        console.print(f"[dim]{number}/{len(chosen)}[/] without {safeguard.name} ...")
        tried.append(await run_without(safeguard))
    table = Table("taken away", "noticed", "by", title="Safeguards")
    for one in tried:
        table.add_row(one.safeguard.name, "yes" if one.noticed else "[red]NO[/]", one.last_line[:110])
    console.print(table)
    if markdown:
        markdown.write_text(_told(tried))
    return 0 if all(one.noticed for one in tried) else 1


def _told(tried: list[MutationResult]) -> str:
    rows = []
    for one in tried:
        tests = ", ".join(f"`{test.rpartition('::')[2]}`" for test in one.safeguard.tests)
        noticed = "yes" if one.noticed else "NO"
        rows.append(f"| {one.safeguard.name} | `{one.safeguard.file}` | {noticed} | {tests} |")
    return "\n".join(["| taken away | in | noticed | by |", "|---|---|---|---|", *rows]) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="those whose name has this in it")
    parser.add_argument("--report", type=Path, help="write the table as Markdown to this file")
    arguments = parser.parse_args()
    raise SystemExit(asyncio.run(main(arguments.only, arguments.report)))
