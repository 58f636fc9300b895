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
from infra.messaging.consumer import NotYet
from infra.messaging.dead_letters import Letter, Letters
from infra.runtime.service import Kit, Room
from tests.infra.conftest import Kernel
from tests.support.eventually import eventually

PRICE = Money(amount=100, currency="USD")


class Bench:
    """What the reactions of this test did, by payment."""

    def __init__(self) -> None:
        self.tried: Counter[UUID] = Counter()
        self.done: Counter[UUID] = Counter()
        self.mood: dict[UUID, str] = {}


async def captured(bench: Bench, tx: Transaction, event: PaymentCaptured) -> None:
    bench.tried[event.payment_id] += 1
    mood = bench.mood.get(event.payment_id)
    if mood == "refused":
        raise NotFound
    if mood == "away once" and bench.tried[event.payment_id] == 1:
        raise ConnectionResetError
    if mood == "not yet" and bench.tried[event.payment_id] < 3:
        raise NotYet
    if mood == "never":
        raise NotYet
    if mood == "bug":
        raise ZeroDivisionError
    if mood == "late":
        raise TimeoutError
    if mood == "bug once" and bench.tried[event.payment_id] <= 2:
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
        tx.say(paid)
    tx.afterwards(lambda: bench.done.update([event.payment_id]))


@pytest.fixture(scope="module")
async def bench(kernel: Kernel) -> AsyncIterator[Bench]:
    made = Bench()

    def build(_kit: Kit[PostgresSettings, Database]) -> Room:
        return Room(made, {}, {PaymentCaptured: captured, PaymentFailed: captured})

    async with kernel.running(build):
        yield made


def payment() -> PaymentCaptured:
    return PaymentCaptured(payment_id=new_id(), order_id=new_id(), amount=PRICE)


async def say(client: Client, event: Event, *, event_id: UUID | None = None, **more: str) -> UUID:
    """Publishes as the payment service would; the id says whether it is the same event once more."""
    event_id = event_id or new_id()
    header = {headers.EVENT_ID: str(event_id), headers.EVENT_TYPE: event.type(), **more}
    await client.jetstream().publish(event.subject, event.model_dump_json().encode(), headers=header)
    return event_id


async def test_an_event_is_applied(bench: Bench, kernel_client: Client) -> None:
    event = payment()
    await say(kernel_client, event)
    await eventually(lambda: bench.done[event.payment_id])


async def test_the_same_event_has_its_effect_once(bench: Bench, kernel_client: Client) -> None:
    """Without the dedupe of JetStream: the id is only in the event, as after the window is over."""
    event, behind = payment(), payment()
    event_id = await say(kernel_client, event)
    for _ in range(5):
        await say(kernel_client, event, event_id=event_id)
    await say(kernel_client, behind)
    await eventually(lambda: bench.done[behind.payment_id])
    assert bench.done[event.payment_id] == 1


async def test_twice_in_one_batch_is_once(bench: Bench, kernel_client: Client) -> None:
    event, event_id = payment(), new_id()
    await asyncio.gather(*(say(kernel_client, event, event_id=event_id) for _ in range(20)))
    behind = payment()
    await say(kernel_client, behind)
    await eventually(lambda: bench.done[behind.payment_id])
    assert bench.done[event.payment_id] == 1


@pytest.mark.parametrize("mood", ["away once", "not yet", "bug once"])
async def test_what_fails_for_now_comes_again(bench: Bench, kernel_client: Client, mood: str) -> None:
    event = payment()
    bench.mood[event.payment_id] = mood
    await say(kernel_client, event)
    await eventually(lambda: bench.done[event.payment_id])
    assert bench.tried[event.payment_id] > 1


async def test_one_that_fails_does_not_stop_the_others(bench: Bench, kernel_client: Client) -> None:
    bad, good = payment(), [payment() for _ in range(10)]
    bench.mood[bad.payment_id] = "bug once"
    await asyncio.gather(*(say(kernel_client, event) for event in (*good[:5], bad, *good[5:])))
    await eventually(lambda: all(bench.done[event.payment_id] == 1 for event in (*good, bad)))


