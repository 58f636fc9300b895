"""Events: applied once, whatever happens to them on the way."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from nats.aio.client import Client

from contracts import headers
from contracts.event import Event
from contracts.failure import NotFound
from contracts.model import Model
from contracts.money import Money
from contracts.order import OrderPaid
from contracts.payment import PaymentCaptured, PaymentFailed
from infra.database.postgres import Database, Transaction
from infra.foundation.ids import new_id
from infra.foundation.settings import PostgresSettings
from infra.messaging import consumer as reactor
from infra.messaging.consumer import RetryLater
from infra.messaging.dead_letters import DeadLetter, DeadLetterQueue
from infra.runtime.service import Resources, ServiceParts
from tests.infra.conftest import KernelStack
from tests.support.eventually import eventually

PRICE = Money(amount=100, currency="USD")


class HandlerProbe:
    """What the reactions of this test did, by payment."""

    def __init__(self) -> None:
        self.attempts: Counter[UUID] = Counter()
        self.applied: Counter[UUID] = Counter()
        self.behavior: dict[UUID, str] = {}


async def handle_payment_captured(bench: HandlerProbe, tx: Transaction, event: PaymentCaptured) -> None:
    bench.attempts[event.payment_id] += 1
    mood = bench.behavior.get(event.payment_id)
    if mood == "refused":
        raise NotFound
    if mood == "away once" and bench.attempts[event.payment_id] == 1:
        raise ConnectionResetError
    if mood == "not yet" and bench.attempts[event.payment_id] < 3:
        raise RetryLater
    if mood == "never":
        raise RetryLater
    if mood == "bug":
        raise ZeroDivisionError
    if mood == "late":
        raise TimeoutError
    if mood == "bug once" and bench.attempts[event.payment_id] <= 2:
        raise ZeroDivisionError
    if mood == "says so":
        paid = OrderPaid(
            order_id=event.order_id,
            number="S-1",
            user_id=None,
            total=PRICE,
            hold_id=new_id(),
            payment_id=event.payment_id,
            items=[],
        )
        tx.publish(paid)
    tx.on_commit(lambda: bench.applied.update([event.payment_id]))


@pytest.fixture(scope="module")
async def bench(kernel: KernelStack) -> AsyncIterator[HandlerProbe]:
    made = HandlerProbe()

    def build(_kit: Resources[PostgresSettings, Database]) -> ServiceParts:
        return ServiceParts(
            made, {}, {PaymentCaptured: handle_payment_captured, PaymentFailed: handle_payment_captured}
        )

    async with kernel.serve(build):
        yield made


def payment_captured() -> PaymentCaptured:
    return PaymentCaptured(payment_id=new_id(), order_id=new_id(), amount=PRICE)


async def publish_event(client: Client, event: Event, *, event_id: UUID | None = None, **more: str) -> UUID:
    """Publishes as the payment service would; the id says whether it is the same event once more."""
    event_id = event_id or new_id()
    header = {headers.EVENT_ID: str(event_id), headers.EVENT_TYPE: event.ce_type(), **more}
    await client.jetstream().publish(event.subject, event.model_dump_json().encode(), headers=header)
    return event_id


async def test_an_event_is_applied(bench: HandlerProbe, kernel_client: Client) -> None:
    event = payment_captured()
    await publish_event(kernel_client, event)
    await eventually(lambda: bench.applied[event.payment_id])


async def test_the_same_event_has_its_effect_once(bench: HandlerProbe, kernel_client: Client) -> None:
    """Without the dedupe of JetStream: the id is only in the event, as after the window is over."""
    event, behind = payment_captured(), payment_captured()
    event_id = await publish_event(kernel_client, event)
    for _ in range(5):
        await publish_event(kernel_client, event, event_id=event_id)
    await publish_event(kernel_client, behind)
    await eventually(lambda: bench.applied[behind.payment_id])
    assert bench.applied[event.payment_id] == 1


async def test_twice_in_one_batch_is_once(bench: HandlerProbe, kernel_client: Client) -> None:
    event, event_id = payment_captured(), new_id()
    await asyncio.gather(*(publish_event(kernel_client, event, event_id=event_id) for _ in range(20)))
    behind = payment_captured()
    await publish_event(kernel_client, behind)
    await eventually(lambda: bench.applied[behind.payment_id])
    assert bench.applied[event.payment_id] == 1


@pytest.mark.parametrize("mood", ["away once", "not yet", "bug once"])
async def test_what_fails_for_now_comes_again(bench: HandlerProbe, kernel_client: Client, mood: str) -> None:
    event = payment_captured()
    bench.behavior[event.payment_id] = mood
    await publish_event(kernel_client, event)
    await eventually(lambda: bench.applied[event.payment_id])
    assert bench.attempts[event.payment_id] > 1


async def test_one_that_fails_does_not_stop_the_others(bench: HandlerProbe, kernel_client: Client) -> None:
    bad, good = payment_captured(), [payment_captured() for _ in range(10)]
    bench.behavior[bad.payment_id] = "bug once"
    await asyncio.gather(*(publish_event(kernel_client, event) for event in (*good[:5], bad, *good[5:])))
    await eventually(lambda: all(bench.applied[event.payment_id] == 1 for event in (*good, bad)))


async def dead_letters(client: Client, event_id: UUID) -> list[dict[str, str]]:
    letters = [letter async for letter in DeadLetterQueue(client.jetstream()).iterate()]
    return [letter.headers for letter in letters if letter.headers.get(headers.EVENT_ID) == str(event_id)]


async def test_what_is_refused_goes_to_the_dead_letters(bench: HandlerProbe, kernel_client: Client) -> None:
    event, behind = payment_captured(), payment_captured()
    bench.behavior[event.payment_id] = "refused"
    trace = "00-" + "ab" * 16 + "-" + "cd" * 8 + "-00"
    event_id = await publish_event(kernel_client, event, traceparent=trace)
    await publish_event(kernel_client, behind)
    (letter,) = await eventually(lambda: dead_letters(kernel_client, event_id))
    assert letter[headers.DEAD_SERVICE] == "order"
    assert "NotFound" in letter[headers.DEAD_REASON]
    assert letter[headers.DEAD_DELIVERIES] == "1"
    assert letter[headers.DEAD_SUBJECT] == event.subject
    assert letter[headers.TRACEPARENT] == trace
    await eventually(lambda: bench.applied[behind.payment_id])


POISON: dict[str, tuple[bytes, dict[str, str]]] = {
    "a type that nobody knows": (b"{}", {headers.EVENT_TYPE: "souk.unheard.of"}),
    "an event of another service": (b"{}", {headers.EVENT_TYPE: OrderPaid.ce_type()}),
    "a body that says nothing": (b'{"payment_id": "x"}', {}),
    "no JSON": (b"\xff{", {}),
    "too long a header": (b"{}", {"Long": "x" * 60_000, headers.REQUEST_ID: "\u00fc" * 2_000}),
    "too long a body": (b" " * 900_000, {}),
}


@pytest.mark.parametrize("fault", POISON)
async def test_what_cannot_be_read_goes_to_the_dead_letters(
    bench: HandlerProbe, kernel_client: Client, fault: str
) -> None:
    event_id, event = new_id(), payment_captured()
    body, more = POISON[fault]
    header = {headers.EVENT_ID: str(event_id), headers.EVENT_TYPE: event.ce_type(), **more}
    await kernel_client.jetstream().publish(event.subject, body, headers=header)
    letters = await eventually(lambda: dead_letters(kernel_client, event_id))
    assert len(letters) == 1


async def test_what_has_no_id_stops_nobody(bench: HandlerProbe, kernel_client: Client) -> None:
    """In the middle of a batch: the others are applied at once, and it is a dead letter that can only be dropped."""
    bad, others = payment_captured(), [payment_captured() for _ in range(10)]
    js = kernel_client.jetstream()
    first = [publish_event(kernel_client, event) for event in others[:5]]
    then = [publish_event(kernel_client, event) for event in others[5:]]
    poison = js.publish(bad.subject, bad.model_dump_json().encode(), headers={headers.EVENT_TYPE: bad.ce_type()})
    await asyncio.gather(*first, poison, *then)
    await eventually(lambda: all(bench.applied[event.payment_id] == 1 for event in others), timeout_seconds=5)
    letter = await eventually(lambda: dead_letter_about(kernel_client, bad))
    assert letter is not None
    assert headers.EVENT_ID in letter.reason
    with pytest.raises(ValueError, match="drop it"):
        letter.to_redelivery()


async def test_nobody_says_what_is_anothers_to_say(bench: HandlerProbe, kernel_client: Client) -> None:
    """The catalog may publish below its own name; what it says there is no payment, whatever the header says."""
    forged = payment_captured()
    said = {headers.EVENT_TYPE: forged.ce_type(), headers.EVENT_ID: str(new_id())}
    subject = f"event.catalog.{forged.payment_id}.hold_lost"
    await kernel_client.jetstream().publish(subject, forged.model_dump_json().encode(), headers=said)
    letters = DeadLetterQueue(kernel_client.jetstream())

    async def buried() -> bool:
        return bool([one async for one in letters.iterate("order") if subject in str(one)])

    await eventually(buried)
    assert not bench.attempts[forged.payment_id]


async def dead_letter_about(client: Client, event: PaymentCaptured) -> DeadLetter | None:
    letters = [letter async for letter in DeadLetterQueue(client.jetstream()).iterate("order")]
    return next((letter for letter in letters if letter.aggregate_id == str(event.payment_id)), None)


@pytest.mark.parametrize(("mood", "limit"), [("bug", "DEADLY_TRIES"), ("never", "PATIENCE"), ("late", "PATIENCE")])
async def test_what_fails_again_and_again_is_a_dead_letter_in_the_end(
    bench: HandlerProbe, kernel_client: Client, monkeypatch: pytest.MonkeyPatch, mood: str, limit: str
) -> None:
    """A fault of its own, an event that never comes, a timeout while the store answers; those behind it go on."""
    monkeypatch.setattr(reactor, limit, 2)
    bad, behind = payment_captured(), [payment_captured() for _ in range(5)]
    bench.behavior[bad.payment_id] = mood
    await asyncio.gather(publish_event(kernel_client, bad), *(publish_event(kernel_client, event) for event in behind))
    await eventually(lambda: all(bench.applied[event.payment_id] for event in behind), timeout_seconds=5)
    await eventually(lambda: dead_letter_about(kernel_client, bad))
    assert bench.attempts[bad.payment_id] >= 2
    assert not bench.applied[bad.payment_id]


async def test_an_event_comes_again_while_there_is_no_place_for_dead_letters(
    bench: HandlerProbe, kernel_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reactor, "LONGEST_PAUSE", 0.1)
    js = kernel_client.jetstream()
    config = (await js.stream_info("DEAD")).config
    bad, good = payment_captured(), payment_captured()
    bench.behavior[bad.payment_id] = "refused"
    await js.update_stream(config.evolve(subjects=["nowhere"]))
    try:
        await asyncio.gather(publish_event(kernel_client, bad), publish_event(kernel_client, good))
        await eventually(lambda: bench.applied[good.payment_id] and bench.attempts[bad.payment_id] > 2)
    finally:
        await js.update_stream(config)
    assert await eventually(lambda: dead_letter_about(kernel_client, bad))


class Newer(Model):
    """An event as a later release says it, with a field that this one does not know."""

    payment_id: UUID
    order_id: UUID
    amount: Money
    colour: str


async def test_a_newer_event_is_understood(bench: HandlerProbe, kernel_client: Client) -> None:
    event = payment_captured()
    newer = Newer(**event.model_dump(), colour="red")
    header = {headers.EVENT_ID: str(new_id()), headers.EVENT_TYPE: event.ce_type()}
    await kernel_client.jetstream().publish(event.subject, newer.model_dump_json().encode(), headers=header)
    await eventually(lambda: bench.applied[event.payment_id])


async def test_an_effects_own_event_leaves_with_its_trace(bench: HandlerProbe, kernel_client: Client) -> None:
    event = payment_captured()
    bench.behavior[event.payment_id] = "says so"
    trace = "00-" + "12" * 16 + "-" + "34" * 8 + "-01"
    heard = await kernel_client.subscribe(f"event.order.{event.order_id}.paid")
    await publish_event(kernel_client, event, traceparent=trace)
    message = await heard.next_msg(timeout=10)
    await heard.unsubscribe()
    assert OrderPaid.model_validate_json(message.data).payment_id == event.payment_id
    assert message.headers[headers.TRACEPARENT].split("-")[1] == "12" * 16
    assert message.headers[headers.EVENT_SOURCE] == "/souk/order"
    assert message.headers[headers.EVENT_SPEC_VERSION] == "1.0"
    assert message.headers[headers.MESSAGE_ID] == message.headers[headers.EVENT_ID]


async def test_a_store_that_is_away_is_waited_for(
    bench: HandlerProbe, kernel: KernelStack, kernel_client: Client
) -> None:
    """PostgreSQL is killed while events come in; none is lost, none uses up its deliveries."""
    events = [payment_captured() for _ in range(50)]
    kernel.stack.kill("postgres")
    await asyncio.gather(*(publish_event(kernel_client, event) for event in events))
    await kernel.stack.until_ready("postgres")
    await eventually(lambda: all(bench.applied[event.payment_id] >= 1 for event in events), timeout_seconds=30)
    info = await kernel_client.jetstream().consumer_info("PAYMENT", "order")
    assert info.num_redelivered == 0
