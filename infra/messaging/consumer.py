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
from contracts.redelivery import Outcome
from contracts.registry import EVENT_BY_TYPE
from infra.foundation import trace
from infra.foundation.background import Pace
from infra.foundation.failpoints import crash_point
from infra.foundation.telemetry import Metrics
from infra.messaging import dead_letters as deadletter

BATCH = 100
DEADLY_TRIES = 8
"""Failures of an event by itself, in one process, after which it is a dead letter; about half a minute."""
PATIENCE = 600.0
"""Seconds that an event may wait for another, or for its turn, before it is a dead letter too."""
LONGEST_DELAY = 15.0
LONGEST_PAUSE = 5.0
ANSWERED = 3
"""Times that the store answers a ping though the events failed as if it were away: then it is they who fail."""
MOST_TROUBLES = 10_000

Reaction = Callable[[Any, Any, Any], Awaitable[Outcome | None]]
"""`async def order_paid(shop, tx, event)`: the effect of an event, on the transaction that also holds its inbox row.

It may say what became of the event, where its store cannot; None is that it was applied.
"""

log = logging.getLogger("souk.events")


class NotYet(Exception):  # noqa: N818 - a wait, not an error
    """Something else has to be heard before this; the event comes again."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event as it came: what it says, its id, and its trace."""

    event_id: UUID
    event: Event
    context: trace.Trace


@dataclass(frozen=True, slots=True)
class Arrived(Delivery):
    """From a stream, with the message to acknowledge."""

    message: Msg


Effect = Callable[[Any, Delivery], Awaitable[Outcome | None]]


class Inbox(Protocol):
    """A store that applies each event once."""

    away: tuple[type[Exception], ...]
    busy: tuple[type[Exception], ...]

    async def ping(self) -> None: ...

    async def apply(self, deliveries: Sequence[Delivery], effect: Effect) -> dict[UUID, Outcome]:
        """Runs `effect(tx, delivery)` so that each event has its effect once, however often it comes.

        PostgreSQL keeps inbox rows and runs a batch in one transaction. In MongoDB, where `tx` is None, an effect notes
        the event in the document that it changes. Returns what became of each, by its id.
        """


def read(message: Msg) -> Arrived:
    """The event in a message; raises ValueError for one that nobody can read, or that somebody else says.

    NATS lets a service publish below its own name only, so that the subject, not the header, tells whose word it is.
    """
    header = message.header or {}
    event = understood(header.get(headers.EVENT_TYPE, ""), message.data)
    if message.subject != event.subject:
        error = "it was not said where such an event is said"
        raise ValueError(error)
    context = trace.parse(header.get(headers.TRACEPARENT), request_id=header.get(headers.REQUEST_ID, ""))
    try:
        event_id = UUID(header.get(headers.EVENT_ID, ""))
    except ValueError:
        error = f"it has no {headers.EVENT_ID} by which it could be known again"
        raise ValueError(error) from None
    return Arrived(event_id, event, context, message)


def understood(name: str, body: bytes | str) -> Event:
    """The event of that type; raises ValueError for one that nobody can read."""
    kind = EVENT_BY_TYPE.get(name)
    if kind is None:
        error = f"unknown event type {name[:100]!r}"
        raise ValueError(error)
    return kind.model_validate_json(body, extra="ignore")  # who says it may be newer


@dataclass(slots=True)
class Trouble:
    """What this process has seen of an event that fails."""

    since: float = field(default_factory=time.monotonic)
    tries: int = 0


