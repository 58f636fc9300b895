"""The consumer side of events: batches, each applied in one transaction of inbox rows, effects and outbox rows.

Messages that arrive while a batch is applied form the next batch, so a busy service commits seldom and an idle one at
once. The consumer waits for a store that is unavailable. An event that fails on its own is redelivered after a growing
delay; an event that fails permanently or too often becomes a dead letter, and the events behind it continue.

Only failures seen by this process count. JetStream's delivery count also grows with each process that was killed while
it held the event together with a thousand others, which says nothing about the event.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Protocol
from uuid import UUID

import nats.errors
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from opentelemetry.trace import SpanKind
from pydantic import ValidationError

from contracts import headers
from contracts.event import Event
from contracts.failure import Fail, TimedOut, Unavailable
from contracts.operator_redelivery import RedeliveryOutcome
from contracts.registry import EVENT_BY_TYPE
from infra.foundation import trace
from infra.foundation.background import AdaptivePause
from infra.foundation.failpoints import failpoint
from infra.foundation.telemetry import Metrics, get_logger
from infra.messaging.dead_letters import store_dead_letter
from infra.messaging.event_parser import ReceivedEvent, StreamedEvent, parse_event_message
from infra.messaging.nats_client import NatsClient
from infra.messaging.span_attributes import messaging_attributes
from infra.messaging.topology import Consumer, parse_delivery

BATCH_SIZE = 100
MAX_ATTEMPTS = 8
"""Failures of one event in one process after which it becomes a dead letter: about half a minute."""
MAX_WAIT_SECONDS = 600.0
"""Seconds that an event may wait for another event or for a lock before it becomes a dead letter."""
MAX_RETRY_DELAY_SECONDS = 15.0
MAX_STORE_BACKOFF_SECONDS = 5.0
MAX_ANSWERED_PINGS = 3
"""Times that the store answers a ping although events fail as if it were unavailable; then the events are at fault."""
MAX_TRACKED_FAILURES = 10_000

EventHandler = Callable[[Any, Any, Any], Awaitable[RedeliveryOutcome | None]]
"""`async def order_paid(deps, tx, event)`: the effect of an event, in the transaction that also writes its inbox row.