async def dead_letters(client: Client, event_id: UUID) -> list[dict[str, str]]:
    letters = [letter async for letter in Letters(client.jetstream()).every()]
    return [letter.headers for letter in letters if letter.headers.get(headers.EVENT_ID) == str(event_id)]


async def test_what_is_refused_goes_to_the_dead_letters(bench: Bench, kernel_client: Client) -> None:
    event, behind = payment(), payment()
    bench.mood[event.payment_id] = "refused"
    trace = "00-" + "ab" * 16 + "-" + "cd" * 8 + "-00"
    event_id = await say(kernel_client, event, traceparent=trace)
    await say(kernel_client, behind)
    (letter,) = await eventually(lambda: dead_letters(kernel_client, event_id))
    assert letter[headers.DEAD_SERVICE] == "order"
    assert "NotFound" in letter[headers.DEAD_REASON]
    assert letter[headers.DEAD_DELIVERIES] == "1"
    assert letter[headers.DEAD_SUBJECT] == event.subject
    assert letter[headers.TRACEPARENT] == trace
    await eventually(lambda: bench.done[behind.payment_id])


POISON: dict[str, tuple[bytes, dict[str, str]]] = {
    "a type that nobody knows": (b"{}", {headers.EVENT_TYPE: "souk.unheard.of"}),
    "an event of another service": (b"{}", {headers.EVENT_TYPE: OrderPaid.type()}),
    "a body that says nothing": (b'{"payment_id": "x"}', {}),
    "no JSON": (b"\xff{", {}),
    "too long a header": (b"{}", {"Long": "x" * 60_000, headers.REQUEST_ID: "\u00fc" * 2_000}),
    "too long a body": (b" " * 900_000, {}),
}


@pytest.mark.parametrize("fault", POISON)
async def test_what_cannot_be_read_goes_to_the_dead_letters(bench: Bench, kernel_client: Client, fault: str) -> None:
    event_id, event = new_id(), payment()
    body, more = POISON[fault]
    header = {headers.EVENT_ID: str(event_id), headers.EVENT_TYPE: event.type(), **more}
    await kernel_client.jetstream().publish(event.subject, body, headers=header)
    letters = await eventually(lambda: dead_letters(kernel_client, event_id))
    assert len(letters) == 1


async def test_what_has_no_id_stops_nobody(bench: Bench, kernel_client: Client) -> None:
    """In the middle of a batch: the others are applied at once, and it is a dead letter that can only be dropped."""
    bad, others = payment(), [payment() for _ in range(10)]
    js = kernel_client.jetstream()
    first = [say(kernel_client, event) for event in others[:5]]
    then = [say(kernel_client, event) for event in others[5:]]
    poison = js.publish(bad.subject, bad.model_dump_json().encode(), headers={headers.EVENT_TYPE: bad.type()})
    await asyncio.gather(*first, poison, *then)
    await eventually(lambda: all(bench.done[event.payment_id] == 1 for event in others), within=5)
    letter = await eventually(lambda: letter_about(kernel_client, bad))
    assert letter is not None
    assert headers.EVENT_ID in letter.reason
    with pytest.raises(ValueError, match="drop it"):
        letter.event()


async def test_nobody_says_what_is_anothers_to_say(bench: Bench, kernel_client: Client) -> None:
    """The catalog may publish below its own name; what it says there is no payment, whatever the header says."""
    forged = payment()
    said = {headers.EVENT_TYPE: forged.type(), headers.EVENT_ID: str(new_id())}
    subject = f"event.catalog.{forged.payment_id}.hold_lost"
    await kernel_client.jetstream().publish(subject, forged.model_dump_json().encode(), headers=said)
    letters = Letters(kernel_client.jetstream())

    async def buried() -> bool:
        return bool([one async for one in letters.every("order") if subject in str(one)])

    await eventually(buried)
    assert not bench.tried[forged.payment_id]


