"""A hold that no order came for goes back while the process lives, and not one that an order lives on."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from uuid import UUID

import asyncpg
import pytest

from contracts import catalog
from contracts.catalog import Product
from contracts.failure import IdempotencyInProgress
from contracts.identity import Identity
from contracts.order import PlaceOrder
from infra.database.postgres import Database, connect
from infra.foundation import trace
from infra.foundation.ids import new_id
from infra.foundation.settings import PostgresSettings
from infra.messaging.rpc import Request, RpcClient
from infra.ops.devstack.stack import Stack
from services.order.deps import OrderDeps
from services.order.handlers import place as placing
from services.order.workers.hold_release import HoldReleaser
from tests.services.order.conftest import OrderClient
from tests.support.eventually import eventually
from tests.support.rpc import RpcCaller

NewProduct = Callable[..., Awaitable[Product]]
BLOCKED = """
SELECT pid FROM pg_stat_activity WHERE application_name = 'souk-order-test' AND wait_event_type = 'Lock'
"""


@pytest.fixture
async def shop(stack: Stack, as_service: Callable[[str], Awaitable[RpcCaller]]) -> AsyncIterator[OrderDeps]:
    """As a process of order has it that is not in a hurry to be asked."""
    settings = PostgresSettings(
        _env_file=None,
        nats_password="",
        database_url=stack.dsn("order", with_password=False),
        database_password=stack.vault.secret("order", "souk_database_password"),
    )
    asker = RpcClient((await as_service("order")).client, 3)
    async with connect(settings, "order-test") as db:
        yield OrderDeps(
            db, asker, HoldReleaser(db, asker, retry_seconds=0.2), pay_within_seconds=1800, hold_margin_seconds=600
        )


@pytest.fixture
async def working(shop: OrderDeps) -> AsyncIterator[OrderDeps]:
    task = asyncio.create_task(shop.hold_releaser.worker.run())
    yield shop
    task.cancel()
    await asyncio.wait([task])


async def held(shop: OrderDeps, product: Product) -> UUID:
    hold_id = new_id()
    lines = [catalog.RequestedLine(sku=product.variants[0].sku, quantity=2)]
    await shop.rpc.request(catalog.HOLD, catalog.PlaceHold(hold_id=hold_id, lines=lines, seconds=600))
    return hold_id


def ask_for(counter: OrderClient, product: Product, who: Identity) -> Request[PlaceOrder]:
    body = PlaceOrder.model_validate(counter.body((product, 2)))
    return Request(body, who)


async def test_what_is_remembered_goes_back(working: OrderDeps, counter: OrderClient, new_product: NewProduct) -> None:
    lamp = await new_product()
    working.hold_releaser.release_later(await held(working, lamp))
    await counter.wait_for_stock(lamp, on_hand=10, reserved=0)


async def test_what_an_order_lives_on_stays(
    working: OrderDeps,
    counter: OrderClient,
    new_product: NewProduct,
    new_customer: Callable[[], Identity],
    database: Callable[[str], Awaitable[asyncpg.Connection]],
) -> None:
    lamp, other = await new_product(), await new_product()
    order = await counter.place(new_customer(), (lamp, 2))
    hold_id = await (await database("order")).fetchval("SELECT hold_id FROM orders WHERE id = $1", order.id)
    working.hold_releaser.release_later(hold_id)
    working.hold_releaser.release_later(await held(working, other))
    await counter.wait_for_stock(other, on_hand=10, reserved=0)
    await counter.wait_for_stock(lamp, on_hand=10, reserved=2)


async def test_a_catalog_that_does_not_answer_is_asked_again(
    working: OrderDeps, counter: OrderClient, new_product: NewProduct
) -> None:
    lamp = await new_product()
    hold_id = await held(working, lamp)
    with trace.activate(replace(trace.start(), deadline=-1.0)):
        await working.hold_releaser.release(hold_id, retry=True)
    await counter.wait_for_stock(lamp, on_hand=10, reserved=0)


async def test_a_store_that_goes_away_in_the_middle_leaves_no_hold(
    working: OrderDeps,
    counter: OrderClient,
    new_product: NewProduct,
    new_customer: Callable[[], Identity],
    database: Callable[[str], Awaitable[asyncpg.Connection]],
) -> None:
    """The connection breaks while the order is written; nobody can tell whether it was."""
    lamp, theirs = await new_product(), await database("order")
    async with theirs.transaction():
        await theirs.execute("LOCK TABLE orders IN EXCLUSIVE MODE")
        placing_ = asyncio.create_task(placing.place(working, ask_for(counter, lamp, new_customer())))
        pid = await eventually(lambda: theirs.fetchval(BLOCKED))
        assert (await counter.stock(lamp)).reserved == 2
        await theirs.execute("SELECT pg_terminate_backend($1)", pid)
        with pytest.raises(Database.unavailable_errors):
            await placing_
    await counter.wait_for_stock(lamp, on_hand=10, reserved=0)


def test_a_hold_on_which_another_writes_an_order_is_not_for_us_to_give_back() -> None:
    assert placing.should_release_hold(catalog.OutOfStock())
    assert not placing.should_release_hold(IdempotencyInProgress())
    assert not placing.should_release_hold(ConnectionError())
