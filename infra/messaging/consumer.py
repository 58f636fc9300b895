"""How a service hears events: in batches, each in one transaction of inbox rows, effects and outbox rows.

FastStream hands every pushed message over at once; what has gathered while the last batch was applied is the next one,
so that a busy service commits rarely and an idle one at once. A store that is away is waited for. An event that fails
by itself comes back after a growing delay; one that fails for good, or too often, goes to the dead letters, and those
behind it go on.

How often it has failed is what this process has seen itself. JetStream's count of deliveries also grows with every
process that was killed while it held the event among a thousand others, and says nothing about the event.
"""

import asyncio
import logging
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
from opentelemetry.trace import SpanKind, Tracer
from pydantic import ValidationError

from contracts import headers
from contracts.event import Event
from contracts.failure import Fail, TimedOut, Unavailable
from contracts.redelivery import RedeliveryOutcome
from contracts.registry import EVENT_BY_TYPE
from infra.foundation import trace
from infra.foundation.background import MinInterval
from infra.foundation.failpoints import failpoint
from infra.foundation.telemetry import Metrics
from infra.messaging import dead_letters as deadletter

BATCH_SIZE = 100
MAX_ATTEMPTS = 8
"""Failures of an event by itself, in one process, after which it is a dead letter; about half a minute."""
MAX_WAIT_SECONDS = 600.0
"""Seconds that an event may wait for another, or for its turn, before it is a dead letter too."""
MAX_RETRY_DELAY_SECONDS = 15.0
MAX_STORE_BACKOFF_SECONDS = 5.0
MAX_ANSWERED_PINGS = 3
"""Times that the store answers a ping though the events failed as if it were away: then it is they who fail."""
MAX_TRACKED_FAILURES = 10_000

EventHandler = Callable[[Any, Any, Any], Awaitable[RedeliveryOutcome | None]]
"""`async def order_paid(shop, tx, event)`: the effect of an event, on the transaction that also holds its inbox row.

It may say what became of the event, where its store cannot; None is that it was applied.
"""

log = logging.getLogger("souk.events")


class RetryLater(Exception):  # noqa: N818 - a wait, not an error
    """Something else has to be heard before this; the event comes again."""


@dataclass(frozen=True, slots=True)
class ReceivedEvent:
    """An event as it came: what it says, its id, and its trace."""

    event_id: UUID
    event: Event
    trace_context: trace.Trace


@dataclass(frozen=True, slots=True)
class StreamedEvent(ReceivedEvent):
    """From a stream, with the message to acknowledge."""

    message: Msg


ApplyEvent = Callable[[Any, ReceivedEvent], Awaitable[RedeliveryOutcome | None]]


class Inbox(Protocol):
    """A store that applies each event once."""

    unavailable_errors: tuple[type[Exception], ...]
    contention_errors: tuple[type[Exception], ...]

    async def ping(self) -> None: ...

    async def apply(self, events: Sequence[ReceivedEvent], apply_event: ApplyEvent) -> dict[UUID, RedeliveryOutcome]:
        """Runs `effect(tx, delivery)` so that each event has its effect once, however often it comes.

        PostgreSQL keeps inbox rows and runs a batch in one transaction. In MongoDB, where `tx` is None, an effect notes
        the event in the document that it changes. Returns what became of each, by its id.
        """


def parse_event_message(message: Msg) -> StreamedEvent:
    """The event in a message; raises ValueError for one that nobody can read, or that somebody else says.

    NATS lets a service publish below its own name only, so that the subject, not the header, tells whose word it is.
    """
    header = message.header or {}
    event = parse_event(header.get(headers.EVENT_TYPE, ""), message.data)
    if message.subject != event.subject:
        error = "it was not said where such an event is said"
        raise ValueError(error)
    context = trace.parse(header.get(headers.TRACEPARENT), request_id=header.get(headers.REQUEST_ID, ""))
    try:
        event_id = UUID(header.get(headers.EVENT_ID, ""))
    except ValueError:
        error = f"it has no {headers.EVENT_ID} by which it could be known again"
        raise ValueError(error) from None
    return StreamedEvent(event_id, event, context, message)


