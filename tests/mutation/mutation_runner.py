"""Removes each safeguard, one at a time, and checks that a test fails: `make safeguards`.

A safeguard is a few words of code. They are replaced in a copy of the project, and the tests that protect them run on
that copy. A suite that passes without a safeguard would not show that the safeguard works.
"""

import argparse
import asyncio
import compileall
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tests.mutation.access_safeguards import ACCESS_SAFEGUARDS
from tests.mutation.account_safeguards import ACCOUNT_SAFEGUARDS
from tests.mutation.cart_safeguards import CART_SAFEGUARDS
from tests.mutation.coupon_safeguards import COUPON_SAFEGUARDS
from tests.mutation.decline_safeguards import DECLINE_SAFEGUARDS
from tests.mutation.etag_query_and_search_safeguards import QUERY_SAFEGUARDS
from tests.mutation.event_stream_safeguards import EVENT_STREAM_SAFEGUARDS
from tests.mutation.export_safeguards import EXPORT_SAFEGUARDS
from tests.mutation.fulfilment_safeguards import FULFILMENT_SAFEGUARDS
from tests.mutation.gift_card_safeguards import GIFT_CARD_SAFEGUARDS
from tests.mutation.guest_order_safeguards import GUEST_ORDER_SAFEGUARDS
from tests.mutation.guest_safeguards import GUEST_SAFEGUARDS
from tests.mutation.import_safeguards import IMPORT_SAFEGUARDS
from tests.mutation.invoice_safeguards import INVOICE_SAFEGUARDS
from tests.mutation.mail_safeguards import MAIL_SAFEGUARDS
from tests.mutation.nats_permission_safeguards import MESSAGING_SAFEGUARDS
from tests.mutation.price_plan_safeguards import PRICE_PLAN_SAFEGUARDS
from tests.mutation.pricing_safeguards import PRICING_SAFEGUARDS
from tests.mutation.process_isolation_safeguards import PROCESS_SAFEGUARDS
from tests.mutation.product_field_safeguards import FIELD_SAFEGUARDS
from tests.mutation.product_safeguards import PRODUCT_SAFEGUARDS
from tests.mutation.reply_cache_safeguards import REPLY_CACHE_SAFEGUARDS
from tests.mutation.review_safeguards import REVIEW_SAFEGUARDS
from tests.mutation.safeguard import Safeguard
from tests.mutation.size_safeguards import SIZE_SAFEGUARDS
from tests.mutation.untracked_stock_safeguards import STOCK_SAFEGUARDS

ROOT = Path(__file__).resolve().parents[2]
TEST_TIMEOUT_SECONDS = 300.0


