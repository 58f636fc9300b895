"""How a service hears events: in batches, each in one transaction of inbox rows, effects and outbox rows.

FastStream hands every pushed message over at once; what has gathered while the last batch was applied is the next one,
so that a busy service commits rarely and an idle one at once. A store that is away is waited for, without using up
deliveries. An event that fails by itself comes back after a growing delay; one that fails for good, or too often, goes
to the dead letters, and those behind it go on.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from nats.aio.msg import Msg
from nats.js import JetStreamContext
from opentelemetry.trace import SpanKind, Tracer
from pydantic import ValidationError

from contracts.event import Event
from contracts.failure import Fail, TimedOut, Unavailable
from contracts.registry import EVENT_BY_TYPE
from infra import deadletter, headers, trace
from infra.crash import crash_point
from infra.telemetry import Metrics
from infra.worker import Pace

BATCH = 100
DEADLY_DELIVERIES = 8
LONGEST_DELAY = 60.0
LONGEST_PAUSE = 5.0

Reaction = Callable[[Any, Any, Any], Awaitable[None]]
"""`async def order_paid(shop, tx, event)`: the effect of an event, on the transaction that also holds its inbox row."""

log = logging.getLogger("souk.events")


class NotYet(Exception):  # noqa: N818 - a wait, not an error
    """Something else has to be heard before this; the event comes again."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event as it came: what it says, its id, its trace, and the message to acknowledge."""

    event_id: UUID
    event: Event
    context: trace.Trace
    message: Msg


class Inbox(Protocol):
    """A store that applies each event once."""

    away: tuple[type[Exception], ...]

    async def apply(self, deliveries: Sequence[Delivery], effect: Callable[[Any, Delivery], Awaitable[None]]) -> None:
        """Runs `effect(tx, delivery)` so that each event has its effect once, however often it comes.

        PostgreSQL keeps inbox rows and runs a batch in one transaction. In MongoDB, where `tx` is None, an effect notes
        the event in the document that it changes.
        """


def read(message: Msg) -> Delivery:
    """The event in a message; raises ValueError for one that nobody can read."""
    header = message.header or {}
    kind = EVENT_BY_TYPE.get(header.get(headers.EVENT_TYPE, ""))
    if kind is None:
        error = f"unknown event type {header.get(headers.EVENT_TYPE)!r}"
        raise ValueError(error)
    context = trace.parse(header.get(headers.TRACEPARENT), request_id=header.get(headers.REQUEST_ID, ""))
    event = kind.model_validate_json(message.data, extra="ignore")  # who says it may be newer
    return Delivery(UUID(header.get(headers.EVENT_ID)), event, context, message)


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
        self.js = js
        self.metrics = metrics
        self.tracer = tracer
        self.pace = Pace(pace)
        self._waiting: asyncio.Queue[Msg] = asyncio.Queue()
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
        deliveries: list[Delivery] = []
        for message in messages:
            try:
                deliveries.append(read(message))
            except ValueError as error:  # pydantic's ValidationError is one
                await self._bury(message, _reason(error))
        if deliveries:
            await self._apply(deliveries)

    async def _apply(self, deliveries: list[Delivery]) -> None:
        pause = 0.1
        while True:
            try:
                await self.inbox.apply(deliveries, self._effect)
            except self._away:
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

    async def _effect(self, tx: Any, delivery: Delivery) -> None:
        with trace.span(delivery.context, self.tracer, f"hear {delivery.event.type()}", SpanKind.CONSUMER):
            await self.reactions[type(delivery.event)](self.deps, tx, delivery.event)

    async def _keep(self, deliveries: Sequence[Delivery]) -> None:
        """Tells JetStream that they are still being worked on."""
        for delivery in deliveries:
            await delivery.message.in_progress()

    async def _done(self, deliveries: Sequence[Delivery]) -> None:
        for position, delivery in enumerate(deliveries):
            if position:
                crash_point("reactor.acked_one")
            await delivery.message.ack()
            kind = delivery.event.type()
            self.metrics.events.labels(kind, "ok").inc()
            with trace.within(delivery.context):
                log.info("heard", extra={"fields": {"event": kind, "aggregate_id": delivery.event.aggregate_id}})

    async def _failed(self, deliveries: list[Delivery], error: Exception) -> None:
        """One of a batch has spoilt it: each is tried by itself. One by itself comes again, or is buried."""
        if len(deliveries) > 1:
            for delivery in deliveries:
                await self._apply([delivery])
            return
        message, context = deliveries[0].message, deliveries[0].context
        tries = message.metadata.num_delivered
        with trace.within(context):
            if _permanent(error) or (tries >= DEADLY_DELIVERIES and not isinstance(error, NotYet)):
                await self._bury(message, _reason(error))
                return
            self.metrics.events.labels(deliveries[0].event.type(), "again").inc()
            log.warning("an event comes again: %s", _reason(error), exc_info=not isinstance(error, NotYet))
            await message.nak(delay=min(0.1 * 2**tries, LONGEST_DELAY))

    async def _bury(self, message: Msg, reason: str) -> None:
        kind = (message.header or {}).get(headers.EVENT_TYPE, "unknown")
        self.metrics.events.labels(kind if kind in EVENT_BY_TYPE else "unknown", "dead").inc()
        log.error("an event went to the dead letters: %s", reason, extra={"fields": {"subject": message.subject}})
        await deadletter.bury(self.js, self.service, message, reason)
        await message.ack()


def _permanent(error: Exception) -> bool:
    """Whether trying again cannot help: the event itself, or what it asks for, is refused."""
    return isinstance(error, Fail | ValidationError)


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
    return f"{type(error).__name__}: {error}"