def parse_event(ce_type: str, body: bytes | str) -> Event:
    """The event of that type; raises ValueError for one that nobody can read."""
    kind = EVENT_BY_TYPE.get(ce_type)
    if kind is None:
        error = f"unknown event type {ce_type[:100]!r}"
        raise ValueError(error)
    return kind.model_validate_json(body, extra="ignore")  # who says it may be newer


@dataclass(slots=True)
class FailureCount:
    """What this process has seen of an event that fails."""

    first_failed_at: float = field(default_factory=time.monotonic)
    attempts: int = 0


class EventConsumer:
    """Applies what a service hears of one stream."""

    def __init__(
        self,
        service: str,
        deps: Any,  # each service's own, passed through to its handlers
        handlers: Mapping[type[Event], EventHandler],
        inbox: Inbox,
        js: JetStreamContext,
        metrics: Metrics,
        tracer: Tracer | None = None,
        min_interval_seconds: float = 0.0,
    ) -> None:
        self.service = service
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
        self.tracer = tracer
        self.min_interval = MinInterval(min_interval_seconds)
        self._queue: asyncio.Queue[Msg] = asyncio.Queue()
        self._failures: OrderedDict[int, FailureCount] = OrderedDict()
        self._is_applying = False

    def receive(self, message: Msg) -> None:
        self._queue.put_nowait(message)

    @property
    def is_idle(self) -> bool:
        return self._queue.empty() and not self._is_applying

    async def run(self) -> None:
        while True:
            first = await self._queue.get()
            self._is_applying = True
            await self.min_interval.wait()
            try:
                await self._process_batch([first, *self._take_queued()])
            except Exception:
                log.exception("a batch of events was left to come again")
            finally:
                self._is_applying = False

    def _take_queued(self) -> list[Msg]:
        return [self._queue.get_nowait() for _ in range(min(self._queue.qsize(), BATCH_SIZE - 1))]

    async def _process_batch(self, messages: list[Msg]) -> None:
        """What can be read is applied before the rest is buried, which takes its time."""
        deliveries: list[StreamedEvent] = []
        unreadable: list[tuple[Msg, str]] = []
        for message in messages:
            try:
                deliveries.append(self._parse(message))
            except ValueError as error:  # pydantic's ValidationError is one
                unreadable.append((message, describe_error(error)))
        if deliveries:
            await self._apply(deliveries)
        for message, reason in unreadable:
            await self._dead_letter(message, reason)

    def _parse(self, message: Msg) -> StreamedEvent:
        arrived = parse_event_message(message)
        if type(arrived.event) not in self.handlers:
            error = f"{self.service} does not hear {arrived.event.ce_type()}"
            raise ValueError(error)
        return arrived

    async def _apply(self, deliveries: list[StreamedEvent]) -> None:
        pause, answered = 0.1, 0
        while True:
            try:
                await self.inbox.apply(deliveries, self._handle)
            except self._unavailable_errors as error:
                answered += await self._store_answers()
                if answered == MAX_ANSWERED_PINGS:
                    await self._on_failure(deliveries, error)
                    return
                log.warning("the store is away; %d events wait", len(deliveries), exc_info=True)
                await self._extend_ack_wait(deliveries)
                await asyncio.sleep(pause)
                pause = min(pause * 2, MAX_STORE_BACKOFF_SECONDS)
            except Exception as error:  # noqa: BLE001 - whatever it is, the event must not be lost
                await self._on_failure(deliveries, error)
                return
            else:
                failpoint("reactor.applied")
                await self._acknowledge(deliveries)
                return

    async def _store_answers(self) -> bool:
        """Whether the store is there after all: a timeout, say, may be one event's own, and must not stop the rest."""
        try:
            await self.inbox.ping()
        except Exception:  # noqa: BLE001 - it does not answer, in whichever way
            return False
        return True

    async def _handle(self, tx: Any, delivery: ReceivedEvent) -> RedeliveryOutcome | None:
        return await handle_event(self.handlers, self.deps, self.tracer, tx, delivery)

    async def _extend_ack_wait(self, deliveries: Sequence[StreamedEvent]) -> None:
        """Tells JetStream that they are still being worked on."""
        for delivery in deliveries:
            await delivery.message.in_progress()

    async def _acknowledge(self, deliveries: Sequence[StreamedEvent]) -> None:
        for position, delivery in enumerate(deliveries):
            if position:
                failpoint("reactor.acked_one")
            await delivery.message.ack()
            self._failures.pop(_stream_sequence(delivery.message), None)
            kind = delivery.event.ce_type()
            self.metrics.events_consumed.labels(kind, "ok").inc()
            with trace.activate(delivery.trace_context):
                log.info("heard", extra={"fields": {"event": kind, "aggregate_id": delivery.event.aggregate_id}})

    async def _on_failure(self, deliveries: list[StreamedEvent], error: Exception) -> None:
        """One of a batch has spoilt it: each is tried by itself. One by itself comes again, or is buried."""
        if len(deliveries) > 1:
            for delivery in deliveries:
                await self._apply([delivery])
            return
        message, context = deliveries[0].message, deliveries[0].trace_context
        trouble = self._record_failure(message)
        with trace.activate(context):
            if _is_permanent(error) or self._has_failed_for_good(trouble, error):
                await self._dead_letter(message, describe_error(error))
                return
            self.metrics.events_consumed.labels(deliveries[0].event.ce_type(), "again").inc()
            log.warning("an event comes again: %s", describe_error(error), exc_info=not isinstance(error, RetryLater))
            await message.nak(delay=min(0.1 * 2**trouble.attempts, MAX_RETRY_DELAY_SECONDS))

    def _record_failure(self, message: Msg) -> FailureCount:
        """One more failure of the event. What another replica has brought to an end is forgotten some day."""
        trouble = self._failures.setdefault(_stream_sequence(message), FailureCount())
        trouble.attempts += 1
        if len(self._failures) > MAX_TRACKED_FAILURES:
            self._failures.popitem(last=False)
        return trouble

    def _has_failed_for_good(self, trouble: FailureCount, error: Exception) -> bool:
        if isinstance(error, self._waiting_errors):
            return time.monotonic() - trouble.first_failed_at >= MAX_WAIT_SECONDS
        return trouble.attempts >= MAX_ATTEMPTS

    async def _dead_letter(self, message: Msg, reason: str) -> None:
        """To the dead letters; where they cannot be reached, the event comes again instead."""
        kind = (message.header or {}).get(headers.EVENT_TYPE, "unknown")
        log.error("an event goes to the dead letters: %s", reason, extra={"fields": {"subject": message.subject}})
        try:
            await deadletter.store_dead_letter(self.js, self.service, message, reason)
        except (nats.errors.Error, OSError):
            log.exception("the dead letters cannot be reached; the event comes again")
            await message.nak(delay=MAX_STORE_BACKOFF_SECONDS)
            return
        await message.ack()
        self._failures.pop(_stream_sequence(message), None)
        self.metrics.events_consumed.labels(kind if kind in EVENT_BY_TYPE else "unknown", "dead").inc()


async def handle_event(
    handlers: Mapping[type[Event], EventHandler], deps: Any, tracer: Tracer | None, tx: Any, received: ReceivedEvent
) -> RedeliveryOutcome | None:
    """The effect of one event, in its own trace. Any: each service's own shop and transaction."""
    with trace.span(received.trace_context, tracer, f"hear {received.event.ce_type()}", SpanKind.CONSUMER):
        return await handlers[type(received.event)](deps, tx, received.event)


def _stream_sequence(message: Msg) -> int:
    """Where the event is in its stream."""
    return int(message.metadata.sequence.stream)


def _is_permanent(error: Exception) -> bool:
    """Whether trying again cannot help: the event itself, or what it asks for, is refused."""
    refused = isinstance(error, Fail) and error.status < HTTPStatus.INTERNAL_SERVER_ERROR
    return refused or isinstance(error, ValidationError)


def describe_error(error: Exception) -> str:
    """What went wrong, in a line for people."""
    if isinstance(error, ValidationError):
        return "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
    return f"{type(error).__name__}: {error}"
