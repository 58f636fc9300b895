"""A hold without an order is released while the process lives; the hold of an order is kept."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from contracts import catalog
from contracts import order as contract
from contracts.catalog import Product
from contracts.failure import IdempotencyInProgress, InvalidRequest, Unavailable
from contracts.identity import Identity
from contracts.order import PlaceOrder
from infra.database.postgres import Database
from infra.foundation import trace
from infra.foundation.ids import new_id
from infra.messaging.idempotency import IdempotencyKey
from infra.messaging.rpc_client import Request, RpcClient
from services.order.deps import OrderDeps
from services.order.handlers import place
from services.order.workers import orphaned_hold_release
from tests.services.order.conftest import OrderClient
from tests.support.eventually import eventually

NewProduct = Callable[..., Awaitable[Product]]
WAITING_BACKEND = """
SELECT pid FROM pg_stat_activity WHERE application_name = 'souk-order-test' AND wait_event_type = 'Lock'
"""


@pytest.fixture
async def releasing(deps: OrderDeps) -> AsyncIterator[OrderDeps]:
    """The same, with the task that releases remembered holds, which looks more often here."""
    periodic = orphaned_hold_release.task(deps)
    periodic.interval_seconds = 0.05
    task = asyncio.create_task(periodic.run())
    yield deps
    task.cancel()
    await asyncio.wait([task])


async def make_hold(deps: OrderDeps, product: Product) -> UUID:
    hold_id = new_id()
    lines = [catalog.RequestedLine(sku=product.variants[0].sku, quantity=2)]
    await deps.rpc.request(catalog.HOLD, catalog.PlaceHold(hold_id=hold_id, lines=lines, seconds=600))
    return hold_id


def place_request(order_client: OrderClient, product: Product, buyer: Identity) -> Request[PlaceOrder]:
    body = PlaceOrder.model_validate(order_client.body((product, 2)))
    return Request(body, buyer)


async def test_a_remembered_hold_is_released(
    releasing: OrderDeps, order_client: OrderClient, new_product: NewProduct
) -> None:
    lamp = await new_product()
    orphaned_hold_release.release_later(releasing, await make_hold(releasing, lamp))
    await order_client.wait_for_stock(lamp, on_hand=10, reserved=0)


async def test_the_hold_of_an_order_is_kept(
    releasing: OrderDeps,
    order_client: OrderClient,
    new_product: NewProduct,
    new_customer: Callable[[], Identity],
    database: Callable[[str], Awaitable[asyncpg.Connection]],
) -> None:
    lamp, other = await new_product(), await new_product()
    order = await order_client.place(new_customer(), (lamp, 2))
    hold_id = await (await database("order")).fetchval("SELECT hold_id FROM orders WHERE id = $1", order.id)
    orphaned_hold_release.release_later(releasing, hold_id)
    orphaned_hold_release.release_later(releasing, await make_hold(releasing, other))
    await order_client.wait_for_stock(other, on_hand=10, reserved=0)
    await order_client.wait_for_stock(lamp, on_hand=10, reserved=2)


async def test_a_failed_release_is_tried_again(
    releasing: OrderDeps, order_client: OrderClient, new_product: NewProduct
) -> None:
    lamp = await new_product()
    hold_id = await make_hold(releasing, lamp)
    with trace.activate(replace(trace.start(), deadline=-1.0)):
        await orphaned_hold_release.release(releasing, hold_id, retry=True)
    await order_client.wait_for_stock(lamp, on_hand=10, reserved=0)


async def test_a_broken_connection_leaves_no_hold(
    releasing: OrderDeps,
    order_client: OrderClient,
    new_product: NewProduct,
    new_customer: Callable[[], Identity],
    database: Callable[[str], Awaitable[asyncpg.Connection]],
) -> None:
    """The connection breaks while the order is written, so that it is unknown whether it was."""
    lamp, connection = await new_product(), await database("order")
    async with connection.transaction():
        await connection.execute("LOCK TABLE orders IN EXCLUSIVE MODE")
        request = asyncio.create_task(place.place(releasing, place_request(order_client, lamp, new_customer())))
        pid = await eventually(lambda: connection.fetchval(WAITING_BACKEND))
        assert (await order_client.stock(lamp)).reserved == 2
        await connection.execute("SELECT pg_terminate_backend($1)", pid)
        with pytest.raises(Database.unavailable_errors):
            await request
    await order_client.wait_for_stock(lamp, on_hand=10, reserved=0)


class FailingReleases(RpcClient):
    """Cannot reach catalog to release a hold."""

    async def request_bytes(self, subject: str, *args: Any, **options: Any) -> Any:
        if subject == catalog.RELEASE.subject:
            raise Unavailable
        return await super().request_bytes(subject, *args, **options)


async def test_a_refused_order_leaves_no_hold_although_catalog_was_away(
    releasing: OrderDeps, order_client: OrderClient, new_product: NewProduct, new_customer: Callable[[], Identity]
) -> None:
    """The client has its answer and does not come again, so the hold would last until its deadline."""
    lamp, buyer, key = await new_product(price=900_000_000_000), new_customer(), new_id().hex
    request = place_request(order_client, lamp, buyer)
    request.idempotency_key = IdempotencyKey.derive(contract.PLACE.subject, str(buyer.user_id), key, b"")
    with pytest.raises(InvalidRequest):
        await place.place(replace(releasing, rpc=FailingReleases(releasing.rpc.client, 3)), request)
    assert (await order_client.stock(lamp)).reserved == 2
    await order_client.wait_for_stock(lamp, on_hand=10, reserved=0)


def test_a_hold_of_another_running_request_is_not_released() -> None:
    assert place.should_release_hold(catalog.OutOfStock())
    assert not place.should_release_hold(IdempotencyInProgress())
    assert not place.should_release_hold(ConnectionError())