SAFEGUARDS = (
    Safeguard(
        "inbox: a redelivered event is applied twice",
        "infra/database/postgres.py",
        "if event.event_id in new:\n                    new.remove(event.event_id)",
        "if True:\n                    new.discard(event.event_id)",
        ("tests/infra/messaging/test_consumer.py::test_duplicate_has_no_second_effect",),
    ),
    Safeguard(
        "hold transaction: stock is read without a lock",
        "services/catalog/migrations/0015_inventory.up.sql",
        "\n    PERFORM 1 FROM stock s WHERE s.sku = ANY (asked_skus) ORDER BY s.sku FOR UPDATE;",
        "",
        ("tests/services/catalog/test_holds.py::test_a_hundred_concurrent_holds_share_the_last_ten_units",),
    ),
    Safeguard(
        "hold transaction: short lines are skipped, the other lines are held",
        "services/catalog/migrations/0015_inventory.up.sql",
        "ELSIF short IS NOT NULL THEN",
        "ELSIF short IS NOT NULL AND json_array_length(json_build_array(short)) = 0 THEN",
        ("tests/services/catalog/test_holds.py::test_a_hold_reserves_every_line_or_none",),
    ),
    Safeguard(
        "idempotency row: a reply is not stored with its effect",
        "infra/database/transaction.py",
        "    if not replies:\n        if events:",
        "    if True:\n        if events:",
        (
            "tests/infra/messaging/test_rpc_server.py::test_concurrent_first_requests_have_one_effect",
            "tests/services/payment/test_charge.py::test_one_key_makes_one_payment_and_one_reply",
        ),
    ),
    Safeguard(
        "audit log lock: two concurrent entries have the same predecessor",
        "infra/database/audit_log.py",
        "    await lock(connection, AdvisoryLock.AUDIT_LOG)\n",
        "",
        ("tests/infra/database/test_audit_log.py::test_fifty_concurrent_actions_make_one_chain",),
    ),
    Safeguard(
        "drain: a stopping process does not finish its requests",
        "infra/runtime/service.py",
        "            on_shutdown=[run.drain],\n",
        "",
        ("tests/infra/messaging/test_rpc_server.py::test_stop_finishes_requests_in_progress",),
    ),
    Safeguard(
        "relay leader lock: every replica publishes",
        "infra/database/outbox.py",
        "if not await connection.fetchval(_TRY_LOCK, AdvisoryLock.OUTBOX_RELAY):",
        "if not await connection.fetchval('SELECT $1::int IS NOT NULL', AdvisoryLock.OUTBOX_RELAY):",
        ("tests/infra/database/test_outbox.py::test_only_the_holder_of_the_lock_publishes",),
    ),
    Safeguard(
        "late-capture refund: a capture for a cancelled order is kept",
        "services/payment/domain/payments.py",
        "refund = payment.refundable if payment.cancelled else 0",
        "refund = 0",
        (
            "tests/services/payment/test_cancelled_orders.py::test_a_late_capture_of_a_cancelled_order_is_published_and_refunded",
        ),
    ),
    Safeguard(
        "outbox: an event is not written in its transaction",
        "infra/database/outbox.py",
        '    """Writes the events on the caller\'s connection, in the caller\'s transaction."""\n',
        "    return\n",
        ("tests/infra/database/test_outbox.py::test_events_of_several_replicas_leave_in_order",),
    ),
    Safeguard(
        "gateway idempotency key: each try is a separate charge",
        "services/payment/workers/charge.py",
        "key, money = attempt.payment_id, attempt.money",
        'key, money = __import__("uuid").uuid4(), attempt.money',
        ("tests/services/payment/test_charge.py::test_an_unknown_outcome_is_requested_again_under_the_same_key",),
    ),
    Safeguard(
        "derived hold id: each try holds stock again",
        "services/order/handlers/place.py",
        'return uuid5(_HOLD_NAMESPACE, f"cart {cart_version.cart_id} {cart_version.version}{again}")',
        "return new_id()",
        ("tests/services/order/test_concurrent_requests.py::test_a_retry_after_a_crash_finds_the_hold",),
    ),
    Safeguard(
        "one payment per order: the row of the bill admits every payment",
        "services/payment/store/payments.py",
        "WHERE NOT bill.cancelled\n        AND EXISTS",
        "WHERE true OR EXISTS",
        ("tests/services/payment/test_charge.py::test_concurrent_payments_pay_an_order_once",),
    ),
    Safeguard(
        "age of cart lines: a late order event removes items added since",
        "services/cart/domain/carts.py",
        "if line.since <= version else line",
        "if version else line",
        ("tests/services/cart/test_events.py::test_a_late_order_takes_nothing_from_a_line_added_again",),
    ),
    *ACCESS_SAFEGUARDS,
    *ACCOUNT_SAFEGUARDS,
    *MESSAGING_SAFEGUARDS,
    *SIZE_SAFEGUARDS,
    *STOCK_SAFEGUARDS,
    *EVENT_STREAM_SAFEGUARDS,
    *EXPORT_SAFEGUARDS,
    *FULFILMENT_SAFEGUARDS,
    *IMPORT_SAFEGUARDS,
    *INVOICE_SAFEGUARDS,
    *COUPON_SAFEGUARDS,
    *GIFT_CARD_SAFEGUARDS,
    *DECLINE_SAFEGUARDS,
    *CART_SAFEGUARDS,
    *REPLY_CACHE_SAFEGUARDS,
    *GUEST_SAFEGUARDS,
    *GUEST_ORDER_SAFEGUARDS,
    *PROCESS_SAFEGUARDS,
    *MAIL_SAFEGUARDS,
    *PRICE_PLAN_SAFEGUARDS,
    *PRICING_SAFEGUARDS,
    *PRODUCT_SAFEGUARDS,
    *QUERY_SAFEGUARDS,
    *REVIEW_SAFEGUARDS,
    *FIELD_SAFEGUARDS,
)