class Reactor:
    """Applies what a service hears of one stream."""

    def __init__(
        self,
        service: str,
        deps: Any,  # each service's own, passed through to its handlers
        reactions: Mapping[type[Event], Reaction],
        inbox: Inbox,
        js: JetStreamContext,
        metrics: Metrics,
        tracer: Tracer | None = None,
        pace: float = 0.0,
    ) -> None:
        self.service = service
        self.deps = deps
        self.reactions = reactions
        self.inbox = inbox
        self._away: tuple[type[Exception], ...] = (*inbox.away, Unavailable, TimedOut)
        self._waits: tuple[type[Exception], ...] = (*self._away, *inbox.busy, NotYet)
        self.js = js
        self.metrics = metrics
        self.tracer = tracer
        self.pace = Pace(pace)
        self._waiting: asyncio.Queue[Msg] = asyncio.Queue()
        self._troubles: OrderedDict[int, Trouble] = OrderedDict()
        self._busy = False

    def hear(self, message: Msg) -> None:
        self._waiting.put_nowait(message)

    @property
    def idle(self) -> bool:
        return self._waiting.empty() and not self._busy

    async def run(self) -> None:
        while True:
            first = await self._waiting.get()
            self._busy = True
            await self.pace.keep()
            try:
                await self._batch([first, *self._gathered()])
            except Exception:
                log.exception("a batch of events was left to come again")
            finally:
                self._busy = False

    def _gathered(self) -> list[Msg]:
        return [self._waiting.get_nowait() for _ in range(min(self._waiting.qsize(), BATCH - 1))]

    async def _batch(self, messages: list[Msg]) -> None:
        """What can be read is applied before the rest is buried, which takes its time."""
        deliveries: list[Arrived] = []
        unreadable: list[tuple[Msg, str]] = []
        for message in messages:
            try:
                deliveries.append(self._read(message))
            except ValueError as error:  # pydantic's ValidationError is one
                unreadable.append((message, reason_of(error)))
        if deliveries:
            await self._apply(deliveries)
        for message, reason in unreadable:
            await self._bury(message, reason)

    def _read(self, message: Msg) -> Arrived:
        arrived = read(message)
        if type(arrived.event) not in self.reactions:
            error = f"{self.service} does not hear {arrived.event.type()}"
            raise ValueError(error)
        return arrived

    async def _apply(self, deliveries: list[Arrived]) -> None:
        pause, answered = 0.1, 0
        while True:
            try:
                await self.inbox.apply(deliveries, self._effect)
            except self._away as error:
                answered += await self._answers()
                if answered == ANSWERED:
                    await self._failed(deliveries, error)
                    return
                log.warning("the store is away; %d events wait", len(deliveries), exc_info=True)
                await self._keep(deliveries)
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
            except Exception as error:  # noqa: BLE001 - whatever it is, the event must not be lost
                await self._failed(deliveries, error)
                return
            else:
                crash_point("reactor.applied")
                await self._done(deliveries)
                return

    async def _answers(self) -> bool:
        """Whether the store is there after all: a timeout, say, may be one event's own, and must not stop the rest."""
        try:
            await self.inbox.ping()
        except Exception:  # noqa: BLE001 - it does not answer, in whichever way
            return False
        return True

    async def _effect(self, tx: Any, delivery: Delivery) -> Outcome | None:
        return await react(self.reactions, self.deps, self.tracer, tx, delivery)

    async def _keep(self, deliveries: Sequence[Arrived]) -> None:
        """Tells JetStream that they are still being worked on."""
        for delivery in deliveries:
            await delivery.message.in_progress()

    async def _done(self, deliveries: Sequence[Arrived]) -> None:
        for position, delivery in enumerate(deliveries):
            if position:
                crash_point("reactor.acked_one")
            await delivery.message.ack()
            self._troubles.pop(_place(delivery.message), None)
            kind = delivery.event.type()
            self.metrics.events.labels(kind, "ok").inc()
            with trace.within(delivery.context):
                log.info("heard", extra={"fields": {"event": kind, "aggregate_id": delivery.event.aggregate_id}})

    async def _failed(self, deliveries: list[Arrived], error: Exception) -> None:
        """One of a batch has spoilt it: each is tried by itself. One by itself comes again, or is buried."""
        if len(deliveries) > 1:
            for delivery in deliveries:
                await self._apply([delivery])
            return
        message, context = deliveries[0].message, deliveries[0].context
        trouble = self._trouble(message)
        with trace.within(context):
            if _permanent(error) or self._hopeless(trouble, error):
                await self._bury(message, reason_of(error))
                return
            self.metrics.events.labels(deliveries[0].event.type(), "again").inc()
            log.warning("an event comes again: %s", reason_of(error), exc_info=not isinstance(error, NotYet))
            await message.nak(delay=min(0.1 * 2**trouble.tries, LONGEST_DELAY))

    def _trouble(self, message: Msg) -> Trouble:
        """One more failure of the event. What another replica has brought to an end is forgotten some day."""
        trouble = self._troubles.setdefault(_place(message), Trouble())
        trouble.tries += 1
        if len(self._troubles) > MOST_TROUBLES:
            self._troubles.popitem(last=False)
        return trouble

    def _hopeless(self, trouble: Trouble, error: Exception) -> bool:
        if isinstance(error, self._waits):
            return time.monotonic() - trouble.since >= PATIENCE
        return trouble.tries >= DEADLY_TRIES

    async def _bury(self, message: Msg, reason: str) -> None:
        """To the dead letters; where they cannot be reached, the event comes again instead."""
        kind = (message.header or {}).get(headers.EVENT_TYPE, "unknown")
        log.error("an event goes to the dead letters: %s", reason, extra={"fields": {"subject": message.subject}})
        try:
            await deadletter.bury(self.js, self.service, message, reason)
        except (nats.errors.Error, OSError):
            log.exception("the dead letters cannot be reached; the event comes again")
            await message.nak(delay=LONGEST_PAUSE)
            return
        await message.ack()
        self._troubles.pop(_place(message), None)
        self.metrics.events.labels(kind if kind in EVENT_BY_TYPE else "unknown", "dead").inc()


async def react(
    reactions: Mapping[type[Event], Reaction], deps: Any, tracer: Tracer | None, tx: Any, delivery: Delivery
) -> Outcome | None:
    """The effect of one event, in its own trace. Any: each service's own shop and transaction."""
    with trace.span(delivery.context, tracer, f"hear {delivery.event.type()}", SpanKind.CONSUMER):
        return await reactions[type(delivery.event)](deps, tx, delivery.event)


def _place(message: Msg) -> int:
    """Where the event is in its stream."""
    return int(message.metadata.sequence.stream)


def _permanent(error: Exception) -> bool:
    """Whether trying again cannot help: the event itself, or what it asks for, is refused."""
    refused = isinstance(error, Fail) and error.status < HTTPStatus.INTERNAL_SERVER_ERROR
    return refused or isinstance(error, ValidationError)


def reason_of(error: Exception) -> str:
    """What went wrong, in a line for people."""
    if isinstance(error, ValidationError):
        return "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
    return f"{type(error).__name__}: {error}"
