"""An event that the operator hands over: by the same path as from the stream, and once."""

from collections.abc import AsyncIterator

import pytest
from nats.aio.client import Client

from contracts.failure import InvalidRequest, Unavailable
from contracts.operation import EDGE, OPERATOR
from contracts.order import OrderPaid
from contracts.payment import PaymentCaptured, PaymentFailed
from contracts.redelivery import DeliveredTooEarly, EventHandlingFailed, RedeliverEvent, RedeliveryOutcome
from contracts.registry import REDELIVER, SERVICES, SUBSCRIPTIONS, operations_for
from infra.database.postgres import Database
from infra.foundation.ids import new_id
from infra.foundation.settings import PostgresSettings
from infra.messaging import consumer as reactor
from infra.messaging.dead_letters import DeadLetterQueue
from infra.messaging.redelivery import RedeliveryClient
from infra.messaging.topology import consumers_for
from infra.runtime.service import Resources, ServiceParts
from tests.infra.conftest import KernelStack
from tests.infra.messaging.test_consumer import (
    HandlerProbe,
    dead_letter_about,
    handle_payment_captured,
    payment_captured,
    publish_event,
)
from tests.support.eventually import eventually


@pytest.fixture(scope="module")
def bench() -> HandlerProbe:
    return HandlerProbe()


def furnish(made: HandlerProbe) -> ServiceParts:
    return ServiceParts(made, {}, {PaymentCaptured: handle_payment_captured, PaymentFailed: handle_payment_captured})


@pytest.fixture
async def order(kernel: KernelStack, bench: HandlerProbe) -> AsyncIterator[None]:
    def build(_kit: Resources[PostgresSettings, Database]) -> ServiceParts:
        return furnish(bench)

    async with kernel.serve(build):
        yield


@pytest.fixture
def handover(kernel_client: Client) -> RedeliveryClient:
    return RedeliveryClient(kernel_client, retry_for_seconds=0.5)


def handed(event: PaymentCaptured) -> RedeliverEvent:
    return RedeliverEvent(id=new_id(), type=event.ce_type(), data=event.model_dump_json(), subject=event.subject)


def test_every_listener_can_be_handed_events_by_the_operator_alone() -> None:
    assert set(REDELIVER) == {service for service, heard in SUBSCRIPTIONS.items() if heard}
    assert set(REDELIVER.values()) <= set(operations_for(OPERATOR))
    for caller in (EDGE, *SERVICES):
        assert not set(REDELIVER.values()) & set(operations_for(caller))


@pytest.mark.usefixtures("order")
async def test_handed_over_twice_it_has_its_effect_once_and_is_noted_once(
    kernel: KernelStack, bench: HandlerProbe, handover: RedeliveryClient
) -> None:
    event = payment_captured()
    said = handed(event)
    assert await handover.redeliver("order", said) is RedeliveryOutcome.APPLIED
    assert await handover.redeliver("order", said) is RedeliveryOutcome.ALREADY_APPLIED
    assert bench.applied[event.payment_id] == 1
    connection = await kernel.database()
    noted = await connection.fetch("SELECT act, actor_kind FROM trail WHERE subject = $1", str(said.id))
    await connection.close()
    assert [tuple(row) for row in noted] == [("order.hear", "operator")]


@pytest.mark.usefixtures("order")
async def test_what_came_from_the_stream_is_known(
    bench: HandlerProbe, handover: RedeliveryClient, kernel_client: Client
) -> None:
    event = payment_captured()
    event_id = await publish_event(kernel_client, event)
    await eventually(lambda: bench.applied[event.payment_id])
    said = handed(event).model_copy(update={"id": event_id})
    assert await handover.redeliver("order", said) is RedeliveryOutcome.ALREADY_APPLIED
    assert bench.applied[event.payment_id] == 1


@pytest.mark.usefixtures("order")
async def test_its_own_event_leaves_with_the_trace(
    bench: HandlerProbe, handover: RedeliveryClient, kernel_client: Client
) -> None:
    event = payment_captured()
    bench.behavior[event.payment_id] = "says so"
    heard = await kernel_client.subscribe(f"event.order.{event.order_id}.paid")
    trace = "00-" + "7f" * 16 + "-" + "34" * 8 + "-00"
    await handover.redeliver("order", handed(event).model_copy(update={"traceparent": trace}))
    message = await heard.next_msg(timeout=10)
    await heard.unsubscribe()
    assert message.headers["traceparent"].split("-")[1] == "7f" * 16


