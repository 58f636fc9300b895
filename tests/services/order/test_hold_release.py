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
from infra.messaging.rpc import Ask, Asker
from infra.ops.devstack.stack import Stack
from services.order.deps import Shop
from services.order.handlers import place as placing
from services.order.workers.hold_release import Leftovers
from tests.services.order.conftest import Counter
from tests.support.eventually import eventually
from tests.support.rpc import Edge

NewProduct = Callable[..., Awaitable[Product]]
BLOCKED = """
SELECT pid FROM pg_stat_activity WHERE application_name = 'souk-order-test' AND wait_event_type = 'Lock'
"""


@pytest.fixture
async def shop(stack: Stack, as_service: Callable[[str], Awaitable[Edge]]) -> AsyncIterator[Shop]:
    """As a process of order has it that is not in a hurry to be asked."""
    settings = PostgresSettings(
        _env_file=None,
        nats_password="",
        database_url=stack.dsn("order", with_password=False),
        database_password=stack.vault.secret("order", "souk_database_password"),
    )
    asker = Asker((await as_service("order")).client, 3)
    async with connect(settings, "order-test") as db:
        yield Shop(db, asker, Leftovers(db, asker, pause=0.2), pay_within=1800, hold_margin=600)


@pytest.fixture
async def working(shop: Shop) -> AsyncIterator[Shop]:
    task = asyncio.create_task(shop.leftovers.worker.run())
    yield shop
    task.cancel()
    await asyncio.wait([task])


async def held(shop: Shop, product: Product) -> UUID:
    hold_id = new_id()
    lines = [catalog.HoldLine(sku=product.variants[0].sku, quantity=2)]
    await shop.asker.ask(catalog.HOLD, catalog.PlaceHold(hold_id=hold_id, lines=lines, seconds=600))
    return hold_id


def ask_for(counter: Counter, product: Product, who: Identity) -> Ask[PlaceOrder]:
    body = PlaceOrder.model_validate(counter.body((product, 2)))
    return Ask(body, who)


async def test_what_is_remembered_goes_back(working: Shop, counter: Counter, new_product: NewProduct) -> None:
    lamp = await new_product()
    working.leftovers.remember(await held(working, lamp))
    await counter.left(lamp, on_hand=10, reserved=0)


async def test_what_an_order_lives_on_stays(
    working: Shop,
    counter: Counter,
    new_product: NewProduct,
    new_customer: Callable[[], Identity],
    database: Callable[[str], Awaitable[asyncpg.Connection]],
) -> None:
    lamp, other = await new_product(), await new_product()
    order = await counter.place(new_customer(), (lamp, 2))
    hold_id = await (await database("order")).fetchval("SELECT hold_id FROM orders WHERE id = $1", order.id)
    working.leftovers.remember(hold_id)
    working.leftovers.remember(await held(working, other))
    await counter.left(other, on_hand=10, reserved=0)
    await counter.left(lamp, on_hand=10, reserved=2)


async def test_a_catalog_that_does_not_answer_is_asked_again(
    working: Shop, counter: Counter, new_product: NewProduct
) -> None:
    lamp = await new_product()
    hold_id = await held(working, lamp)
    with trace.within(replace(trace.begin(), deadline=-1.0)):
        await working.leftovers.give_back(hold_id, keep_trying=True)
    await counter.left(lamp, on_hand=10, reserved=0)


async def test_a_store_that_goes_away_in_the_middle_leaves_no_hold(
    working: Shop,
    counter: Counter,
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
        with pytest.raises(Database.away):
            await placing_
    await counter.left(lamp, on_hand=10, reserved=0)


def test_a_hold_on_which_another_writes_an_order_is_not_for_us_to_give_back() -> None:
    assert placing.gives_back(catalog.OutOfStock())
    assert not placing.gives_back(IdempotencyInProgress())
    assert not placing.gives_back(ConnectionError())
