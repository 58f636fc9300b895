"""Events: each one is applied once, whatever happens to it on the way."""

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
from infra.database.postgres import Transaction
from infra.foundation.ids import new_id
from infra.messaging import consumer
from infra.messaging.connection import ConnectionMonitor
from infra.messaging.consumer import EventHandler, RetryLater
from infra.messaging.dead_letters import DeadLetter, DeadLetterQueue
from infra.runtime.service import ServiceParts
from tests.infra.conftest import KernelStack
from tests.support.eventually import eventually

PRICE = Money(amount=100, currency="USD")


class HandlerProbe:
    """What the event handler of these tests did and shall do, by payment."""

    def __init__(self) -> None:
        self.attempts: Counter[UUID] = Counter()
        self.applied: Counter[UUID] = Counter()
        self.behavior: dict[UUID, str] = {}
        self.gate = asyncio.Event()
        self.monitor: ConnectionMonitor | None = None

    def count_ignored(self) -> float:
        """Returns how many messages were no events of the service's consumers."""
        assert self.monitor is not None
        labels = {"event": "unknown", "outcome": "ignored"}
        return self.monitor.metrics.registry.get_sample_value("souk_events_consumed_total", labels) or 0


async def handle_payment_captured(probe: HandlerProbe, tx: Transaction, event: PaymentCaptured) -> None:
    probe.attempts[event.payment_id] += 1
    attempt, behavior = probe.attempts[event.payment_id], probe.behavior.get(event.payment_id)
    if behavior == "refuse":
        raise NotFound
    if behavior == "store unavailable once" and attempt == 1:
        raise ConnectionResetError
    if behavior == "too early" and attempt < 3:
        raise RetryLater
    if behavior == "always too early":
        raise RetryLater
    if behavior == "always fail":
        raise ZeroDivisionError
    if behavior == "always time out":
        raise TimeoutError
    if behavior == "wait":
        await probe.gate.wait()
    if behavior == "fail twice" and attempt <= 2:
        raise ZeroDivisionError
    if behavior == "publish":
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
    tx.on_commit(lambda: probe.applied.update([event.payment_id]))


EVENT_HANDLERS: dict[type[Event], EventHandler] = {
    PaymentCaptured: handle_payment_captured,
    PaymentFailed: handle_payment_captured,
}


@pytest.fixture(scope="module", params=[True, False], ids=["fast path", "FastStream"])
async def probe(kernel: KernelStack, request: pytest.FixtureRequest) -> AsyncIterator[HandlerProbe]:
    probe = HandlerProbe()
    async with kernel.serve(
        lambda _resources: ServiceParts(probe), event_handlers=EVENT_HANDLERS, fast_path=request.param
    ) as probe.monitor:
        yield probe


def payment_captured() -> PaymentCaptured:
    """Returns an event about a new payment."""
    return PaymentCaptured(payment_id=new_id(), order_id=new_id(), amount=PRICE)


async def publish_event(client: Client, event: Event, *, event_id: UUID | None = None, **more: str) -> UUID:
    """Publishes as the payment service does. The same `event_id` again makes a duplicate."""
    event_id = event_id or new_id()
    header = {headers.EVENT_ID: str(event_id), headers.EVENT_TYPE: event.ce_type(), **more}
    await client.jetstream().publish(event.subject, event.model_dump_json().encode(), headers=header)
    return event_id


async def test_event_is_applied(probe: HandlerProbe, kernel_client: Client) -> None:
    event = payment_captured()
    await publish_event(kernel_client, event)
    await eventually(lambda: probe.applied[event.payment_id])


async def test_duplicate_has_no_second_effect(probe: HandlerProbe, kernel_client: Client) -> None:
    """JetStream does not deduplicate here: the id is only in the event, as after the end of the duplicate window."""
    event, behind = payment_captured(), payment_captured()
    event_id = await publish_event(kernel_client, event)
    for _ in range(5):
        await publish_event(kernel_client, event, event_id=event_id)
    await publish_event(kernel_client, behind)
    await eventually(lambda: probe.applied[behind.payment_id])
    assert probe.applied[event.payment_id] == 1


async def test_duplicate_in_one_batch_has_no_second_effect(probe: HandlerProbe, kernel_client: Client) -> None:
    event, event_id = payment_captured(), new_id()
    await asyncio.gather(*(publish_event(kernel_client, event, event_id=event_id) for _ in range(20)))
    behind = payment_captured()
    await publish_event(kernel_client, behind)
    await eventually(lambda: probe.applied[behind.payment_id])
    assert probe.applied[event.payment_id] == 1


@pytest.mark.parametrize("behavior", ["store unavailable once", "too early", "fail twice"])
async def test_temporary_failure_is_retried(probe: HandlerProbe, kernel_client: Client, behavior: str) -> None:
    event = payment_captured()
    probe.behavior[event.payment_id] = behavior
    await publish_event(kernel_client, event)
    await eventually(lambda: probe.applied[event.payment_id])
    assert probe.attempts[event.payment_id] > 1