@pytest.mark.usefixtures("order")
@pytest.mark.parametrize(
    ("mood", "fail"), [("never", DeliveredTooEarly), ("bug", EventHandlingFailed), ("refused", EventHandlingFailed)]
)
async def test_a_failing_effect_is_told_and_leaves_nothing(
    bench: HandlerProbe, handover: RedeliveryClient, mood: str, fail: type[Exception]
) -> None:
    event = payment_captured()
    said = handed(event)
    bench.behavior[event.payment_id] = mood
    with pytest.raises(fail):
        await handover.redeliver("order", said)
    bench.behavior[event.payment_id] = "mended"
    assert await handover.redeliver("order", said) is RedeliveryOutcome.APPLIED
    assert bench.applied[event.payment_id] == 1


@pytest.mark.usefixtures("order")
@pytest.mark.parametrize(("kind", "data"), [("souk.un.known", "{}"), (OrderPaid.ce_type(), "{}"), ("", "")])
async def test_what_the_service_does_not_hear_is_refused(handover: RedeliveryClient, kind: str, data: str) -> None:
    with pytest.raises(InvalidRequest):
        await handover.redeliver("order", RedeliverEvent(id=new_id(), type=kind, data=data))


@pytest.mark.usefixtures("order")
async def test_what_cannot_be_read_is_refused(handover: RedeliveryClient) -> None:
    with pytest.raises(InvalidRequest, match="not valid") as refused:
        await handover.redeliver("order", RedeliverEvent(id=new_id(), type=PaymentCaptured.ce_type(), data="{"))
    assert refused.value.errors[0].pointer == "/data"


async def test_a_service_that_is_away_is_told_and_may_be_asked_again(bench: HandlerProbe, kernel: KernelStack) -> None:
    event = payment_captured()
    said = handed(event)
    async with kernel.client("operator") as client:
        with pytest.raises(Unavailable):
            await RedeliveryClient(client, retry_for_seconds=0.1).redeliver("order", said)
        async with kernel.serve(lambda _kit: furnish(bench)):
            assert await RedeliveryClient(client).redeliver("order", said) is RedeliveryOutcome.APPLIED


@pytest.mark.usefixtures("order")
async def test_a_dead_letter_is_heard_after_the_mending(
    bench: HandlerProbe, handover: RedeliveryClient, kernel_client: Client
) -> None:
    """The whole way: buried by the service, handed over too early, mended, handed over twice, removed."""
    event, letters = payment_captured(), DeadLetterQueue(kernel_client.jetstream())
    bench.behavior[event.payment_id] = "refused"
    event_id = await publish_event(kernel_client, event)
    letter = await eventually(lambda: dead_letter_about(kernel_client, event))
    assert letter is not None
    assert letter.to_redelivery().id == event_id
    with pytest.raises(EventHandlingFailed, match="NotFound"):
        await handover.redeliver(letter.service, letter.to_redelivery())
    bench.behavior[event.payment_id] = "mended"
    assert await handover.redeliver(letter.service, letter.to_redelivery()) is RedeliveryOutcome.APPLIED
    assert await handover.redeliver(letter.service, letter.to_redelivery()) is RedeliveryOutcome.ALREADY_APPLIED
    assert bench.applied[event.payment_id] == 1
    assert await letters.delete(letter.seq)
    assert not await letters.delete(letter.seq)
    assert await letters.get(letter.seq) is None
    assert letter.seq not in [other.seq async for other in letters.iterate()]


async def test_deliveries_to_processes_that_died_do_not_count(
    bench: HandlerProbe, kernel: KernelStack, kernel_client: Client
) -> None:
    """As if killed with the event in hand, more often than a failing event is tried: then it fails once by itself."""
    (consumer,) = [one for one in consumers_for("order") if one.stream == "PAYMENT"]
    held = await kernel_client.subscribe(consumer.deliver_subject, queue="order")
    event = payment_captured()
    bench.behavior[event.payment_id] = "bug once"
    await publish_event(kernel_client, event)
    for _ in range(reactor.MAX_ATTEMPTS + 2):
        message = await held.next_msg(timeout=10)
        await message.nak()
    await held.unsubscribe()
    await kernel_client.flush()
    async with kernel.serve(lambda _kit: furnish(bench)):
        await eventually(lambda: bench.applied[event.payment_id] == 1, timeout_seconds=30)
    assert await dead_letter_about(kernel_client, event) is None
