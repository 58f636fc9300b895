"""`souk verify` over a real shop: no violation while it sells; planted corruptions are all found, and repaired once."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import orjson
import pytest

from contracts.order import OrderPaid
from infra.database.advisory_locks import AdvisoryLock
from infra.database.checks import VerifyReport, Violation
from infra.messaging import connection as messaging
from infra.ops.devstack.secret_files import OPERATOR
from infra.ops.devstack.stack import Stack
from infra.ops.devstack.stack_settings import ALL_PARTS, StackSettings
from infra.ops.verify.repair import repair_violations
from tests.conftest import FAST_SETTINGS, FREE_PORTS
from tests.infra.ops.verify.corruption import Corruption
from tests.infra.ops.verify.event_corruptions import EVENT_CORRUPTIONS
from tests.infra.ops.verify.fulfilment_corruptions import FULFILMENT_CORRUPTIONS
from tests.infra.ops.verify.gift_card_corruptions import GIFT_CARD_CORRUPTIONS
from tests.infra.ops.verify.invoice_corruptions import INVOICE_CORRUPTIONS
from tests.infra.ops.verify.money_corruptions import MONEY_CORRUPTIONS
from tests.infra.ops.verify.shop_scene import SceneOrder, ShopScene
from tests.infra.ops.verify.stock_corruptions import STOCK_CORRUPTIONS
from tests.support.rpc import RpcCaller
from tests.support.souk_command import run_in_process

PARTS = ALL_PARTS - {"edge", "nginx"}
CORRUPTIONS = (
    *(*STOCK_CORRUPTIONS, *FULFILMENT_CORRUPTIONS, *MONEY_CORRUPTIONS, *GIFT_CARD_CORRUPTIONS),
    *(*INVOICE_CORRUPTIONS, *EVENT_CORRUPTIONS),
)
CONSUMERS = {"cart", "catalog", "notification"}
"""The services that consume the event of a paid order."""


@pytest.fixture(scope="module")
async def scene(data_folder: Path) -> AsyncIterator[ShopScene]:
    options = StackSettings(
        _env_file=None,
        data=data_folder / "audit",
        parts=PARTS,
        seed=False,
        process_env=FAST_SETTINGS,
        temporary=True,
        **FREE_PORTS,
    )
    async with (
        Stack(options).running() as stack,
        messaging.connect(stack.nats_url, "edge", stack.nats_password("edge")) as edge,
        messaging.connect(stack.nats_url, OPERATOR, stack.nats_password(OPERATOR)) as operator,
    ):
        made = ShopScene(stack, RpcCaller(edge), operator)
        await made.open()
        yield made
        await made.close()


@dataclass
class Planted:
    """The corrupted orders and the report."""

    orders: dict[str, SceneOrder]
    unconsumed: SceneOrder
    report: VerifyReport

    def expected(self, corruption: Corruption) -> list[tuple[str, ...]]:
        return corruption.expected_violations(self.orders[corruption.name])


@pytest.fixture(scope="module")
async def planted(scene: ShopScene) -> Planted:
    """All corruptions at once, each in its own order, while no service runs that could repair them."""
    made = await asyncio.gather(*(getattr(scene, corruption.order_state)() for corruption in CORRUPTIONS), scene.paid())
    orders = {corruption.name: order for corruption, order in zip(CORRUPTIONS, made, strict=False)}
    report = await scene.verify()
    assert not report.violations
    await scene.wait_for_audit_anchors()
    await scene.set_services_running(run=False)
    for corruption in CORRUPTIONS:
        await corruption.apply(scene, orders[corruption.name])
    await scene.skip_to_stream_ends()
    unconsumed: SceneOrder = made[-1]
    _, event_id, body = await scene.first_event(OrderPaid, unconsumed.order.id)
    await scene.publish_raw(OrderPaid, unconsumed.order.id, event_id, **orjson.loads(body))
    return Planted(orders, unconsumed, await scene.verify(late_seconds=-5))


def keys(violations: Sequence[Violation]) -> list[tuple[str, ...]]:
    return [(one.check, *one.ids.values()) for one in violations]


def matches(expected: tuple[str, ...], found: tuple[str, ...]) -> bool:
    pairs = zip(expected, found, strict=False)
    return len(expected) == len(found) and all(one in (".", other) for one, other in pairs)


async def test_a_shop_that_sells_has_no_violation(scene: ShopScene) -> None:
    """Orders in every state are in progress during each pass."""
    selling = [
        *(scene.paid, scene.pending, scene.cancelled, scene.refunded, scene.from_cart, scene.declined),
        *(scene.sent_in_two_parcels, scene.with_cancelled_units, scene.paid_with_gift_card),
    ] * 3
    tasks = [asyncio.create_task(sell()) for sell in selling]
    first = await scene.verify()
    second = await scene.verify()
    await asyncio.gather(*tasks)
    assert (*first.violations, *second.violations) == ()
    assert (await scene.verify()).violations == ()


@pytest.mark.parametrize("corruption", CORRUPTIONS, ids=lambda corruption: corruption.name)
def test_every_corruption_is_found(planted: Planted, corruption: Corruption) -> None:
    found = keys(planted.report.violations)
    for expected in planted.expected(corruption):
        assert sum(matches(expected, one) for one in found) == 1, (
            expected,
            [one for one in found if one[0] == expected[0]],
        )


def test_services_that_stopped_consuming_are_found(planted: Planted) -> None:
    found = [one for one in planted.report.violations if one.check == "events_not_heard"]
    assert {one.ids["service"] for one in found} == CONSUMERS
    assert {one.invariant for one in found} == {2}


def test_nothing_else_is_found(planted: Planted) -> None:
    expected = [one for corruption in CORRUPTIONS for one in planted.expected(corruption)]
    others = [
        one
        for one in keys(planted.report.violations)
        if one[0] != "events_not_heard" and not any(matches(each, one) for each in expected)
    ]
    assert others == []


async def test_repairable_violations_are_repaired_and_the_rest_reported(scene: ShopScene, planted: Planted) -> None:
    """By the command, as an operator runs it. A second time there is nothing left to do."""
    stuck = await asyncpg.connect(scene.stack.dsn("order"))
    await stuck.execute("SELECT pg_advisory_lock($1)", AdvisoryLock.OUTBOX_RELAY)
    await scene.set_services_running(run=True)
    code, output = await run_souk_verify(scene, "--repair")
    assert code == 1
    assert output["mended"]
    assert stuck.is_closed(), "a session that holds the relay's lock and publishes nothing is ended"
    repaired = [one for corruption in CORRUPTIONS if corruption.is_repairable for one in planted.expected(corruption)]
    rest = [one for corruption in CORRUPTIONS if not corruption.is_repairable for one in planted.expected(corruption)]
    consequence = ("dead_letter", ".", "order", ".")  # order does not know a payment without an order
    report = await scene.verify()
    found = keys(report.violations)
    assert [one for one in found if any(matches(each, one) for each in repaired)] == []
    assert [one for one in rest if not any(matches(one, each) for each in found)] == []
    assert [one for one in found if not any(matches(each, one) for each in (*rest, consequence))] == []
    again = await repair_violations(scene.target, report.violations)
    assert [one for one in again if not one.result.startswith(("nothing", "could not"))] == []


async def run_souk_verify(scene: ShopScene, *more: str) -> tuple[int, dict[str, list[dict[str, object]]]]:
    command = (sys.executable, "-m", "infra.ops.cli.app", "verify", "--data", str(scene.stack.data_dir.path), "--json")
    child = await asyncio.create_subprocess_exec(
        *command, "--confirm-after", "0.5", *more, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await child.communicate()
    assert out, err.decode()
    assert child.returncode is not None
    return child.returncode, orjson.loads(out)


def test_a_stopped_stack_exits_with_2(tmp_path: Path) -> None:
    code, output = run_in_process("verify", "--data", str(tmp_path), variables={})
    assert code == 2
    assert "does not run" in output