async def test_failing_event_does_not_stop_others(probe: HandlerProbe, kernel_client: Client) -> None:
    bad, good = payment_captured(), [payment_captured() for _ in range(10)]
    probe.behavior[bad.payment_id] = "fail twice"
    await asyncio.gather(*(publish_event(kernel_client, event) for event in (*good[:5], bad, *good[5:])))
    await eventually(lambda: all(probe.applied[event.payment_id] == 1 for event in (*good, bad)))


async def dead_letters(client: Client, event_id: UUID) -> list[dict[str, str]]:
    found = [dead_letter async for dead_letter in DeadLetterQueue(client.jetstream()).iterate()]
    return [dead_letter.headers for dead_letter in found if dead_letter.headers.get(headers.EVENT_ID) == str(event_id)]


async def test_refused_event_is_dead_lettered(probe: HandlerProbe, kernel_client: Client) -> None:
    event, behind = payment_captured(), payment_captured()
    probe.behavior[event.payment_id] = "refuse"
    trace = "00-" + "ab" * 16 + "-" + "cd" * 8 + "-00"
    event_id = await publish_event(kernel_client, event, traceparent=trace)
    await publish_event(kernel_client, behind)
    (dead_letter,) = await eventually(lambda: dead_letters(kernel_client, event_id))
    assert dead_letter[headers.DEAD_SERVICE] == "order"
    assert "NotFound" in dead_letter[headers.DEAD_REASON]
    assert dead_letter[headers.DEAD_DELIVERIES] == "1"
    assert dead_letter[headers.DEAD_SUBJECT] == event.subject
    assert dead_letter[headers.TRACEPARENT] == trace
    await eventually(lambda: probe.applied[behind.payment_id])


MALFORMED: dict[str, tuple[bytes, dict[str, str]]] = {
    "unknown type": (b"{}", {headers.EVENT_TYPE: "souk.unheard.of"}),
    "event of another service": (b"{}", {headers.EVENT_TYPE: OrderPaid.ce_type()}),
    "invalid body": (b'{"payment_id": "x"}', {}),
    "not JSON": (b"\xff{", {}),
    "header too long": (b"{}", {"Long": "x" * 60_000, headers.REQUEST_ID: "\u00fc" * 2_000}),
    "body too long": (b" " * 900_000, {}),
}


@pytest.mark.parametrize("fault", MALFORMED)
async def test_malformed_event_is_dead_lettered(probe: HandlerProbe, kernel_client: Client, fault: str) -> None:
    event_id, event = new_id(), payment_captured()
    body, more = MALFORMED[fault]
    header = {headers.EVENT_ID: str(event_id), headers.EVENT_TYPE: event.ce_type(), **more}
    await kernel_client.jetstream().publish(event.subject, body, headers=header)
    found = await eventually(lambda: dead_letters(kernel_client, event_id))
    assert len(found) == 1


async def test_event_without_id_is_dead_lettered(probe: HandlerProbe, kernel_client: Client) -> None:
    """It is in the middle of a batch: the others are applied, and its dead letter can only be dropped."""
    bad, others = payment_captured(), [payment_captured() for _ in range(10)]
    js = kernel_client.jetstream()
    before = [publish_event(kernel_client, event) for event in others[:5]]
    after = [publish_event(kernel_client, event) for event in others[5:]]
    malformed = js.publish(bad.subject, bad.model_dump_json().encode(), headers={headers.EVENT_TYPE: bad.ce_type()})
    await asyncio.gather(*before, malformed, *after)
    await eventually(lambda: all(probe.applied[event.payment_id] == 1 for event in others), timeout_seconds=5)
    dead_letter = await eventually(lambda: dead_letter_about(kernel_client, bad))
    assert dead_letter is not None
    assert headers.EVENT_ID in dead_letter.reason
    with pytest.raises(ValueError, match="drop it"):
        dead_letter.to_redelivery()


async def test_event_of_wrong_publisher_is_dead_lettered(probe: HandlerProbe, kernel_client: Client) -> None:
    """The catalog service may publish below its own name only; no header makes a payment event of that."""
    forged = payment_captured()
    header = {headers.EVENT_TYPE: forged.ce_type(), headers.EVENT_ID: str(new_id())}
    subject = f"event.catalog.{forged.payment_id}.hold_lost"
    await kernel_client.jetstream().publish(subject, forged.model_dump_json().encode(), headers=header)
    queue = DeadLetterQueue(kernel_client.jetstream())

    async def is_dead_lettered() -> bool:
        return bool([dead_letter async for dead_letter in queue.iterate("order") if subject in str(dead_letter)])

    await eventually(is_dead_lettered)
    assert not probe.attempts[forged.payment_id]


async def dead_letter_about(client: Client, event: PaymentCaptured) -> DeadLetter | None:
    found = [dead_letter async for dead_letter in DeadLetterQueue(client.jetstream()).iterate("order")]
    return next((dead_letter for dead_letter in found if dead_letter.aggregate_id == str(event.payment_id)), None)


