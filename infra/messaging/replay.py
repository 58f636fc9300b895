"""Replay: reads the events of a service's subscriptions from their streams again and redelivers them to it.

The service applies only events it has not applied yet. Events of one aggregate keep their order; several aggregates are
replayed concurrently. An event that needs an event of another stream first is deferred and retried at the end.
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
from contracts.operator_redelivery import DeliveredTooEarly, RedeliverEvent, RedeliveryOutcome
from infra.messaging.redelivery_client import UNAVAILABLE_FAILURES, RedeliveryClient
from infra.messaging.topology import Consumer

BATCH_SIZE = 500
MAX_CONCURRENT = 16
"""Aggregates replayed at the same time."""
FETCH_TIMEOUT_SECONDS = 10.0
INACTIVE_SECONDS = 60.0
"""Seconds after which NATS deletes the consumer of a reader that is gone."""


_RUN_AGAIN = "Run the replay again; events already applied are skipped."


@dataclass(frozen=True, slots=True)
class TimeRange:
    """The publication times of the events to replay. Without an end, the replay runs up to now."""

    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class RejectedEvent:
    """An event that the service refused, with its position in the stream and the reason."""

    stream: str
    seq: int
    event_id: str
    type: str
    reason: str


@dataclass
class ReplayStats:
    """The outcomes of a replay so far."""

    read: int = 0
    outcomes: dict[RedeliveryOutcome, int] = field(default_factory=lambda: dict.fromkeys(RedeliveryOutcome, 0))
    rejected: list[RejectedEvent] = field(default_factory=list)


OnProgress = Callable[[int], None]
"""`on_progress(count)`: called with the number of events just replayed."""


class ReplayInterrupted(Exception):  # noqa: N818 - its message is shown to the operator
    """The replay stopped early: NATS did not deliver every event, or the service became unavailable."""


class Replay:
    """Replays events into one service."""

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
        """Returns the number of events to replay from one stream."""
        reader = await self._js.add_consumer(consumer.stream, _reader_config(consumer, self.time_range))
        await self._js.delete_consumer(consumer.stream, reader.name)
        return reader.num_pending or 0

    async def replay_stream(self, consumer: Consumer, on_progress: OnProgress) -> None:
        """Redelivers the events of one stream, up to the last one present at the start."""
        async for batch in _read_batches(self._js, consumer, self.time_range):
            self.stats.read += len(batch)
            if not self.dry_run:
                await self._redeliver_batch(batch, self._deferred.append)
            on_progress(len(batch))

    async def retry_deferred(self) -> None:
        """Redelivers the deferred events again. An event that still comes too early is rejected now."""
        deferred, self._deferred = self._deferred, []
        await self._redeliver_batch(deferred, None)

    async def _redeliver_batch(self, batch: list[Msg], defer: Callable[[Msg], None] | None) -> None:
        queues: dict[str, list[Msg]] = {}
        for message in batch:
            queues.setdefault(message.subject.rpartition(".")[0], []).append(message)
        await asyncio.gather(*(self._redeliver_in_order(queue, defer) for queue in queues.values()))

    async def _redeliver_in_order(self, queue: list[Msg], defer: Callable[[Msg], None] | None) -> None:
        async with self._slots:
            for message in queue:
                await self._redeliver_one(message, defer)

    async def _redeliver_one(self, message: Msg, defer: Callable[[Msg], None] | None) -> None:
        try:
            outcome = await self.redelivery.redeliver(self.service, _to_redelivery(message))
        except UNAVAILABLE_FAILURES as error:
            reason = f"{self.service} does not reply ({error.detail}). {_RUN_AGAIN}"
            raise ReplayInterrupted(reason) from error
        except (Fail, ValueError) as error:
            if isinstance(error, DeliveredTooEarly) and defer is not None:
                defer(message)
            else:
                self.stats.rejected.append(_rejected_event(message, error))
            return
        self.stats.outcomes[outcome] += 1


async def _read_batches(js: JetStreamContext, consumer: Consumer, time_range: TimeRange) -> AsyncIterator[list[Msg]]:
    """Yields the events in order. A message lost in transit would leave a gap in the sequence numbers, which raises."""
    reader = await js.pull_subscribe("", stream=consumer.stream, config=_reader_config(consumer, time_range))
    try:
        remaining, expected = (await reader.consumer_info()).num_pending or 0, 1
        while remaining > 0:
            try:
                batch = await reader.fetch(min(BATCH_SIZE, remaining), timeout=FETCH_TIMEOUT_SECONDS)
            except nats.errors.TimeoutError as error:
                reason = f"NATS did not deliver {remaining} events of {consumer.stream}. {_RUN_AGAIN}"
                raise ReplayInterrupted(reason) from error
            for message in batch:
                if message.metadata.sequence.consumer != expected:
                    reason = f"An event of {consumer.stream} was lost in transit. {_RUN_AGAIN}"
                    raise ReplayInterrupted(reason)
                expected += 1
            remaining = min(remaining - len(batch), batch[-1].metadata.num_pending)
            until = time_range.until
            in_range = [message for message in batch if until is None or message.metadata.timestamp <= until]
            if in_range:
                yield in_range
            if len(in_range) < len(batch):
                return
    finally:
        await reader.unsubscribe()


def _reader_config(consumer: Consumer, time_range: TimeRange) -> ConsumerConfig:
    """Returns an ephemeral consumer, which NATS deletes when it is no longer used."""
    return ConsumerConfig(
        description="souk replay",
        filter_subjects=list(consumer.subjects),
        deliver_policy=DeliverPolicy.BY_START_TIME if time_range.since else DeliverPolicy.ALL,
        opt_start_time=time_range.since,
        ack_policy=AckPolicy.NONE,
        mem_storage=True,
        num_replicas=1,
        inactive_threshold=INACTIVE_SECONDS,
    )


def _to_redelivery(message: Msg) -> RedeliverEvent:
    """Returns the event for redelivery. Raises `ValueError` if it has no id or its body is not text."""
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
    header, metadata = message.header or {}, message.metadata
    reason = describe_failure(error) if isinstance(error, Fail) else "the event is malformed"
    event_id, ce_type = header.get(headers.EVENT_ID, ""), header.get(headers.EVENT_TYPE, "")
    return RejectedEvent(metadata.stream, metadata.sequence.stream, event_id, ce_type, reason)


def describe_failure(fail: Fail) -> str:
    """Returns a failure as one line: its code, and the wrong fields or the detail."""
    parts = [f"{error.pointer}: {error.detail}" for error in fail.errors]
    return f"{fail.code}: {'; '.join(parts) or fail.detail}"
