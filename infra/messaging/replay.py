"""Replay: the events that a service hears, read again from their streams and handed over to it.

The service applies what it does not know, and only that. The events of one aggregate follow one another as they did;
several aggregates go at once. A service that is behind in another stream may need an event from there first: such
events are tried again at the end.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from contracts import headers
from contracts.failure import Fail
from contracts.redelivery import DeliveredTooEarly, RedeliverEvent, RedeliveryOutcome
from infra.messaging.redelivery import UNAVAILABLE_FAILURES, RedeliveryClient
from infra.messaging.topology import Consumer

BATCH_SIZE = 500
MAX_CONCURRENT = 16
FETCH_TIMEOUT_SECONDS = 10.0
INACTIVE_SECONDS = 60.0
"""Seconds after which NATS forgets a reader that is gone."""


@dataclass(frozen=True, slots=True)
class TimeRange:
    """From when to when the events of a replay were said; without an end, up to now."""

    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class RejectedEvent:
    """An event that was not heard, where it is, and why."""

    stream: str
    seq: int
    event_id: str
    type: str
    reason: str


@dataclass
class ReplayStats:
    """What became of the events so far."""

    read: int = 0
    outcomes: dict[RedeliveryOutcome, int] = field(default_factory=lambda: dict.fromkeys(RedeliveryOutcome, 0))
    rejected: list[RejectedEvent] = field(default_factory=list)


OnProgress = Callable[[int], None]
"""Hears how many events have been dealt with."""


class ReplayInterrupted(Exception):  # noqa: N818 - says what happened, and is read by people
    """NATS did not deliver all that was asked for, or the service went away."""


class Replay:
    """One replay into one service."""

    def __init__(self, client: Client, service: str, time_range: TimeRange, *, dry_run: bool = False) -> None:
        self.service = service
        self.time_range = time_range
        self.dry_run = dry_run
        self.stats = ReplayStats()
        self._js = client.jetstream()
        self.redelivery = RedeliveryClient(client)
        self._deferred: list[Msg] = []
        self._slots = asyncio.Semaphore(MAX_CONCURRENT)

    async def count_events(self, consumer: Consumer) -> int:
        """How many events there are to read."""
        reader = await self._js.add_consumer(consumer.stream, _reader_config(consumer, self.time_range))
        await self._js.delete_consumer(consumer.stream, reader.name)
        return reader.num_pending or 0

    async def replay_stream(self, consumer: Consumer, on_progress: OnProgress) -> None:
        """Hands over all events of one stream, from the first to the last that is there at the start."""
        async for batch in _read_batches(self._js, consumer, self.time_range):
            self.stats.read += len(batch)
            if not self.dry_run:
                await self._redeliver_batch(batch, self._deferred.append)
            on_progress(len(batch))

    async def retry_deferred(self) -> None:
        """Once more those that had to wait for others; now they are refused for good."""
        early, self._deferred = self._deferred, []
        await self._redeliver_batch(early, None)

    async def _redeliver_batch(self, batch: list[Msg], wait: Callable[[Msg], None] | None) -> None:
        queues: dict[str, list[Msg]] = {}
        for message in batch:
            queues.setdefault(message.subject.rpartition(".")[0], []).append(message)
        await asyncio.gather(*(self._redeliver_in_order(queue, wait) for queue in queues.values()))

    async def _redeliver_in_order(self, queue: list[Msg], wait: Callable[[Msg], None] | None) -> None:
        async with self._slots:
            for message in queue:
                await self._redeliver_one(message, wait)

    async def _redeliver_one(self, message: Msg, wait: Callable[[Msg], None] | None) -> None:
        try:
            outcome = await self.redelivery.redeliver(self.service, _to_redelivery(message))
        except UNAVAILABLE_FAILURES as error:
            late = (
                f"{self.service} does not answer ({error.detail}); replay again when it does, what was heard is known"
            )
            raise ReplayInterrupted(late) from error
        except (Fail, ValueError) as error:
            if isinstance(error, DeliveredTooEarly) and wait is not None:
                wait(message)
            else:
                self.stats.rejected.append(_rejected_event(message, error))
            return
        self.stats.outcomes[outcome] += 1


async def _read_batches(js: JetStreamContext, consumer: Consumer, span: TimeRange) -> AsyncIterator[list[Msg]]:
    """The events in order, without a gap: a message that was lost on the way would show in its number."""
    reader = await js.pull_subscribe("", stream=consumer.stream, config=_reader_config(consumer, span))
    try:
        left, expected = (await reader.consumer_info()).num_pending or 0, 1
        while left > 0:
            try:
                batch = await reader.fetch(min(BATCH_SIZE, left), timeout=FETCH_TIMEOUT_SECONDS)
            except nats.errors.TimeoutError as error:
                late = f"{left} events of {consumer.stream} did not come; replay again, what was heard is known"
                raise ReplayInterrupted(late) from error
            for message in batch:
                if message.metadata.sequence.consumer != expected:
                    gap = f"an event of {consumer.stream} was lost on the way; replay again, what was heard is known"
                    raise ReplayInterrupted(gap)
                expected += 1
            left = min(left - len(batch), batch[-1].metadata.num_pending)
            inside = [message for message in batch if span.until is None or message.metadata.timestamp <= span.until]
            if inside:
                yield inside
            if len(inside) < len(batch):
                return
    finally:
        await reader.unsubscribe()


def _reader_config(consumer: Consumer, span: TimeRange) -> ConsumerConfig:
    """A reader that leaves nothing behind."""
    return ConsumerConfig(
        description="souk replay",
        filter_subjects=list(consumer.subjects),
        deliver_policy=DeliverPolicy.BY_START_TIME if span.since else DeliverPolicy.ALL,
        opt_start_time=span.since,
        ack_policy=AckPolicy.NONE,
        mem_storage=True,
        num_replicas=1,
        inactive_threshold=INACTIVE_SECONDS,
    )


def _to_redelivery(message: Msg) -> RedeliverEvent:
    """Raises ValueError for one that has no id, or is no text."""
    header = message.header or {}
    return RedeliverEvent(
        id=UUID(header.get(headers.EVENT_ID, "")),
        type=header.get(headers.EVENT_TYPE, ""),
        data=message.data.decode(),
        subject=message.subject,
        traceparent=header.get(headers.TRACEPARENT),
        request_id=header.get(headers.REQUEST_ID),
    )


def _rejected_event(message: Msg, error: Exception) -> RejectedEvent:
    header, came = message.header or {}, message.metadata
    reason = describe_failure(error) if isinstance(error, Fail) else "it cannot be read"
    event_id, kind = header.get(headers.EVENT_ID, ""), header.get(headers.EVENT_TYPE, "")
    return RejectedEvent(came.stream, came.sequence.stream, event_id, kind, reason)


def describe_failure(fail: Fail) -> str:
    """A refusal in a line: what kind, and what was wrong with which part."""
    parts = [f"{error.pointer}: {error.detail}" for error in fail.errors]
    return f"{fail.code}: {'; '.join(parts) or fail.detail}"
