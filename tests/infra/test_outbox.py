"""The outbox: what was committed leaves, once acknowledged, in order; what was not never does."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from nats.aio.client import Client

from contracts.money import Money
from contracts.order import OrderDelivered
from infra.ids import new_id
from infra.postgres import Database
from infra.run import Kit, Room
from infra.settings import PostgresSettings
from tests.infra.conftest import Kernel
from tests.support.waiting import eventually


def delivered(order_id: UUID, number: str = "S-1") -> OrderDelivered:
    return OrderDelivered(order_id=order_id, number=number, user_id=None, total=Money(amount=1, currency="USD"))


@pytest.fixture
async def replicas(kernel: Kernel) -> AsyncIterator[list[Database]]:
    """Two processes of a service, each with its relay; one of them leads."""
    stores: list[Database] = []

    def build(kit: Kit[PostgresSettings, Database]) -> Room:
        stores.append(kit.store)
        return Room(None, {})

    async with kernel.running(build), kernel.running(build):
        yield stores


async def heard(client: Client, order_id: UUID, count: int) -> list[str]:
    """Numbers of the events of an order, in the order of the stream."""
    js = client.jetstream()
    subscription = await js.subscribe(f"event.order.{order_id}.delivered", ordered_consumer=True)
    numbers = [
        OrderDelivered.model_validate_json((await subscription.next_msg(timeout=10)).data).number for _ in range(count)
    ]
    await subscription.unsubscribe()
    return numbers


async def rows_left(kernel: Kernel) -> int:
    connection = await kernel.database()
    try:
        left: int = await connection.fetchval("SELECT count(*) FROM outbox")
    finally:
        await connection.close()
    return left


async def test_leaves_in_order_from_whichever_replica(
    replicas: list[Database], kernel: Kernel, kernel_client: Client
) -> None:
    order_id = new_id()
    numbers = [f"S-{index}" for index in range(40)]
    for index, number in enumerate(numbers):
        async with replicas[index % 2].transaction() as tx:
            tx.say(delivered(order_id, number))
    assert await heard(kernel_client, order_id, len(numbers)) == numbers

    async def empty() -> bool:
        return await rows_left(kernel) == 0

    await eventually(empty)


async def test_what_was_rolled_back_was_never_said(replicas: list[Database], kernel: Kernel) -> None:
    async def say_and_fail() -> None:
        async with replicas[0].transaction() as tx:
            tx.say(delivered(new_id(), "S-never"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await say_and_fail()
    connection = await kernel.database()
    try:
        assert await connection.fetchval("SELECT count(*) FROM outbox WHERE body LIKE '%S-never%'") == 0
    finally:
        await connection.close()


async def test_waits_for_nats_that_is_away(replicas: list[Database], kernel: Kernel, kernel_client: Client) -> None:
    order_id = new_id()
    kernel.stack.kill("nats")
    for index in range(5):
        async with replicas[0].transaction() as tx:
            tx.say(delivered(order_id, f"S-{index}"))
    await kernel.stack.until_ready("nats")
    await eventually(lambda: kernel_client.is_connected)
    assert await heard(kernel_client, order_id, 5) == [f"S-{index}" for index in range(5)]


async def test_another_takes_over_when_the_leader_ends(kernel: Kernel, kernel_client: Client) -> None:
    stores: list[Database] = []

    def build(kit: Kit[PostgresSettings, Database]) -> Room:
        stores.append(kit.store)
        return Room(None, {})

    order_id = new_id()
    async with kernel.running(build):
        async with kernel.running(build):
            await asyncio.gather(*(store.ping() for store in stores))
        async with stores[0].transaction() as tx:
            tx.say(delivered(order_id))
        assert await heard(kernel_client, order_id, 1) == ["S-1"]
