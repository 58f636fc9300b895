"""Every failpoint once: a process dies there while the shop sells, and nothing is lost, duplicated or left over.

The processes die concurrently, each at one of its failpoints after another. When all have, the shop becomes quiet, and
everything that it has acknowledged is checked in the stores.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import orjson
import pytest

from contracts import user
from infra.foundation.ids import new_id
from infra.messaging import connection as messaging
from infra.messaging.topology import DEAD_LETTER_STREAM, consumers_for
from infra.ops.devstack.mail_files import list_mails
from infra.ops.devstack.stack_settings import SERVICE_STORES, StackSettings
from tests.chaos import failpoint_scenarios as points
from tests.chaos.crash_harness import EVENTUALLY_SECONDS, CrashTestShop, limit_restart_delays
from tests.chaos.verify_run import run_verify
from tests.conftest import FAST_SETTINGS, FREE_PORTS
from tests.support.eventually import eventually
from tests.support.http import HttpClient
from tests.support.rpc import RpcCaller
from tests.support.without_coverage import uninstrumented_stack

pytestmark = pytest.mark.timeout(600)
"""For a busy machine: seventy processes have to start."""

PROCESSES = ("user", "cart", "catalog", "order", "payment", "notification", "edge")
IMPATIENT = {
    **FAST_SETTINGS,
    "SOUK_UNPAID_SECONDS": "60",
    "SOUK_HOLD_MARGIN_SECONDS": "20",
    "SOUK_IMPORT_PATIENCE": "1",
    "SOUK_EDGE_TIMEOUT": "4",
}
WAITING = {
    "user": "SELECT account_id FROM erasure WHERE done_at IS NULL",
    "order": "SELECT id, status FROM orders WHERE status = 'pending'",
    "payment": "SELECT payment_id FROM attempt UNION ALL SELECT id FROM refund WHERE status = 'pending'",
    "catalog": "SELECT id, status FROM hold WHERE status = 'held' OR wanted <> taken",
    "notification": "SELECT id, subject FROM delivery WHERE status = 'queued'",
}
END_LEASES = "UPDATE delivery SET due_at = now() WHERE status = 'queued' AND due_at > now() + interval '20 seconds'"
"""Ends the leases on mails of a dead process, which would otherwise last two minutes."""
END_HOLDS_WITHOUT_ORDER = "UPDATE hold SET expires_at = now() WHERE status = 'held' AND NOT id = ANY($1)"
"""Ends holds that no order came for, which would otherwise last for 80 seconds: the time to pay and the margin.

