"""Redelivery: an event that the operator sends takes the same path as one from the stream, and has one effect."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

import pytest
from nats.aio.client import Client

from contracts.failure import InvalidRequest, Unavailable
from contracts.operation import EDGE, OPERATOR
from contracts.operator_redelivery import DeliveredTooEarly, EventHandlingFailed, RedeliverEvent, RedeliveryOutcome
from contracts.order import OrderPaid
from contracts.payment import PaymentCaptured
from contracts.registry import REDELIVER, SERVICES, SUBSCRIPTIONS, operations_for
from infra.foundation.ids import new_id
from infra.messaging.connection import ConnectionMonitor
from infra.messaging.consumer import MAX_ATTEMPTS
from infra.messaging.dead_letters import DeadLetterQueue
from infra.messaging.redelivery_client import RedeliveryClient
from infra.messaging.topology import consumers_for
from infra.runtime.service import ServiceParts
from tests.infra.conftest import KernelStack
from tests.infra.messaging.test_consumer import (
    EVENT_HANDLERS,
    HandlerProbe,
    dead_letter_about,
    payment_captured,
    publish_event,
)
from tests.support.eventually import eventually


@pytest.fixture(scope="module")
def probe() -> HandlerProbe:
    return HandlerProbe()


def serve(kernel: KernelStack, probe: HandlerProbe) -> AbstractAsyncContextManager[ConnectionMonitor]:
    """Runs the service while the block is open."""
    return kernel.serve(lambda _resources: ServiceParts(probe), event_handlers=EVENT_HANDLERS)


@pytest.fixture
async def order(kernel: KernelStack, probe: HandlerProbe) -> AsyncIterator[None]:
    async with serve(kernel, probe):
        yield


@pytest.fixture
def client(kernel_client: Client) -> RedeliveryClient:
    return RedeliveryClient(kernel_client, retry_for_seconds=0.5)


def redelivery_of(event: PaymentCaptured) -> RedeliverEvent:
    """Returns an event as a new redelivery."""
    return RedeliverEvent(id=new_id(), type=event.ce_type(), data=event.model_dump_json(), subject=event.subject)


def test_only_the_operator_redelivers_to_every_subscriber() -> None:
    assert set(REDELIVER) == {service for service, events in SUBSCRIPTIONS.items() if events}
    assert set(REDELIVER.values()) <= set(operations_for(OPERATOR))
    for caller in (EDGE, *SERVICES):
        assert not set(REDELIVER.values()) & set(operations_for(caller))


@pytest.mark.usefixtures("order")
async def test_second_redelivery_has_no_effect_and_no_audit_entry(
    kernel: KernelStack, probe: HandlerProbe, client: RedeliveryClient
) -> None:
    event = payment_captured()
    redelivery = redelivery_of(event)
    assert await client.redeliver("order", redelivery) is RedeliveryOutcome.APPLIED
    assert await client.redeliver("order", redelivery) is RedeliveryOutcome.ALREADY_APPLIED
    assert probe.applied[event.payment_id] == 1
    connection = await kernel.database()
    rows = await connection.fetch("SELECT act, actor_kind FROM trail WHERE subject = $1", str(redelivery.id))
    await connection.close()
    assert [tuple(row) for row in rows] == [("order.hear", "operator")]


@pytest.mark.usefixtures("order")
async def test_event_applied_from_the_stream_is_known(
    probe: HandlerProbe, client: RedeliveryClient, kernel_client: Client
) -> None:
    event = payment_captured()
    event_id = await publish_event(kernel_client, event)
    await eventually(lambda: probe.applied[event.payment_id])
    redelivery = redelivery_of(event).model_copy(update={"id": event_id})
    assert await client.redeliver("order", redelivery) is RedeliveryOutcome.ALREADY_APPLIED
    assert probe.applied[event.payment_id] == 1


@pytest.mark.usefixtures("order")
async def test_published_event_continues_the_trace(
    probe: HandlerProbe, client: RedeliveryClient, kernel_client: Client
) -> None:
    event = payment_captured()
    probe.behavior[event.payment_id] = "publish"
    subscription = await kernel_client.subscribe(f"event.order.{event.order_id}.paid")
    trace = "00-" + "7f" * 16 + "-" + "34" * 8 + "-00"
    await client.redeliver("order", redelivery_of(event).model_copy(update={"traceparent": trace}))
    message = await subscription.next_msg(timeout=10)
    await subscription.unsubscribe()
    assert message.headers["traceparent"].split("-")[1] == "7f" * 16


@pytest.mark.usefixtures("order")
@pytest.mark.parametrize(
    ("behavior", "failure"),
    [
        ("always too early", DeliveredTooEarly),
        ("always fail", EventHandlingFailed),
        ("refuse", EventHandlingFailed),
    ],
)
async def test_failed_redelivery_leaves_no_effect(
    probe: HandlerProbe, client: RedeliveryClient, behavior: str, failure: type[Exception]
) -> None:
    event = payment_captured()
    redelivery = redelivery_of(event)
    probe.behavior[event.payment_id] = behavior
    with pytest.raises(failure):
        await client.redeliver("order", redelivery)
    probe.behavior[event.payment_id] = "succeed"
    assert await client.redeliver("order", redelivery) is RedeliveryOutcome.APPLIED
    assert probe.applied[event.payment_id] == 1


@pytest.mark.usefixtures("order")
@pytest.mark.parametrize(("ce_type", "data"), [("souk.un.known", "{}"), (OrderPaid.ce_type(), "{}"), ("", "")])
async def test_event_without_subscription_is_refused(client: RedeliveryClient, ce_type: str, data: str) -> None:
    with pytest.raises(InvalidRequest):
        await client.redeliver("order", RedeliverEvent(id=new_id(), type=ce_type, data=data))


@pytest.mark.usefixtures("order")
async def test_malformed_event_is_refused(client: RedeliveryClient) -> None:
    with pytest.raises(InvalidRequest, match="not valid") as failure:
        await client.redeliver("order", RedeliverEvent(id=new_id(), type=PaymentCaptured.ce_type(), data="{"))
    assert failure.value.errors[0].pointer == "/data"


async def test_unavailable_service_is_reported_and_can_be_retried(probe: HandlerProbe, kernel: KernelStack) -> None:
    event = payment_captured()
    redelivery = redelivery_of(event)
    async with kernel.client("operator") as connection:
        with pytest.raises(Unavailable):
            await RedeliveryClient(connection, retry_for_seconds=0.1).redeliver("order", redelivery)
        async with serve(kernel, probe):
            assert await RedeliveryClient(connection).redeliver("order", redelivery) is RedeliveryOutcome.APPLIED


@pytest.mark.usefixtures("order")
async def test_dead_letter_is_redelivered_after_the_fix(
    probe: HandlerProbe, client: RedeliveryClient, kernel_client: Client
) -> None:
    """The event is dead-lettered, redelivered too early, fixed, redelivered twice and deleted."""
    event, queue = payment_captured(), DeadLetterQueue(kernel_client.jetstream())
    probe.behavior[event.payment_id] = "refuse"
    event_id = await publish_event(kernel_client, event)
    dead_letter = await eventually(lambda: dead_letter_about(kernel_client, event))
    assert dead_letter is not None
    assert dead_letter.to_redelivery().id == event_id
    with pytest.raises(EventHandlingFailed, match="NotFound"):
        await client.redeliver(dead_letter.service, dead_letter.to_redelivery())
    probe.behavior[event.payment_id] = "succeed"
    assert await client.redeliver(dead_letter.service, dead_letter.to_redelivery()) is RedeliveryOutcome.APPLIED
    assert await client.redeliver(dead_letter.service, dead_letter.to_redelivery()) is RedeliveryOutcome.ALREADY_APPLIED
    assert probe.applied[event.payment_id] == 1
    assert await queue.delete(dead_letter.seq)
    assert not await queue.delete(dead_letter.seq)
    assert await queue.get(dead_letter.seq) is None
    assert dead_letter.seq not in [other.seq async for other in queue.iterate()]


async def test_deliveries_to_killed_processes_do_not_count(
    probe: HandlerProbe, kernel: KernelStack, kernel_client: Client
) -> None:
    """Processes are killed while they hold the event, more often than a failing event is tried."""
    (consumer,) = [each for each in consumers_for("order") if each.stream == "PAYMENT"]
    deliveries = await kernel_client.subscribe(consumer.deliver_subject, queue="order")
    event = payment_captured()
    probe.behavior[event.payment_id] = "fail twice"
    await publish_event(kernel_client, event)
    for _ in range(MAX_ATTEMPTS + 2):
        message = await deliveries.next_msg(timeout=10)
        await message.nak()
    await deliveries.unsubscribe()
    await kernel_client.flush()
    async with serve(kernel, probe):
        await eventually(lambda: probe.applied[event.payment_id] == 1, timeout_seconds=30)
    assert await dead_letter_about(kernel_client, event) is None
