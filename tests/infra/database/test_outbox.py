"""The outbox: committed events leave in order, and their rows once acknowledged; others never leave."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from contracts.money import Money
from contracts.order import OrderDelivered
from contracts.size_limits import MAX_EVENT_BYTES, MAX_MESSAGE_BYTES
from infra.database import outbox
from infra.database.advisory_locks import AdvisoryLock
from infra.database.outbox import EventTooLargeError, insert_events, split_into_waves
from infra.database.postgres import Database
from infra.foundation import trace
from infra.foundation.ids import new_id
from infra.foundation.settings import PostgresSettings
from infra.runtime.service import Resources, ServiceParts
from tests.infra.conftest import KernelStack
from tests.support.eventually import eventually

END_LEADER_SESSION = (
    "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid = $1"
)

INSERT_OVERSIZED = """
INSERT INTO outbox (id, subject, type, source, body, traceparent, request_id)
VALUES (gen_random_uuid(), $1, 'order.delivered', 'order', repeat('x', $2), '', '') RETURNING id
"""


def delivered(order_id: UUID, number: str = "S-1") -> OrderDelivered:
    return OrderDelivered(order_id=order_id, number=number, user_id=None, total=Money(amount=1, currency="USD"))


@pytest.fixture
async def replicas(kernel: KernelStack, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[Database]]:
    """The stores of two processes of a service, each with a relay that polls often; one relay leads."""
    monkeypatch.setattr(outbox, "POLL_SECONDS", 0.1)
    stores: list[Database] = []

    def build(resources: Resources[PostgresSettings, Database]) -> ServiceParts:
        stores.append(resources.store)
        return ServiceParts(None)

    async with kernel.serve(build), kernel.serve(build):
        yield stores


async def event_numbers(client: Client, order_id: UUID, count: int) -> list[str]:
    """The numbers in the first events of an order, in the order of the stream."""
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


async def test_events_of_several_replicas_leave_in_order(
    replicas: list[Database], kernel: KernelStack, kernel_client: Client
) -> None:
    order_id = new_id()
    numbers = [f"S-{index}" for index in range(40)]
    for index, number in enumerate(numbers):
        async with replicas[index % 2].transaction() as tx:
            tx.publish(delivered(order_id, number))
    assert await event_numbers(kernel_client, order_id, len(numbers)) == numbers

    async def empty() -> bool:
        return await rows_left(kernel) == 0

    await eventually(empty)


async def test_a_rolled_back_event_is_never_published(replicas: list[Database], kernel: KernelStack) -> None:
    async def publish_and_fail() -> None:
        async with replicas[0].transaction() as tx:
            tx.publish(delivered(new_id(), "S-never"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await publish_and_fail()
    connection = await kernel.database()
    try:
        assert await connection.fetchval("SELECT count(*) FROM outbox WHERE body LIKE '%S-never%'") == 0
    finally:
        await connection.close()


async def test_events_wait_while_nats_is_down(
    replicas: list[Database], kernel: KernelStack, kernel_client: Client
) -> None:
    order_id = new_id()
    kernel.stack.kill("nats")
    for index in range(5):
        async with replicas[0].transaction() as tx:
            tx.publish(delivered(order_id, f"S-{index}"))
    await kernel.stack.wait_until_ready("nats")
    await eventually(lambda: kernel_client.is_connected)
    assert await event_numbers(kernel_client, order_id, 5) == [f"S-{index}" for index in range(5)]


async def test_another_relay_leads_when_the_leader_stops(kernel: KernelStack, kernel_client: Client) -> None:
    stores: list[Database] = []

    def build(resources: Resources[PostgresSettings, Database]) -> ServiceParts:
        stores.append(resources.store)
        return ServiceParts(None)

    order_id = new_id()
    async with kernel.serve(build):
        async with kernel.serve(build):
            await asyncio.gather(*(store.ping() for store in stores))
        async with stores[0].transaction() as tx:
            tx.publish(delivered(order_id))
        assert await event_numbers(kernel_client, order_id, 1) == ["S-1"]


async def test_a_leader_that_stops_wakes_the_next(
    kernel: KernelStack, kernel_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No relay polls, and the row comes without a wake-up, as from a process that died after its commit."""
    monkeypatch.setattr(outbox, "POLL_SECONDS", 3600)
    order_id = new_id()
    connection = await kernel.database()
    try:
        async with AsyncExitStack() as leader:
            await leader.enter_async_context(kernel.serve(lambda _resources: ServiceParts(None)))
            await eventually(partial(_a_relay_leads, connection))
            async with kernel.serve(lambda _resources: ServiceParts(None)):
                await insert_events(connection, [(delivered(order_id), trace.start())])
                await leader.aclose()
                assert await event_numbers(kernel_client, order_id, 1) == ["S-1"]
    finally:
        await connection.close()