@pytest.mark.parametrize(
    ("behavior", "limit"),
    [
        ("always fail", "MAX_ATTEMPTS"),
        ("always too early", "MAX_WAIT_SECONDS"),
        ("always time out", "MAX_WAIT_SECONDS"),
    ],
)
async def test_event_that_always_fails_is_dead_lettered(
    probe: HandlerProbe, kernel_client: Client, monkeypatch: pytest.MonkeyPatch, behavior: str, limit: str
) -> None:
    """A bug, a missing event, or a timeout while the store answers. The events behind it continue."""
    monkeypatch.setattr(consumer, limit, 2)
    bad, behind = payment_captured(), [payment_captured() for _ in range(5)]
    probe.behavior[bad.payment_id] = behavior
    await asyncio.gather(publish_event(kernel_client, bad), *(publish_event(kernel_client, event) for event in behind))
    await eventually(lambda: all(probe.applied[event.payment_id] for event in behind), timeout_seconds=5)
    await eventually(lambda: dead_letter_about(kernel_client, bad))
    assert probe.attempts[bad.payment_id] >= 2
    assert not probe.applied[bad.payment_id]


async def test_event_is_redelivered_while_dead_letters_are_unavailable(
    probe: HandlerProbe, kernel_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "MAX_STORE_BACKOFF_SECONDS", 0.1)
    js = kernel_client.jetstream()
    config = (await js.stream_info("DEAD")).config
    bad, good = payment_captured(), payment_captured()
    probe.behavior[bad.payment_id] = "refuse"
    await js.update_stream(config.evolve(subjects=["nowhere"]))
    try:
        await asyncio.gather(publish_event(kernel_client, bad), publish_event(kernel_client, good))
        await eventually(lambda: probe.applied[good.payment_id] and probe.attempts[bad.payment_id] > 2)
    finally:
        await js.update_stream(config)
    assert await eventually(lambda: dead_letter_about(kernel_client, bad))


class NewerPaymentCaptured(Model):
    """An event of a later release, with a field that this release does not know."""

    payment_id: UUID
    order_id: UUID
    amount: Money
    colour: str


async def test_event_of_a_newer_release_is_applied(probe: HandlerProbe, kernel_client: Client) -> None:
    event = payment_captured()
    newer = NewerPaymentCaptured(**event.model_dump(), colour="red")
    header = {headers.EVENT_ID: str(new_id()), headers.EVENT_TYPE: event.ce_type()}
    await kernel_client.jetstream().publish(event.subject, newer.model_dump_json().encode(), headers=header)
    await eventually(lambda: probe.applied[event.payment_id])


async def test_published_event_continues_the_trace(probe: HandlerProbe, kernel_client: Client) -> None:
    event = payment_captured()
    probe.behavior[event.payment_id] = "publish"
    trace = "00-" + "12" * 16 + "-" + "34" * 8 + "-01"
    subscription = await kernel_client.subscribe(f"event.order.{event.order_id}.paid")
    await publish_event(kernel_client, event, traceparent=trace)
    message = await subscription.next_msg(timeout=10)
    await subscription.unsubscribe()
    assert OrderPaid.model_validate_json(message.data).payment_id == event.payment_id
    assert message.headers[headers.TRACEPARENT].split("-")[1] == "12" * 16
    assert message.headers[headers.EVENT_SOURCE] == "/souk/order"
    assert message.headers[headers.EVENT_SPEC_VERSION] == "1.0"
    assert message.headers[headers.MESSAGE_ID] == message.headers[headers.EVENT_ID]


async def test_consumer_waits_for_unavailable_store(
    probe: HandlerProbe, kernel: KernelStack, kernel_client: Client
) -> None:
    """PostgreSQL is killed while events arrive: no event is lost or redelivered."""
    events = [payment_captured() for _ in range(50)]
    kernel.stack.kill("postgres")
    await asyncio.gather(*(publish_event(kernel_client, event) for event in events))
    await kernel.stack.wait_until_ready("postgres")
    await eventually(lambda: all(probe.applied[event.payment_id] >= 1 for event in events), timeout_seconds=30)
    info = await kernel_client.jetstream().consumer_info("PAYMENT", "order")
    assert info.num_redelivered == 0


async def test_only_the_service_s_own_consumer_delivers_events(
    probe: HandlerProbe, kernel: KernelStack, kernel_client: Client
) -> None:
    """The catalog may request a stored message, with a forged event, for delivery to any subject."""
    dead_letters = DeadLetterQueue(kernel_client.jetstream())
    before = await dead_letters.count("order")
    forged = payment_captured()
    header = {headers.EVENT_ID: str(new_id()), headers.EVENT_TYPE: forged.ce_type()}
    body = forged.model_dump_json().encode()
    async with kernel.client("catalog") as client:
        await client.jetstream().publish("$O.UPLOADS.M.event", body, stream="OBJ_UPLOADS", headers=header)
        await client.publish("$JS.API.DIRECT.GET.OBJ_UPLOADS.$O.UPLOADS.M.event", b"", reply="deliver.order.PAYMENT")
        await client.flush()
    await eventually(lambda: probe.count_ignored() > 0)
    assert probe.attempts[forged.payment_id] == 0
    assert await dead_letters.count("order") == before
