"""Orders put right on an operator's word: what was missed is caught up with, and what was said is said again."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from contracts import order as contract
from contracts import payment
from contracts.catalog import Product
from contracts.identity import Identity
from contracts.order import Order, OrderCancelled, OrderStatus
from infra.foundation.ids import new_id
from tests.services.order.conftest import OrderClient
from tests.support.event_recorder import EventRecorder
from tests.support.eventually import eventually
from tests.support.http import ADDRESS
from tests.support.rpc import RpcCaller

Database = Callable[[str], Awaitable[Any]]
FORGET = """
UPDATE orders SET status = $2, history = (SELECT jsonb_agg(entry ORDER BY at) FROM
        jsonb_array_elements(history) WITH ORDINALITY AS past (entry, at) WHERE at <= $3),
    payment_id = CASE WHEN $2 = 'pending' THEN NULL ELSE payment_id END
WHERE id = $1
"""


@pytest.fixture
async def lamp(new_product: Callable[..., Awaitable[Product]]) -> Product:
    return await new_product()


@pytest.fixture
async def paid(counter: OrderClient, new_customer: Callable[[], Identity], lamp: Product) -> Order:
    order = await counter.place(new_customer(), (lamp, 2), payment_method="sim_ok")
    await counter.wait_for_stock(lamp, on_hand=8, reserved=0)
    return await counter.wait_for_status(order.id, OrderStatus.PAID)


async def mend(operator: RpcCaller, order: Order, *, say: bool = False) -> list[str]:
    (mended,) = (await operator(contract.REPAIR, {"ids": [str(order.id)], "say": say})).items
    assert mended.id == order.id
    did: list[str] = mended.did
    return did


async def test_what_is_right_is_left_alone(operator: RpcCaller, paid: Order) -> None:
    assert await mend(operator, paid) == []
    (unknown,) = (await operator(contract.REPAIR, {"ids": [str(new_id())]})).items
    assert unknown.did == []


async def test_a_capture_that_was_missed_is_caught_up_with(
    counter: OrderClient, operator: RpcCaller, paid: Order, lamp: Product, database: Database, events: EventRecorder
) -> None:
    await (await database("order")).execute(FORGET, paid.id, "pending", 1)
    assert await mend(operator, paid) == [f"paid by {paid.payment_id}, as payment says"]
    assert await mend(operator, paid) == []
    order = await counter.read(paid.id)
    assert (order.status, order.payment_id, len(order.history)) == (OrderStatus.PAID, paid.payment_id, 2)
    await eventually(lambda: events.event_names(paid.id) == ["placed", "paid", "paid"])
    await counter.wait_for_stock(lamp, on_hand=8, reserved=0)


async def test_a_refund_that_was_missed_is_caught_up_with(
    counter: OrderClient, ask: RpcCaller, operator: RpcCaller, admin: Identity, paid: Order, database: Database
) -> None:
    await ask(contract.UPDATE, {"id": str(paid.id), "shipping_address": ADDRESS}, identity=admin)
    await ask(payment.REFUND, {"id": str(paid.payment_id)}, identity=admin)
    await counter.wait_for_status(paid.id, OrderStatus.REFUNDED)
    await (await database("order")).execute(FORGET, paid.id, "pending", 1)
    assert await mend(operator, paid) == [
        f"paid by {paid.payment_id}, as payment says",
        "refunded, as payment says",
    ]
    assert await mend(operator, paid) == []
    assert (await counter.read(paid.id)).status is OrderStatus.REFUNDED


async def test_one_whose_time_has_passed_is_given_up(
    counter: OrderClient, operator: RpcCaller, new_customer: Callable[[], Identity], lamp: Product, database: Database
) -> None:
    """By whoever is first: the service looks for them too."""
    order = await counter.place(new_customer(), (lamp, 1))
    assert await mend(operator, order) == []
    await (await database("order")).execute("UPDATE orders SET pay_by = now() WHERE id = $1", order.id)
    assert await mend(operator, order) in ([], ["given up: nobody has paid it in time"])
    assert (await counter.read(order.id)).history[-1].note == "unpaid"
    await counter.wait_for_stock(lamp, on_hand=10, reserved=0)


async def test_one_that_waits_to_be_paid_has_its_stock_again(
    counter: OrderClient,
    operator: RpcCaller,
    new_customer: Callable[[], Identity],
    lamp: Product,
    database: Database,
    ask: RpcCaller,
    admin: Identity,
) -> None:
    order = await counter.place(new_customer(), (lamp, 10))
    hold_id = await (await database("order")).fetchval("SELECT hold_id FROM orders WHERE id = $1", order.id)
    await (await database("catalog")).execute("SELECT release_hold($1)", hold_id)
    other = await counter.place(new_customer(), (lamp, 1))
    assert await mend(operator, order) == []
    await ask(contract.CANCEL, {"id": str(other.id)}, identity=admin)
    await counter.wait_for_stock(lamp, on_hand=10, reserved=0)
    assert await mend(operator, order) == ["its stock is held anew"]
    assert await mend(operator, order) == []
    await counter.wait_for_stock(lamp, on_hand=10, reserved=10)


async def test_everything_is_said_again_and_changes_nothing(
    counter: OrderClient,
    ask: RpcCaller,
    operator: RpcCaller,
    admin: Identity,
    paid: Order,
    lamp: Product,
    events: EventRecorder,
) -> None:
    await ask(contract.UPDATE, {"id": str(paid.id), "shipping_address": ADDRESS}, identity=admin)
    await ask(contract.CANCEL, {"id": str(paid.id)}, identity=admin)
    await counter.wait_for_stock(lamp, on_hand=10, reserved=0)
    said = ["placed", "paid", "cancelled"]
    await eventually(lambda: events.event_names(paid.id) == said)

    assert await mend(operator, paid, say=True) == [f"said again: {name}" for name in said]

    await eventually(lambda: events.event_names(paid.id) == said + said)
    heard = [one.event for one in events._recorded[str(paid.id)]]
    assert heard[:3] == heard[3:]
    assert isinstance(heard[5], OrderCancelled)
    assert heard[5].was is OrderStatus.PAID
    await counter.wait_for_stock(lamp, on_hand=10, reserved=0)


async def test_nothing_is_said_of_a_history_that_leads_elsewhere(
    operator: RpcCaller, paid: Order, database: Database
) -> None:
    await (await database("order")).execute("UPDATE orders SET status = 'delivered' WHERE id = $1", paid.id)
    assert await mend(operator, paid, say=True) == []
    await (await database("order")).execute("UPDATE orders SET status = 'paid' WHERE id = $1", paid.id)
    assert await mend(operator, paid, say=True) == ["said again: placed", "said again: paid"]