async def _a_relay_leads(connection: Any) -> bool:
    held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid = $1"
    return bool(await connection.fetchval(held, AdvisoryLock.OUTBOX_RELAY))


async def test_only_the_holder_of_the_lock_publishes(replicas: list[Database], kernel: KernelStack) -> None:
    """The test holds the lock: both relays try, and leave the row alone until the lock is free."""
    operator = await kernel.database()
    try:
        waiting = asyncio.create_task(operator.execute("SELECT pg_advisory_lock($1)", AdvisoryLock.OUTBOX_RELAY))
        watcher = await kernel.database()
        await eventually(partial(_a_lock_is_awaited, watcher))
        await watcher.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted")
        await waiting
        async with replicas[0].transaction() as tx:
            tx.publish(delivered(new_id()))
        committed_at = await watcher.fetchval("SELECT clock_timestamp()")
        await eventually(partial(_both_relays_have_tried, watcher, committed_at))
        assert await watcher.fetchval("SELECT count(*) FROM outbox") == 1
    finally:
        await operator.close()
    await eventually(partial(_is_empty, watcher))
    await watcher.close()


async def _a_lock_is_awaited(connection: Any) -> bool:
    return bool(await connection.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"))


async def _both_relays_have_tried(connection: Any, since: datetime) -> bool:
    tries = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_try_advisory_lock%' AND query_start > $1"
    return int(await connection.fetchval(f"{tries} AND pid <> pg_backend_pid()", since)) > 1


async def _is_empty(connection: Any) -> bool:
    return bool(await connection.fetchval("SELECT count(*) = 0 FROM outbox"))


def test_events_of_one_aggregate_are_in_different_waves() -> None:
    subjects = ["order.a.placed", "order.b.placed", "order.a.paid", "order.a.shipped", "order.b.paid", "order.c.placed"]
    rows: list[Any] = [{"subject": f"event.{subject}"} for subject in subjects]
    assert [[row["subject"].removeprefix("event.order.") for row in wave] for wave in split_into_waves(rows)] == [
        ["a.placed", "b.placed", "c.placed"],
        ["a.paid", "b.paid"],
        ["a.shipped"],
    ]


Fault = Callable[[KernelStack, pytest.LogCaptureFixture], Coroutine[Any, Any, None]]


async def nats_killed(kernel: KernelStack, _log: pytest.LogCaptureFixture) -> None:
    kernel.stack.kill("nats")
    await kernel.stack.wait_until_ready("nats")


async def nats_frozen(kernel: KernelStack, log: pytest.LogCaptureFixture) -> None:
    """Pauses NATS for longer than the acknowledgement timeout."""
    kernel.stack.pause("nats")
    await eventually(lambda: "not acknowledged" in log.text)
    kernel.stack.resume("nats")


async def leader_session_ended(kernel: KernelStack, _log: pytest.LogCaptureFixture) -> None:
    """Ends the leader's session while it publishes; another relay may lead before the leader notices."""
    watcher = await kernel.database()
    for _ in range(5):
        await eventually(lambda: watcher.fetchval(END_LEADER_SESSION, AdvisoryLock.OUTBOX_RELAY))
    await watcher.close()


@pytest.mark.parametrize("fault", [nats_killed, nats_frozen, leader_session_ended])
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
            faulting = asyncio.create_task(fault(kernel, caplog))
    await faulting
    await eventually(lambda: kernel_client.is_connected)
    watcher = await kernel.database()
    await eventually(partial(_is_empty, watcher), timeout_seconds=30)
    await watcher.close()
    for order_id in orders:
        assert await event_numbers(kernel_client, order_id, len(numbers)) == numbers


async def test_a_silent_leader_is_replaced_without_a_traceback(
    kernel: KernelStack, kernel_client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The lease is shorter than a leader's pause, so leaders lose it again and again."""
    monkeypatch.setattr(outbox, "_LEASE", "SET idle_session_timeout = '20ms'")
    stores: list[Database] = []

    def build(resources: Resources[PostgresSettings, Database]) -> ServiceParts:
        stores.append(resources.store)
        return ServiceParts(None)

    order_id = new_id()
    async with kernel.serve(build), kernel.serve(build):
        for number in range(10):
            async with stores[number % 2].transaction() as tx:
                tx.publish(delivered(order_id, f"{number}"))
        assert await event_numbers(kernel_client, order_id, 10) == [f"{number}" for number in range(10)]
        await eventually(lambda: "relay session lost" in caplog.text)
    assert "released back to the pool" not in " ".join(str(record.exc_info) for record in caplog.records)


async def test_only_the_aggregate_of_a_rejected_event_waits(
    replicas: list[Database], kernel: KernelStack, kernel_client: Client
) -> None:
    js = kernel_client.jetstream()
    limits = (await js.stream_info("ORDER")).config
    await js.update_stream(limits, max_msg_size=1000)
    stuck, free, long = new_id(), new_id(), "S-" + "2" * 1000
    async with replicas[0].transaction() as tx:
        tx.publish(delivered(stuck, "S-1"), delivered(stuck, long), delivered(stuck, "S-3"), delivered(free))
    assert await event_numbers(kernel_client, free, 1) == ["S-1"]
    await eventually(lambda: _has_rows(kernel, 2))
    await js.update_stream(limits, max_msg_size=-1)
    assert await event_numbers(kernel_client, stuck, 3) == ["S-1", long, "S-3"]


async def _has_rows(kernel: KernelStack, count: int) -> bool:
    return await rows_left(kernel) == count


async def test_an_event_that_is_too_large_fails_its_transaction(
    replicas: list[Database], kernel_client: Client
) -> None:
    order_id = new_id()
    for number in ("x" * MAX_EVENT_BYTES, "ü" * (MAX_EVENT_BYTES // 2)):
        with pytest.raises(EventTooLargeError):
            async with replicas[0].transaction() as tx:
                tx.publish(delivered(order_id, number))
    largest = MAX_EVENT_BYTES - len(delivered(order_id, "").model_dump_json())
    async with replicas[0].transaction() as tx:
        tx.publish(delivered(order_id, "x" * largest))
    assert await event_numbers(kernel_client, order_id, 1) == ["x" * largest]


async def test_a_row_that_nats_would_refuse_does_not_hold_up_the_others(
    replicas: list[Database], kernel: KernelStack, kernel_client: Client
) -> None:
    """No transaction writes such a row; one stays behind when an operator lowers the server's limit."""
    order_id = new_id()
    connection = await kernel.database()
    try:
        [row_id] = await connection.fetchrow(INSERT_OVERSIZED, f"event.order.{order_id}.delivered", MAX_MESSAGE_BYTES)
        async with replicas[0].transaction() as tx:
            tx.publish(delivered(order_id, "S-behind"))
        assert await event_numbers(kernel_client, order_id, 1) == ["S-behind"]

        async def only_the_row_is_left() -> bool:
            return [row["id"] for row in await connection.fetch("SELECT id FROM outbox")] == [row_id]

        await eventually(only_the_row_is_left)
    finally:
        await connection.execute("DELETE FROM outbox")
        await connection.close()


@pytest.mark.parametrize(
    ("data", "header", "is_stored"),
    [
        (b'{"stream":"ORDER","seq":7}', None, True),
        (b'{"stream":"ORDER","seq":7,"duplicate":true}', None, True),
        (b'{"error":{"code":400,"err_code":10060,"description":"expected stream does not match"}}', None, False),
        (b"", {"Status": "503"}, False),
    ],
)
def test_only_a_stored_event_is_acknowledged(data: bytes, header: dict[str, str] | None, *, is_stored: bool) -> None:
    assert outbox.is_acknowledgement(Msg(None, data=data, headers=header)) is is_stored
