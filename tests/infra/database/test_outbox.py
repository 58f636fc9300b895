"""The outbox: what was committed leaves, once acknowledged, in order; what was not never does."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from nats.aio.client import Client

from contracts.money import Money
from contracts.order import OrderDelivered
from infra.database import outbox
from infra.database.outbox import LOCK, split_into_waves
from infra.database.postgres import Database
from infra.foundation.ids import new_id
from infra.foundation.settings import PostgresSettings
from infra.runtime.service import Resources, ServiceParts
from tests.infra.conftest import KernelStack
from tests.support.eventually import eventually

DEPOSE = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid = $1"


def delivered(order_id: UUID, number: str = "S-1") -> OrderDelivered:
    return OrderDelivered(order_id=order_id, number=number, user_id=None, total=Money(amount=1, currency="USD"))


@pytest.fixture
async def replicas(kernel: KernelStack) -> AsyncIterator[list[Database]]:
    """Two processes of a service, each with its relay; one of them leads."""
    stores: list[Database] = []

    def build(kit: Resources[PostgresSettings, Database]) -> ServiceParts:
        stores.append(kit.store)
        return ServiceParts(None, {})

    async with kernel.serve(build), kernel.serve(build):
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


async def rows_left(kernel: KernelStack) -> int:
    connection = await kernel.database()
    try:
        left: int = await connection.fetchval("SELECT count(*) FROM outbox")
    finally:
        await connection.close()
    return left


async def test_leaves_in_order_from_whichever_replica(
    replicas: list[Database], kernel: KernelStack, kernel_client: Client
) -> None:
    order_id = new_id()
    numbers = [f"S-{index}" for index in range(40)]
    for index, number in enumerate(numbers):
        async with replicas[index % 2].transaction() as tx:
            tx.publish(delivered(order_id, number))
    assert await heard(kernel_client, order_id, len(numbers)) == numbers

    async def empty() -> bool:
        return await rows_left(kernel) == 0

    await eventually(empty)


async def test_what_was_rolled_back_was_never_said(replicas: list[Database], kernel: KernelStack) -> None:
    async def say_and_fail() -> None:
        async with replicas[0].transaction() as tx:
            tx.publish(delivered(new_id(), "S-never"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await say_and_fail()
    connection = await kernel.database()
    try:
        assert await connection.fetchval("SELECT count(*) FROM outbox WHERE body LIKE '%S-never%'") == 0
    finally:
        await connection.close()


async def test_waits_for_nats_that_is_away(
    replicas: list[Database], kernel: KernelStack, kernel_client: Client
) -> None:
    order_id = new_id()
    kernel.stack.kill("nats")
    for index in range(5):
        async with replicas[0].transaction() as tx:
            tx.publish(delivered(order_id, f"S-{index}"))
    await kernel.stack.until_ready("nats")
    await eventually(lambda: kernel_client.is_connected)
    assert await heard(kernel_client, order_id, 5) == [f"S-{index}" for index in range(5)]


async def test_another_takes_over_when_the_leader_ends(kernel: KernelStack, kernel_client: Client) -> None:
    stores: list[Database] = []

    def build(kit: Resources[PostgresSettings, Database]) -> ServiceParts:
        stores.append(kit.store)
        return ServiceParts(None, {})

    order_id = new_id()
    async with kernel.serve(build):
        async with kernel.serve(build):
            await asyncio.gather(*(store.ping() for store in stores))
        async with stores[0].transaction() as tx:
            tx.publish(delivered(order_id))
        assert await heard(kernel_client, order_id, 1) == ["S-1"]


async def test_only_the_holder_of_the_lock_publishes(replicas: list[Database], kernel: KernelStack) -> None:
    """Somebody else holds it here: both relays look, and leave the row alone until it is free."""
    operator = await kernel.database()
    try:
        waiting = asyncio.create_task(operator.execute("SELECT pg_advisory_lock($1)", LOCK))
        watcher = await kernel.database()
        await eventually(partial(_one_waits, watcher))
        await watcher.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted")
        await waiting
        async with replicas[0].transaction() as tx:
            tx.publish(delivered(new_id()))
        said_at = await watcher.fetchval("SELECT clock_timestamp()")
        await eventually(partial(_both_have_looked, watcher, said_at))
        assert await watcher.fetchval("SELECT count(*) FROM outbox") == 1
    finally:
        await operator.close()
    await eventually(partial(_is_empty, watcher))
    await watcher.close()


async def _one_waits(connection: Any) -> bool:
    return bool(await connection.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"))


async def _both_have_looked(connection: Any, since: datetime) -> bool:
    looked = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_try_advisory_lock%' AND query_start > $1"
    return int(await connection.fetchval(f"{looked} AND pid <> pg_backend_pid()", since)) > 1


async def _is_empty(connection: Any) -> bool:
    return bool(await connection.fetchval("SELECT count(*) = 0 FROM outbox"))


def test_the_events_of_one_aggregate_follow_one_another() -> None:
    said = ["order.a.placed", "order.b.placed", "order.a.paid", "order.a.shipped", "order.b.paid", "order.c.placed"]
    rows: list[Any] = [{"subject": f"event.{subject}"} for subject in said]
    assert [[row["subject"].removeprefix("event.order.") for row in wave] for wave in split_into_waves(rows)] == [
        ["a.placed", "b.placed", "c.placed"],
        ["a.paid", "b.paid"],
        ["a.shipped"],
    ]


Fault = Callable[[KernelStack, pytest.LogCaptureFixture], Coroutine[Any, Any, None]]


async def nats_killed(kernel: KernelStack, _log: pytest.LogCaptureFixture) -> None:
    kernel.stack.kill("nats")
    await kernel.stack.until_ready("nats")


async def nats_frozen(kernel: KernelStack, log: pytest.LogCaptureFixture) -> None:
    """For longer than an acknowledgement is waited for."""
    kernel.stack.pause("nats")
    await eventually(lambda: "was not acknowledged" in log.text)
    kernel.stack.resume("nats")


async def leader_deposed(kernel: KernelStack, _log: pytest.LogCaptureFixture) -> None:
    """Its session ends while it publishes, and another may lead before it knows."""
    watcher = await kernel.database()
    for _ in range(5):
        await eventually(lambda: watcher.fetchval(DEPOSE, LOCK))
    await watcher.close()


@pytest.mark.parametrize("fault", [nats_killed, nats_frozen, leader_deposed])
async def test_no_event_overtakes_another_of_its_aggregate(
    fault: Fault,
    replicas: list[Database],
    kernel: KernelStack,
    kernel_client: Client,
    caplog: pytest.LogCaptureFixture,
) -> None:
    orders = [new_id() for _ in range(5)]
    numbers = [f"S-{number}" for number in range(150)]
    for number in numbers:
        async with replicas[0].transaction() as tx:
            tx.publish(*(delivered(order_id, number) for order_id in orders))
        if number == "S-30":
            going_wrong = asyncio.create_task(fault(kernel, caplog))
    await going_wrong
    await eventually(lambda: kernel_client.is_connected)
    watcher = await kernel.database()
    await eventually(partial(_is_empty, watcher), timeout_seconds=30)
    await watcher.close()
    for order_id in orders:
        assert await heard(kernel_client, order_id, len(numbers)) == numbers


async def test_a_leader_that_is_silent_for_too_long_is_replaced(
    kernel: KernelStack, kernel_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease is shorter here than any leader's pause, so that each loses it time and again."""
    monkeypatch.setattr(outbox, "_LEASE", "SET idle_session_timeout = '20ms'")
    stores: list[Database] = []

    def build(kit: Resources[PostgresSettings, Database]) -> ServiceParts:
        stores.append(kit.store)
        return ServiceParts(None, {})

    order_id = new_id()
    async with kernel.serve(build), kernel.serve(build):
        for number in range(10):
            async with stores[number % 2].transaction() as tx:
                tx.publish(delivered(order_id, f"{number}"))
        assert await heard(kernel_client, order_id, 10) == [f"{number}" for number in range(10)]


async def test_what_follows_an_event_that_is_not_taken_waits_and_others_do_not(
    replicas: list[Database], kernel: KernelStack, kernel_client: Client
) -> None:
    js = kernel_client.jetstream()
    limits = (await js.stream_info("ORDER")).config
    await js.update_stream(limits, max_msg_size=1000)
    stuck, free, long = new_id(), new_id(), "S-" + "2" * 1000
    async with replicas[0].transaction() as tx:
        tx.publish(delivered(stuck, "S-1"), delivered(stuck, long), delivered(stuck, "S-3"), delivered(free))
    assert await heard(kernel_client, free, 1) == ["S-1"]
    await eventually(lambda: _is_left(kernel, 2))
    await js.update_stream(limits, max_msg_size=-1)
    assert await heard(kernel_client, stuck, 3) == ["S-1", long, "S-3"]


async def _is_left(kernel: KernelStack, count: int) -> bool:
    return await rows_left(kernel) == count