async def letter_about(client: Client, event: PaymentCaptured) -> Letter | None:
    letters = [letter async for letter in Letters(client.jetstream()).every("order")]
    return next((letter for letter in letters if letter.aggregate == str(event.payment_id)), None)


@pytest.mark.parametrize(("mood", "limit"), [("bug", "DEADLY_TRIES"), ("never", "PATIENCE"), ("late", "PATIENCE")])
async def test_what_fails_again_and_again_is_a_dead_letter_in_the_end(
    bench: Bench, kernel_client: Client, monkeypatch: pytest.MonkeyPatch, mood: str, limit: str
) -> None:
    """A fault of its own, an event that never comes, a timeout while the store answers; those behind it go on."""
    monkeypatch.setattr(reactor, limit, 2)
    bad, behind = payment(), [payment() for _ in range(5)]
    bench.mood[bad.payment_id] = mood
    await asyncio.gather(say(kernel_client, bad), *(say(kernel_client, event) for event in behind))
    await eventually(lambda: all(bench.done[event.payment_id] for event in behind), within=5)
    await eventually(lambda: letter_about(kernel_client, bad))
    assert bench.tried[bad.payment_id] >= 2
    assert not bench.done[bad.payment_id]


async def test_an_event_comes_again_while_there_is_no_place_for_dead_letters(
    bench: Bench, kernel_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reactor, "LONGEST_PAUSE", 0.1)
    js = kernel_client.jetstream()
    config = (await js.stream_info("DEAD")).config
    bad, good = payment(), payment()
    bench.mood[bad.payment_id] = "refused"
    await js.update_stream(config.evolve(subjects=["nowhere"]))
    try:
        await asyncio.gather(say(kernel_client, bad), say(kernel_client, good))
        await eventually(lambda: bench.done[good.payment_id] and bench.tried[bad.payment_id] > 2)
    finally:
        await js.update_stream(config)
    assert await eventually(lambda: letter_about(kernel_client, bad))


class Newer(Model):
    """An event as a later release says it, with a field that this one does not know."""

    payment_id: UUID
    order_id: UUID
    amount: Money
    colour: str


async def test_a_newer_event_is_understood(bench: Bench, kernel_client: Client) -> None:
    event = payment()
    newer = Newer(**event.model_dump(), colour="red")
    header = {headers.EVENT_ID: str(new_id()), headers.EVENT_TYPE: event.type()}
    await kernel_client.jetstream().publish(event.subject, newer.model_dump_json().encode(), headers=header)
    await eventually(lambda: bench.done[event.payment_id])


async def test_an_effects_own_event_leaves_with_its_trace(bench: Bench, kernel_client: Client) -> None:
    event = payment()
    bench.mood[event.payment_id] = "says so"
    trace = "00-" + "12" * 16 + "-" + "34" * 8 + "-01"
    heard = await kernel_client.subscribe(f"event.order.{event.order_id}.paid")
    await say(kernel_client, event, traceparent=trace)
    message = await heard.next_msg(timeout=10)
    await heard.unsubscribe()
    assert OrderPaid.model_validate_json(message.data).payment_id == event.payment_id
    assert message.headers[headers.TRACEPARENT].split("-")[1] == "12" * 16
    assert message.headers[headers.EVENT_SOURCE] == "/souk/order"
    assert message.headers[headers.EVENT_SPEC] == "1.0"
    assert message.headers[headers.MESSAGE_ID] == message.headers[headers.EVENT_ID]


async def test_a_store_that_is_away_is_waited_for(bench: Bench, kernel: Kernel, kernel_client: Client) -> None:
    """PostgreSQL is killed while events come in; none is lost, none uses up its deliveries."""
    events = [payment() for _ in range(50)]
    kernel.stack.kill("postgres")
    await asyncio.gather(*(say(kernel_client, event) for event in events))
    await kernel.stack.until_ready("postgres")
    await eventually(lambda: all(bench.done[event.payment_id] >= 1 for event in events), within=30)
    info = await kernel_client.jetstream().consumer_info("PAYMENT", "order")
    assert info.num_redelivered == 0