@dataclass(frozen=True, slots=True)
class MutationResult:
    """The result of the tests without one safeguard."""

    safeguard: Safeguard
    noticed: bool
    last_line: str


async def run_without(safeguard: Safeguard, original: Path) -> MutationResult:
    """Runs the tests of a safeguard on a copy of `original` without it."""
    with tempfile.TemporaryDirectory(prefix="souk-safeguard-") as folder:
        copy = Path(folder) / "souk"
        await asyncio.to_thread(shutil.copytree, original, copy)
        await asyncio.to_thread(_remove, safeguard, copy)
        words = await _tests_in(copy, safeguard.tests)
    return MutationResult(safeguard, words.startswith("FAILED"), words)


def _copy_project(to: Path) -> None:
    """Copies the project's files and compiles them once: compiling takes longer than most of the tests."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],  # noqa: S607 - whichever git there is
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    for name in listed.stdout.splitlines():
        source, target = ROOT / name, to / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    compileall.compile_dir(to, quiet=2)


def _remove(safeguard: Safeguard, copy: Path) -> None:
    path = copy / safeguard.file
    path.write_text(path.read_text().replace(safeguard.code, safeguard.replacement))


async def _tests_in(copy: Path, tests: tuple[str, ...]) -> str:
    """The last relevant line of pytest: the failed test, an ERROR if the tests could not run, or the summary."""
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
    return (failed or lines or ["no output"])[-1]


async def main(only: str, jobs: int, markdown: Path | None) -> int:
    console = Console()
    chosen = [one for one in SAFEGUARDS if only in one.name]
    free = asyncio.Semaphore(jobs)
    finished = 0

    async def check(safeguard: Safeguard, original: Path) -> MutationResult:
        nonlocal finished
        async with free:
            result = await run_without(safeguard, original)
        finished += 1
        outcome = "[green]noticed[/]" if result.noticed else f"[red]NOT NOTICED[/] ({escape(result.last_line)})"
        console.print(f"[dim]{finished}/{len(chosen)}[/] without {escape(safeguard.name)}: {outcome}")
        return result

    with tempfile.TemporaryDirectory(prefix="souk-safeguards-") as folder:
        original = Path(folder) / "souk"
        await asyncio.to_thread(_copy_project, original)
        results = await asyncio.gather(*(check(one, original) for one in chosen))
    table = Table("removed", "noticed", "by", title="Safeguards")
    for one in results:
        table.add_row(escape(one.safeguard.name), "yes" if one.noticed else "[red]NO[/]", escape(one.last_line[:110]))
    console.print(table)
    if markdown:
        markdown.write_text(_to_markdown(results))
    return 0 if all(one.noticed for one in results) else 1


def _to_markdown(results: Sequence[MutationResult]) -> str:
    rows = []
    for one in results:
        tests = ", ".join(f"`{test.rpartition('::')[2]}`" for test in one.safeguard.tests)
        noticed = "yes" if one.noticed else "NO"
        rows.append(f"| {one.safeguard.name} | `{one.safeguard.file}` | {noticed} | {tests} |")
    return "\n".join(["| removed | in | noticed | by |", "|---|---|---|---|", *rows]) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="only safeguards whose name contains this")
    parser.add_argument("--report", type=Path, help="write the table as Markdown to this file")
    parser.add_argument(
        "--jobs", type=int, default=2, help="how many are removed at a time, each with its own shop (2)"
    )
    arguments = parser.parse_args()
    raise SystemExit(asyncio.run(main(arguments.only, arguments.jobs, arguments.report)))
