"""Orders that leave in parcels, over the running services."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import orjson
import pytest

from contracts import headers
from contracts import order as contract
from contracts.catalog import HoldLost, Product
from contracts.failure import InvalidRequest, NotFound, PreconditionFailed
from contracts.identity import Identity
from contracts.order import (
    FulfilmentExceedsOrder,
    FulfilmentState,
    IllegalTransition,
    Order,
    OrderShipped,
    OrderStatus,
)
from contracts.privacy import EraseUserData
from infra.foundation.ids import new_id
from infra.messaging.rpc_client import Request
from services.order.deps import OrderDeps
from services.order.handlers import events as event_handlers
from services.order.handlers import privacy
from services.order.store import queries
from tests.services.order.conftest import OrderClient
from tests.support.event_recorder import EventRecorder
from tests.support.eventually import eventually
from tests.support.rpc import RpcCaller

NewProduct = Callable[..., Awaitable[Product]]
Database = Callable[[str], Awaitable[Any]]
TRACKING = {"carrier": "Royal Mail", "number": "RM123456785GB"}


@pytest.fixture
async def lamp(new_product: NewProduct) -> Product:
    return await new_product()


@pytest.fixture
async def paid(
    order_client: OrderClient, lamp: Product, new_product: NewProduct, new_customer: Callable[[], Identity]
) -> Order:
    """A paid order of three lamps and one unit of another product."""
    order = await order_client.place(new_customer(), (lamp, 3), (await new_product(), 1), payment_method="sim_ok")
    return await order_client.wait_for_status(order.id, OrderStatus.PAID)


async def send(rpc: RpcCaller, admin: Identity, order: Order, units: int | None = None, **more: Any) -> Order:
    """Sends so many lamps, or all that is left."""
    body: dict[str, Any] = {"id": str(order.id), **more}
    if units is not None:
        body["items"] = [{"sku": order.items[0].sku, "quantity": units}]
    sent: Order = await rpc(contract.CREATE_FULFILMENT, body, identity=admin)
    return sent


async def deliver(rpc: RpcCaller, admin: Identity, order: Order, number: int) -> Order:
    body = {"id": str(order.fulfilments[number - 1].id), "status": "delivered"}
    delivered: Order = await rpc(contract.UPDATE_FULFILMENT, body, identity=admin)
    return delivered


async def test_an_order_leaves_in_parcels(
    rpc: RpcCaller, admin: Identity, order_client: OrderClient, paid: Order, events: EventRecorder
) -> None:
    first = await send(rpc, admin, paid, 1)
    assert (first.status, first.fulfilment, first.tracking) == (OrderStatus.PAID, FulfilmentState.PARTIAL, None)
    second = await send(rpc, admin, paid, tracking=TRACKING)
    assert (second.status, second.fulfilment) == (OrderStatus.SHIPPED, FulfilmentState.FULL)
    assert second.tracking is not None
    assert [[line.quantity for line in parcel.items] for parcel in second.fulfilments] == [[1], [2, 1]]
    assert await order_client.read(paid.id) == second
    assert (await deliver(rpc, admin, second, 2)).status is OrderStatus.SHIPPED
    assert (await deliver(rpc, admin, second, 1)).status is OrderStatus.DELIVERED
    await events.wait_for(paid.id, "delivered")
    assert events.event_names(paid.id) == ["placed", "paid", "shipped", "shipped", "delivered"]
    published = [one.event for one in events._recorded[str(paid.id)] if isinstance(one.event, OrderShipped)]
    assert [(one.units_left, one.is_tracked) for one in published] == [(3, False), (0, True)]
    assert [one.fulfilment_id for one in published] == [parcel.id for parcel in second.fulfilments]


async def test_the_status_of_an_order_ships_and_delivers_all_that_is_left(
    rpc: RpcCaller, admin: Identity, paid: Order
) -> None:
    await send(rpc, admin, paid, 2)
    with pytest.raises(IllegalTransition):
        await rpc(contract.UPDATE, {"id": str(paid.id), "status": "delivered"}, identity=admin)
    body = {"id": str(paid.id), "status": "shipped", "tracking": TRACKING}
    shipped = await rpc(contract.UPDATE, body, identity=admin)
    assert [sum(line.quantity for line in parcel.items) for parcel in shipped.fulfilments] == [2, 2]
    delivered = await rpc(contract.UPDATE, {"id": str(paid.id), "status": "delivered"}, identity=admin)
    assert {parcel.status for parcel in delivered.fulfilments} == {OrderStatus.DELIVERED}


async def test_a_repeated_request_sends_one_parcel(rpc: RpcCaller, admin: Identity, paid: Order) -> None:
    body = {"id": str(paid.id), "items": [{"sku": paid.items[0].sku, "quantity": 1}]}
    key = new_id().hex
    first, _ = await rpc.raw(contract.CREATE_FULFILMENT, body, identity=admin, key=key)
    again, reply_headers = await rpc.raw(contract.CREATE_FULFILMENT, body, identity=admin, key=key)
    assert (first, reply_headers[headers.REPLAYED]) == (again, "true")
    assert len(orjson.loads(again)["fulfilments"]) == 1


async def test_concurrent_requests_send_no_unit_twice(rpc: RpcCaller, admin: Identity, paid: Order) -> None:
    results = await asyncio.gather(*(send(rpc, admin, paid, 2) for _ in range(5)), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["FulfilmentExceedsOrder"] * 4 + ["Order"]
    ends = await asyncio.gather(*(send(rpc, admin, paid) for _ in range(5)), return_exceptions=True)
    assert sorted(type(result).__name__ for result in ends) == ["IllegalTransition"] * 4 + ["Order"]


async def test_a_lost_hold_does_not_cancel_an_order_of_which_a_part_has_left(
    rpc: RpcCaller, admin: Identity, order_client: OrderClient, paid: Order, deps: OrderDeps, database: Database
) -> None:
    """The event is an old one, and ignored: the database, which refuses to cancel the order, is not even asked."""
    await send(rpc, admin, paid, 1)
    hold_id = await (await database("order")).fetchval("SELECT hold_id FROM orders WHERE id = $1", paid.id)
    async with deps.db.transaction() as tx:
        await event_handlers.hold_lost(deps, tx, HoldLost(hold_id=hold_id, order_id=paid.id))
    assert (await order_client.read(paid.id)).status is OrderStatus.PAID


async def test_the_database_refuses_parcels_that_do_not_fit(
    rpc: RpcCaller, admin: Identity, paid: Order, database: Database
) -> None:
    """Also from a process of an older release, which does not know parcels."""
    await send(rpc, admin, paid, 1)
    connection = await database("order")
    for change in (
        "fulfilments = jsonb_set(fulfilments, '{0,items,0,quantity}', '4')",
        "fulfilments = jsonb_set(fulfilments, '{0,items,0,sku}', '\"another\"')",
        "items = jsonb_set(items, '{0,cancelled}', '3')",
        "status = 'shipped'",
        "status = 'cancelled'",
    ):
        with pytest.raises(asyncpg.CheckViolationError):
            await connection.execute(f"UPDATE orders SET {change} WHERE id = $1", paid.id)  # noqa: S608 - those above


async def test_invalid_requests_are_refused(rpc: RpcCaller, admin: Identity, paid: Order) -> None:
    sent = await send(rpc, admin, paid, 1)
    parcel = str(sent.fulfilments[0].id)
    for body in ({}, {"status": "shipped"}, {"status": "lost"}, {"tracking": {"carrier": "Royal Mail"}}):
        with pytest.raises(InvalidRequest):
            await rpc(contract.UPDATE_FULFILMENT, {"id": parcel, **body}, identity=admin)
    with pytest.raises(InvalidRequest):
        await send(rpc, admin, paid, 0)
    with pytest.raises(FulfilmentExceedsOrder):
        await send(rpc, admin, paid, 3)
    for operation, identifier in ((contract.CREATE_FULFILMENT, new_id()), (contract.UPDATE_FULFILMENT, paid.id)):
        with pytest.raises(NotFound):
            await rpc(operation, {"id": str(identifier), "tracking": TRACKING}, identity=admin)
    with pytest.raises(PreconditionFailed):
        await rpc(contract.CREATE_FULFILMENT, {"id": str(paid.id)}, identity=admin, if_match=1)


async def test_an_order_shipped_by_an_older_release_is_one_parcel(
    rpc: RpcCaller, admin: Identity, order_client: OrderClient, paid: Order, database: Database
) -> None:
    await rpc(contract.UPDATE, {"id": str(paid.id), "status": "shipped", "tracking": TRACKING}, identity=admin)
    connection = await database("order")
    await connection.execute("UPDATE orders SET fulfilments = NULL WHERE id = $1", paid.id)
    await connection.execute("DELETE FROM fulfilment WHERE order_id = $1", paid.id)
    shipped = await order_client.read(paid.id)
    assert (shipped.status, shipped.fulfilment) == (OrderStatus.SHIPPED, FulfilmentState.FULL)
    assert [parcel.id for parcel in shipped.fulfilments] == [paid.id]
    assert (await deliver(rpc, admin, shipped, 1)).status is OrderStatus.DELIVERED


async def test_an_erasure_removes_the_tracking_of_every_parcel(
    rpc: RpcCaller, admin: Identity, paid: Order, deps: OrderDeps
) -> None:
    await send(rpc, admin, paid, 1, tracking=TRACKING)
    assert paid.user_id is not None
    await privacy.erase(deps, Request(EraseUserData(user_id=paid.user_id)))
    async with deps.db.connection() as connection:
        record = await queries.find(connection, paid.id)
    assert record is not None
    assert TRACKING["number"] not in record.order.model_dump_json()
    assert [parcel.items[0].quantity for parcel in record.order.fulfilments] == [1]


async def test_all_parcels_are_told_again(
    rpc: RpcCaller, admin: Identity, operator: RpcCaller, paid: Order, events: EventRecorder
) -> None:
    await send(rpc, admin, paid, 1)
    await send(rpc, admin, paid)
    names = ["placed", "paid", "shipped", "shipped"]
    await eventually(lambda: events.event_names(paid.id) == names)
    repaired = await operator(contract.REPAIR, {"ids": [str(paid.id)], "say": True})
    assert repaired.items[0].did == [f"published again: {name}" for name in names]
    await eventually(lambda: events.event_names(paid.id) == names + names)
    published = [recorded.event.model_dump(exclude={"order_version"}) for recorded in events._recorded[str(paid.id)]]
    assert published[:4] == published[4:]