When a process dies with a cart's stock on hold and the cart changes before the client tries again, the next try orders
another version of it and holds stock anew.
"""

CAPTURED = """
SELECT payment.order_id, count(*) FROM payment JOIN simulator.charge ON charge.key = payment.id
WHERE charge.state = 'captured' GROUP BY payment.order_id
"""


@pytest.fixture(scope="module")
async def shopping(data_folder: Path) -> AsyncIterator[CrashTestShop]:
    folder = data_folder / "points"
    for process in PROCESSES:
        (folder / process).mkdir(parents=True)
    own = {process: {"SOUK_CRASH_FOLDER": str(folder / process)} for process in PROCESSES}
    own["payment"]["SOUK_ASK_TIMEOUT"] = "1"
    options = StackSettings(
        _env_file=None,
        data=data_folder / "crashing",
        nginx_limits=False,
        seed=False,
        process_env=IMPATIENT,
        env_of=own,
        temporary=True,
        **FREE_PORTS,
    )
    async with uninstrumented_stack(options) as stack, AsyncExitStack() as opened:
        limit_restart_delays(stack)
        operator = await opened.enter_async_context(
            messaging.connect(stack.nats_url, "operator", stack.nats_password("operator"))
        )
        connector = aiohttp.TCPConnector(limit=0)
        session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        http = HttpClient(await opened.enter_async_context(session), stack.http_url)
        yield CrashTestShop(stack, http, await _administrator(http, RpcCaller(operator)), operator, folder)


async def _administrator(http: HttpClient, operator: RpcCaller) -> HttpClient:
    credentials = {"email": f"admin-{new_id().hex}@example.com", "password": "open sesame"}
    await operator(user.MAKE_ADMIN, credentials)
    return http.with_token((await http.post("/auth/login", credentials)).json["access_token"])


@pytest.fixture(scope="module")
async def died(shopping: CrashTestShop) -> Mapping[str, BaseException | None]:
    """The error at each failpoint; None if the process died, restarted, and the scenario succeeded."""
    found: dict[str, BaseException | None] = {}

    async def in_turn(process: str) -> None:
        for name in points.failpoints_of(process):
            try:
                await points.SCENARIOS[name].scenario(shopping, shopping.crash_at(process, name))
                found[name] = None
            except Exception as error:  # noqa: BLE001 - reported by the test of the failpoint
                found[name] = error

    await asyncio.gather(*map(in_turn, PROCESSES))
    await asyncio.gather(*map(shopping.stack.wait_until_ready, PROCESSES))
    await shopping.execute("notification", END_LEASES)
    ordered = [row["hold_id"] for row in await rows(shopping, "order", "SELECT hold_id FROM orders")]
    await shopping.execute("catalog", END_HOLDS_WITHOUT_ORDER, ordered)
    return found


async def rows(shopping: CrashTestShop, service: str, statement: str, *values: Any) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(shopping.stack.dsn(service))
    try:
        return list(await connection.fetch(statement, *values))
    finally:
        await connection.close()


@pytest.fixture(scope="module")
async def at_rest(shopping: CrashTestShop, died: Mapping[str, BaseException | None]) -> CrashTestShop:
    async def nothing_waits() -> bool:
        for service, statement in WAITING.items():
            assert not await rows(shopping, service, statement), service
        for service in (name for name, store in SERVICE_STORES.items() if store == "postgres"):
            assert not await rows(shopping, service, "SELECT subject FROM outbox"), service
        for consumer in (one for service in SERVICE_STORES for one in consumers_for(service)):
            info = await shopping.nats.jetstream().consumer_info(consumer.stream, consumer.service)
            assert (info.num_pending, info.num_ack_pending) == (0, 0), consumer
        return True

    await eventually(nothing_waits, timeout_seconds=EVENTUALLY_SECONDS)
    return shopping


def test_failpoint_names_are_unique_literals_with_their_prefix() -> None:
    every = list(points.find_failpoints())
    assert not [point for point in every if point.name is None]
    assert not [name for name, count in Counter(point.name for point in every).items() if count > 1]
    assert not [point for point in every if point.name and point.name.partition(".")[0] not in point.allowed_prefixes]


def test_every_failpoint_has_a_scenario() -> None:
    assert sorted(points.SCENARIOS) == list(points.FAILPOINT_NAMES)


@pytest.mark.parametrize("name", points.FAILPOINT_NAMES)
async def test_a_process_dies_at_the_failpoint_and_recovers(
    name: str, died: Mapping[str, BaseException | None]
) -> None:
    error = died[name]
    if error is not None:
        raise AssertionError(f"{name}: {error}") from error


async def test_orders_and_carts_reach_their_final_state(at_rest: CrashTestShop) -> None:
    for check in at_rest.final_checks:
        assert await check(), check


async def test_acknowledged_orders_exist_once(at_rest: CrashTestShop) -> None:
    stored = await rows(at_rest, "order", "SELECT id FROM orders")
    assert sorted(str(row["id"]) for row in stored) == sorted(at_rest.orders)


async def test_paid_orders_are_captured_once(at_rest: CrashTestShop) -> None:
    paid = await rows(at_rest, "order", "SELECT id FROM orders WHERE status <> 'cancelled'")
    captured = {row["order_id"]: row["count"] for row in await rows(at_rest, "payment", CAPTURED)}
    assert captured == {row["id"]: 1 for row in paid}


async def test_the_ledger_balances(at_rest: CrashTestShop) -> None:
    assert not await rows(at_rest, "payment", "SELECT * FROM ledger_balance WHERE balance <> 0")
    assert not await rows(at_rest, "payment", "SELECT * FROM ledger_disagreement")


async def test_stock_equals_units_created_minus_units_sold(at_rest: CrashTestShop) -> None:
    sold: Counter[str] = Counter()
    for row in await rows(at_rest, "order", "SELECT items::text FROM orders WHERE status <> 'cancelled'"):
        for item in orjson.loads(row["items"]):
            sold[item["sku"]] += item["quantity"]
    levels = await rows(at_rest, "catalog", "SELECT sku, on_hand, reserved FROM stock")
    found = {row["sku"]: (row["on_hand"], row["reserved"]) for row in levels}
    assert found == {sku: (units - sold[sku], 0) for sku, units in at_rest.skus.items()}


async def test_repeated_mails_have_the_same_message_id(at_rest: CrashTestShop) -> None:
    ids: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for mail in list_mails(at_rest.stack.data_dir.mail_dir):
        ids[mail.subject, mail.to].add(str(mail.message["Message-ID"]))
    assert not {about: several for about, several in ids.items() if len(several) > 1}
    thanked = Counter(subject.rpartition(" ")[2] for subject, _ in ids if subject.startswith("Thank you"))
    assert thanked == Counter(order["number"] for order in at_rest.orders.values())


async def test_the_unparseable_event_is_one_dead_letter(at_rest: CrashTestShop) -> None:
    assert (await at_rest.nats.jetstream().stream_info(DEAD_LETTER_STREAM)).state.messages == 1


async def test_the_invariants_hold(at_rest: CrashTestShop) -> None:
    """Except for the unparseable event: a dead letter of an unknown payment."""
    found = await run_verify(at_rest.stack)
    assert not found.error
    assert not found.without_ids(at_rest.unreadable_ids).violations