It may return the outcome where its store cannot know it; None means that the event was applied.
"""

log = get_logger("souk.events")


class RetryLater(Exception):  # noqa: N818 - a wait, not an error
    """Another event has to be applied first; this event is redelivered later."""


ApplyEvent = Callable[[Any, ReceivedEvent], Awaitable[RedeliveryOutcome | None]]
"""`async def apply_event(tx, received)`: runs the handler of an event in a transaction."""


class Inbox(Protocol):
    """A store that applies each event once."""

    unavailable_errors: tuple[type[Exception], ...]
    """Errors that mean the store is unavailable."""
    contention_errors: tuple[type[Exception], ...]
    """Errors that mean another transaction was in the way."""

    async def ping(self) -> None:
        """Raises if the store does not answer."""

    async def apply(self, events: Sequence[ReceivedEvent], apply_event: ApplyEvent) -> dict[UUID, RedeliveryOutcome]:
        """Runs `apply_event(tx, received)` for each event, so that every event has one effect however often it comes.

        PostgreSQL writes inbox rows and applies a batch in one transaction. In MongoDB `tx` is None, and the effect
        records the event in the document that it changes. Returns the outcome of each event by its id.
        """


@dataclass(slots=True)
class FailureCount:
    """The failures of one event in this process."""

    first_failed_at: float = field(default_factory=time.monotonic)
    attempts: int = 0


class EventConsumer:
    """Applies the events that a service receives from one stream."""

    def __init__(
        self,
        consumer: Consumer,
        deps: Any,  # each service's own dependencies, passed through to its handlers
        handlers: Mapping[type[Event], EventHandler],
        inbox: Inbox,
        js: JetStreamContext,
        metrics: Metrics,
        max_pause_seconds: float = 0.0,
    ) -> None:
        self.consumer, self.service = consumer, consumer.service
        self.deps = deps
        self.handlers = handlers
        self.inbox = inbox
        self._unavailable_errors: tuple[type[Exception], ...] = (*inbox.unavailable_errors, Unavailable, TimedOut)
        self._waiting_errors: tuple[type[Exception], ...] = (
            *self._unavailable_errors,
            *inbox.contention_errors,
            RetryLater,
        )
        self.js = js
        self.metrics = metrics
        self.pause = AdaptivePause(max_pause_seconds)
        self._queue: asyncio.Queue[Msg] = asyncio.Queue()
        self._failures: OrderedDict[int, FailureCount] = OrderedDict()
        self._is_applying = False

    def receive(self, message: Msg) -> None:
        """Queues a message for the next batch of `run`."""
        self._queue.put_nowait(message)

    @property
    def is_idle(self) -> bool:
        """Whether no event is queued or being applied."""
        return self._queue.empty() and not self._is_applying

    async def run(self) -> None:
        """Applies queued messages in batches until it is cancelled."""
        while True:
            first = await self._queue.get()
            self._is_applying = True
            try:
                async with self.pause:
                    await self.process([first, *self._take_queued()])
            except Exception:
                log.exception("batch of events failed; JetStream redelivers it")
            finally:
                self._is_applying = False

    def _take_queued(self) -> list[Msg]:
        return [self._queue.get_nowait() for _ in range(min(self._queue.qsize(), BATCH_SIZE - 1))]

    async def process(self, messages: list[Msg]) -> None:
        """Applies and acknowledges messages. Valid events come first, since dead-lettering the others takes time.

        A message that the service's own consumer has not delivered is no event, and nothing to acknowledge.
        """
        events: list[StreamedEvent] = []
        malformed: list[tuple[Msg, str]] = []
        for message in messages:
            if not self.consumer.has_delivered(message):
                log.error("message ignored: no consumer of this service delivered it", subject=message.subject)
                self.metrics.events_consumed.labels("unknown", "ignored").inc()
                continue
            try:
                events.append(self._parse(message))
            except ValueError as error:  # includes pydantic's ValidationError
                malformed.append((message, describe_error(error)))
        if events:
            await self._apply(events)
        for message, reason in malformed:
            await self._dead_letter(message, reason)

    def _parse(self, message: Msg) -> StreamedEvent:
        received = parse_event_message(message)
        if type(received.event) not in self.handlers:
            error = f"{self.service} has no handler for {received.event.ce_type()}"
            raise ValueError(error)
        return received

    async def _apply(self, events: list[StreamedEvent]) -> None:
        backoff_seconds, answered_pings = 0.1, 0
        while True:
            try:
                await self.inbox.apply(events, self._handle)
            except self._unavailable_errors as error:
                answered_pings += await self._store_answers()
                if answered_pings == MAX_ANSWERED_PINGS:
                    await self._on_failure(events, error)
                    return
                log.warning("store unavailable; %d events wait", len(events), exc_info=True)
                await self._extend_ack_wait(events)
                await asyncio.sleep(backoff_seconds)
                backoff_seconds = min(backoff_seconds * 2, MAX_STORE_BACKOFF_SECONDS)
            except Exception as error:  # noqa: BLE001 - whatever the error is, the event must not be lost
                await self._on_failure(events, error)
                return
            else:
                failpoint("consumer.applied")
                await self._acknowledge(events)
                return

    async def _store_answers(self) -> bool:
        """Whether the store answers a ping: a timeout may concern one event only and must not stop the others."""
        try:
            await self.inbox.ping()
        except Exception:  # noqa: BLE001 - any error means that the store does not answer
            return False
        return True

    async def _handle(self, tx: Any, received: ReceivedEvent) -> RedeliveryOutcome | None:
        return await handle_event(self.handlers, self.deps, tx, received)

    async def _extend_ack_wait(self, events: Sequence[StreamedEvent]) -> None:
        """Tells JetStream that the events are still being worked on."""
        for received in events:
            await received.message.in_progress()

    async def _acknowledge(self, events: Sequence[StreamedEvent]) -> None:
        """Acknowledges applied events: the first by itself, so that a test can end the process between two of them."""
        await _acknowledge([events[0].message])
        if len(events) > 1:
            failpoint("consumer.acked_one")
            await _acknowledge([received.message for received in events[1:]])
        for received in events:
            self._failures.pop(_stream_sequence(received.message), None)
            event = received.event
            self.metrics.events_consumed.labels(event.ce_type(), "ok").inc()
            with trace.activate(received.trace_context):
                log.info("event consumed", event_type=event.ce_type(), aggregate_id=event.aggregate_id)

    async def _on_failure(self, events: list[StreamedEvent], error: Exception) -> None:
        """Applies each half of a failed batch on its own, so that one bad event costs few transactions.

        A single event is redelivered or dead-lettered.
        """
        if middle := len(events) // 2:
            await self._apply(events[:middle])
            await self._apply(events[middle:])
            return
        message, context = events[0].message, events[0].trace_context
        failures = self._record_failure(message)
        with trace.activate(context):
            if _is_permanent(error) or self._has_failed_for_good(failures, error):
                await self._dead_letter(message, describe_error(error))
                return
            self.metrics.events_consumed.labels(events[0].event.ce_type(), "retried").inc()
            log.warning("event retried: %s", describe_error(error), exc_info=not isinstance(error, RetryLater))
            await message.nak(delay=min(0.1 * 2**failures.attempts, MAX_RETRY_DELAY_SECONDS))

    def _record_failure(self, message: Msg) -> FailureCount:
        """Counts a failure of an event. The oldest counts are dropped: another replica may have finished the event."""
        failures = self._failures.setdefault(_stream_sequence(message), FailureCount())
        failures.attempts += 1
        if len(self._failures) > MAX_TRACKED_FAILURES:
            self._failures.popitem(last=False)
        return failures

    def _has_failed_for_good(self, failures: FailureCount, error: Exception) -> bool:
        if isinstance(error, self._waiting_errors):
            return time.monotonic() - failures.first_failed_at >= MAX_WAIT_SECONDS
        return failures.attempts >= MAX_ATTEMPTS

    async def _dead_letter(self, message: Msg, reason: str) -> None:
        """Moves an event to the dead letters. If their stream cannot be reached, the event is redelivered."""
        ce_type = (message.header or {}).get(headers.EVENT_TYPE, "unknown")
        log.error("event dead-lettered: %s", reason, subject=message.subject)
        try:
            await store_dead_letter(self.js, self.service, message, reason)
        except (nats.errors.Error, OSError):
            log.exception("dead-letter stream unavailable; the event is redelivered")
            await message.nak(delay=MAX_STORE_BACKOFF_SECONDS)
            return
        await message.ack()
        self._failures.pop(_stream_sequence(message), None)
        label = ce_type if ce_type in EVENT_BY_TYPE else "unknown"
        self.metrics.events_consumed.labels(label, "dead_lettered").inc()


async def handle_event(
    handlers: Mapping[type[Event], EventHandler],
    deps: Any,  # each service's own
    tx: Any,  # the transaction of the service's store
    received: ReceivedEvent,
) -> RedeliveryOutcome | None:
    """Runs the handler of an event in the trace of the event."""
    event = received.event
    if not trace.has_spans(received.trace_context):
        with trace.activate(received.trace_context):
            return await handlers[type(event)](deps, tx, event)
    attributes = {
        **messaging_attributes("process", event.subject_pattern()),
        "messaging.message.id": str(received.event_id),
        "cloudevents.event_type": event.ce_type(),
    }
    with trace.span(received.trace_context, f"process {event.ce_type()}", SpanKind.CONSUMER, attributes):
        return await handlers[type(event)](deps, tx, event)


def _stream_sequence(message: Msg) -> int:
    delivery = parse_delivery(message.reply)
    assert delivery is not None, "`has_delivered` was checked"
    return delivery.sequence


async def _acknowledge(messages: Sequence[Msg]) -> None:
    client = messages[0]._client  # noqa: SLF001 - the connection that received them
    assert isinstance(client, NatsClient), "every connection of this project"
    await client.acknowledge(messages)


def _is_permanent(error: Exception) -> bool:
    """Whether a retry cannot help, because the event or a request made for it is refused."""
    is_refusal = isinstance(error, Fail) and error.status < HTTPStatus.INTERNAL_SERVER_ERROR
    return is_refusal or isinstance(error, ValidationError)


def describe_error(error: Exception) -> str:
    """Returns what went wrong as one line of text."""
    if isinstance(error, ValidationError):
        return "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
    return f"{type(error).__name__}: {error}"
