"""An event that the operator hands over: by the same path as from the stream, and once."""

from collections.abc import AsyncIterator

import pytest
from nats.aio.client import Client

from contracts.failure import Invalid, Unavailable
from contracts.operation import EDGE, OPERATOR
from contracts.order import OrderPaid
from contracts.payment import PaymentCaptured, PaymentFailed
from contracts.redelivery import EffectFailed, HeardTooSoon, HearEvent, Outcome
from contracts.registry import HEAR, HEARS, SERVICES, asked_by
from infra.database.postgres import Database
from infra.foundation.ids import new_id
from infra.foundation.settings import PostgresSettings
from infra.messaging import consumer as reactor
from infra.messaging.dead_letters import Letters
from infra.messaging.redelivery import Handover
from infra.messaging.topology import consumers_of
from infra.runtime.service import Kit, Room
from tests.infra.conftest import Kernel
from tests.infra.messaging.test_consumer import Bench, captured, letter_about, payment, say
from tests.support.eventually import eventually


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench()


def furnish(made: Bench) -> Room:
    return Room(made, {}, {PaymentCaptured: captured, PaymentFailed: captured})


@pytest.fixture
async def order(kernel: Kernel, bench: Bench) -> AsyncIterator[None]:
    def build(_kit: Kit[PostgresSettings, Database]) -> Room:
        return furnish(bench)

    async with kernel.running(build):
        yield


@pytest.fixture
def handover(kernel_client: Client) -> Handover:
    return Handover(kernel_client, patience=0.5)


def handed(event: PaymentCaptured) -> HearEvent:
    return HearEvent(id=new_id(), type=event.type(), data=event.model_dump_json(), subject=event.subject)


def test_every_listener_can_be_handed_events_by_the_operator_alone() -> None:
    assert set(HEAR) == {service for service, heard in HEARS.items() if heard}
    assert set(HEAR.values()) <= set(asked_by(OPERATOR))
    for caller in (EDGE, *SERVICES):
        assert not set(HEAR.values()) & set(asked_by(caller))


@pytest.mark.usefixtures("order")
async def test_handed_over_twice_it_has_its_effect_once_and_is_noted_once(
    kernel: Kernel, bench: Bench, handover: Handover
) -> None:
    event = payment()
    said = handed(event)
    assert await handover.hand("order", said) is Outcome.APPLIED
    assert await handover.hand("order", said) is Outcome.KNOWN
    assert bench.done[event.payment_id] == 1
    connection = await kernel.database()
    noted = await connection.fetch("SELECT act, actor_kind FROM trail WHERE subject = $1", str(said.id))
    await connection.close()
    assert [tuple(row) for row in noted] == [("order.hear", "operator")]


@pytest.mark.usefixtures("order")
async def test_what_came_from_the_stream_is_known(bench: Bench, handover: Handover, kernel_client: Client) -> None:
    event = payment()
    event_id = await say(kernel_client, event)
    await eventually(lambda: bench.done[event.payment_id])
    said = handed(event).model_copy(update={"id": event_id})
    assert await handover.hand("order", said) is Outcome.KNOWN
    assert bench.done[event.payment_id] == 1


@pytest.mark.usefixtures("order")
async def test_its_own_event_leaves_with_the_trace(bench: Bench, handover: Handover, kernel_client: Client) -> None:
    event = payment()
    bench.mood[event.payment_id] = "says so"
    heard = await kernel_client.subscribe(f"event.order.{event.order_id}.paid")
    trace = "00-" + "7f" * 16 + "-" + "34" * 8 + "-00"
    await handover.hand("order", handed(event).model_copy(update={"traceparent": trace}))
    message = await heard.next_msg(timeout=10)
    await heard.unsubscribe()
    assert message.headers["traceparent"].split("-")[1] == "7f" * 16


@pytest.mark.usefixtures("order")
@pytest.mark.parametrize(("mood", "fail"), [("never", HeardTooSoon), ("bug", EffectFailed), ("refused", EffectFailed)])
async def test_a_failing_effect_is_told_and_leaves_nothing(
    bench: Bench, handover: Handover, mood: str, fail: type[Exception]
) -> None:
    event = payment()
    said = handed(event)
    bench.mood[event.payment_id] = mood
    with pytest.raises(fail):
        await handover.hand("order", said)
    bench.mood[event.payment_id] = "mended"
    assert await handover.hand("order", said) is Outcome.APPLIED
    assert bench.done[event.payment_id] == 1


@pytest.mark.usefixtures("order")
@pytest.mark.parametrize(("kind", "data"), [("souk.un.known", "{}"), (OrderPaid.type(), "{}"), ("", "")])
async def test_what_the_service_does_not_hear_is_refused(handover: Handover, kind: str, data: str) -> None:
    with pytest.raises(Invalid):
        await handover.hand("order", HearEvent(id=new_id(), type=kind, data=data))


@pytest.mark.usefixtures("order")
async def test_what_cannot_be_read_is_refused(handover: Handover) -> None:
    with pytest.raises(Invalid, match="not valid") as refused:
        await handover.hand("order", HearEvent(id=new_id(), type=PaymentCaptured.type(), data="{"))
    assert refused.value.errors[0].pointer == "/data"


async def test_a_service_that_is_away_is_told_and_may_be_asked_again(bench: Bench, kernel: Kernel) -> None:
    event = payment()
    said = handed(event)
    async with kernel.client("operator") as client:
        with pytest.raises(Unavailable):
            await Handover(client, patience=0.1).hand("order", said)
        async with kernel.running(lambda _kit: furnish(bench)):
            assert await Handover(client).hand("order", said) is Outcome.APPLIED


@pytest.mark.usefixtures("order")
async def test_a_dead_letter_is_heard_after_the_mending(
    bench: Bench, handover: Handover, kernel_client: Client
) -> None:
    """The whole way: buried by the service, handed over too early, mended, handed over twice, removed."""
    event, letters = payment(), Letters(kernel_client.jetstream())
    bench.mood[event.payment_id] = "refused"
    event_id = await say(kernel_client, event)
    letter = await eventually(lambda: letter_about(kernel_client, event))
    assert letter is not None
    assert letter.event().id == event_id
    with pytest.raises(EffectFailed, match="NotFound"):
        await handover.hand(letter.service, letter.event())
    bench.mood[event.payment_id] = "mended"
    assert await handover.hand(letter.service, letter.event()) is Outcome.APPLIED
    assert await handover.hand(letter.service, letter.event()) is Outcome.KNOWN
    assert bench.done[event.payment_id] == 1
    assert await letters.drop(letter.seq)
    assert not await letters.drop(letter.seq)
    assert await letters.get(letter.seq) is None
    assert letter.seq not in [other.seq async for other in letters.every()]


async def test_deliveries_to_processes_that_died_do_not_count(
    bench: Bench, kernel: Kernel, kernel_client: Client
) -> None:
    """As if killed with the event in hand, more often than a failing event is tried: then it fails once by itself."""
    (consumer,) = [one for one in consumers_of("order") if one.stream == "PAYMENT"]
    held = await kernel_client.subscribe(consumer.deliver_subject, queue="order")
    event = payment()
    bench.mood[event.payment_id] = "bug once"
    await say(kernel_client, event)
    for _ in range(reactor.DEADLY_TRIES + 2):
        message = await held.next_msg(timeout=10)
        await message.nak()
    await held.unsubscribe()
    await kernel_client.flush()
    async with kernel.running(lambda _kit: furnish(bench)):
        await eventually(lambda: bench.done[event.payment_id] == 1, within=30)
    assert await letter_about(kernel_client, event) is None
