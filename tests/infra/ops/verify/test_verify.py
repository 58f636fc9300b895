"""The audit over a real shop: clean while it sells, and exactly what was planted is found, and mended once."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import orjson
import pytest

from contracts.order import OrderPlaced
from infra.database import outbox
from infra.database.checks import VerifyReport, Violation
from infra.messaging import connection as messaging
from infra.ops.devstack.secret_files import OPERATOR
from infra.ops.devstack.stack import Stack
from infra.ops.devstack.stack_settings import EVERYTHING, Options
from infra.ops.verify.repair import repair_violations
from tests.conftest import FAST_SETTINGS, FREE_PORTS
from tests.infra.ops.verify.corruption import Corruption
from tests.infra.ops.verify.event_corruptions import EVENT_CORRUPTIONS
from tests.infra.ops.verify.money_corruptions import MONEY_CORRUPTIONS
from tests.infra.ops.verify.shop_scene import SceneOrder, ShopScene
from tests.infra.ops.verify.stock_corruptions import STOCK_CORRUPTIONS
from tests.support.rpc import RpcCaller

PARTS = EVERYTHING - {"edge", "nginx"}
PLANTS = (*STOCK_CORRUPTIONS, *MONEY_CORRUPTIONS, *EVENT_CORRUPTIONS)
LISTENERS = {"cart", "notification", "payment"}
"""Who hears that an order was placed."""


@pytest.fixture(scope="module")
async def scene(data_folder: Path) -> AsyncIterator[ShopScene]:
    options = Options(
        _env_file=None, data=data_folder / "audit", parts=PARTS, seed=False, process_env=FAST_SETTINGS, **FREE_PORTS
    )
    async with (
        Stack(options).running() as stack,
        messaging.connect(stack.nats_url, "edge", stack.password("edge")) as edge,
        messaging.connect(stack.nats_url, OPERATOR, stack.password(OPERATOR)) as operator,
    ):
        made = ShopScene(stack, RpcCaller(edge), operator)
        await made.open()
        yield made
        await made.close()


@dataclass
class Planted:
    """What was planted where, and what the audit said of it."""

    things: dict[str, SceneOrder]
    unheard: SceneOrder
    report: VerifyReport

    def of(self, plant: Corruption) -> list[tuple[str, ...]]:
        return plant.expected_violations(self.things[plant.name])


@pytest.fixture(scope="module")
async def planted(scene: ShopScene) -> Planted:
    """All of it at once, each in an order of its own, while no service runs that could mend it by itself."""
    made = await asyncio.gather(*(getattr(scene, plant.order_state)() for plant in PLANTS), scene.paid())
    things = {plant.name: thing for plant, thing in zip(PLANTS, made, strict=False)}
    report = await scene.verify()
    assert not report.violations
    await scene.wait_for_audit_anchors()
    await scene.set_services_running(run=False)
    for plant in PLANTS:
        await plant.apply(scene, things[plant.name])
    await scene.skip_to_stream_ends()
    unheard: SceneOrder = made[-1]
    _, event_id, body = await scene.first_event(OrderPlaced, unheard.order.id)
    await scene.publish_raw(OrderPlaced, unheard.order.id, event_id, **orjson.loads(body))
    return Planted(things, unheard, await scene.verify(late=-5))


def told(violations: Sequence[Violation]) -> list[tuple[str, ...]]:
    return [(one.check, *one.ids.values()) for one in violations]


def same(expected: tuple[str, ...], found: tuple[str, ...]) -> bool:
    pairs = zip(expected, found, strict=False)
    return len(expected) == len(found) and all(one in (".", other) for one, other in pairs)


async def test_a_shop_that_sells_has_nothing_wrong(scene: ShopScene) -> None:
    """Orders in every state are under way at each look."""
    selling = [scene.paid, scene.pending, scene.cancelled, scene.refunded, scene.from_cart, scene.declined] * 3
    tasks = [asyncio.create_task(sell()) for sell in selling]
    first = await scene.verify()
    second = await scene.verify()
    await asyncio.gather(*tasks)
    assert (*first.violations, *second.violations) == ()
    assert (await scene.verify()).violations == ()


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)
def test_what_was_planted_is_found(planted: Planted, plant: Corruption) -> None:
    found = told(planted.report.violations)
    for expected in planted.of(plant):
        assert sum(same(expected, one) for one in found) == 1, (
            expected,
            [one for one in found if one[0] == expected[0]],
        )


def test_nobody_hears_is_found(planted: Planted) -> None:
    found = [one for one in planted.report.violations if one.check == "events_not_heard"]
    assert {one.ids["service"] for one in found} == LISTENERS
    assert {one.invariant for one in found} == {2}


def test_nothing_else_is_found(planted: Planted) -> None:
    expected = [one for plant in PLANTS for one in planted.of(plant)]
    others = [
        one
        for one in told(planted.report.violations)
        if one[0] != "events_not_heard" and not any(same(each, one) for each in expected)
    ]
    assert others == []


async def test_what_has_one_answer_is_mended_and_the_rest_is_told(scene: ShopScene, planted: Planted) -> None:
    """By the command, as an operator calls it. A second time there is nothing left to do."""
    stuck = await asyncpg.connect(scene.stack.dsn("order"))
    await stuck.execute("SELECT pg_advisory_lock($1)", outbox.LOCK)
    await scene.set_services_running(run=True)
    code, said = await souk_audit(scene, "--repair")
    assert code == 1
    assert said["mended"]
    assert stuck.is_closed(), "whoever keeps the relay's lock and publishes nothing loses it"
    mended = [one for plant in PLANTS if plant.is_repairable for one in planted.of(plant)]
    rest = [one for plant in PLANTS if not plant.is_repairable for one in planted.of(plant)]
    consequence = ("dead_letter", ".", "order", ".")  # order knows nothing of a payment that was for no order
    report = await scene.verify()
    found = told(report.violations)
    assert [one for one in found if any(same(each, one) for each in mended)] == []
    assert [one for one in rest if not any(same(one, each) for each in found)] == []
    assert [one for one in found if not any(same(each, one) for each in (*rest, consequence))] == []
    again = await repair_violations(scene.target, report.violations)
    assert [one for one in again if not one.result.startswith(("nothing", "could not"))] == []


async def souk_audit(scene: ShopScene, *more: str) -> tuple[int, dict[str, list[dict[str, object]]]]:
    command = (sys.executable, "-m", "infra.ops.cli.app", "audit", "--data", str(scene.stack.layout.data), "--json")
    child = await asyncio.create_subprocess_exec(
        *command, "--patience", "0.5", *more, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await child.communicate()
    assert out, err.decode()
    assert child.returncode is not None
    return child.returncode, orjson.loads(out)


async def test_what_cannot_be_checked_is_not_clean(tmp_path: Path) -> None:
    command = (sys.executable, "-m", "infra.ops.cli.app", "audit", "--data", str(tmp_path))
    child = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    _, err = await child.communicate()
    assert child.returncode == 2
    assert b"does not run" in err
