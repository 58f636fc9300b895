"""What the streams hold and how far each consumer has come, read without bodies, by a consumer that leaves no trace.

Events never change, so that a second look reads only what has come since.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError

from contracts import headers
from contracts.registry import SUBSCRIPTIONS
from infra.database.checks import FactTable, Row
from infra.messaging.append_only_stream import AUDIT_ANCHOR_STREAM
from infra.messaging.topology import DEAD_LETTER_STREAM, consumers_for, stream_configs, stream_name
from infra.ops.verify import audit_log_check as trail
from infra.ops.verify.fact_db import FactDatabase

BATCH_SIZE = 2000
FETCH_TIMEOUT_SECONDS = 10.0
CONSUMER_IDLE_LIMIT = timedelta(minutes=1)
NANOSECONDS = 1_000_000_000
SEQUENCE_TOKEN, TIMESTAMP_TOKEN = -4, -2
"""Where they stand in a reply subject of JetStream, whose first parts may have more to them."""

EVENT_FACTS = FactTable(
    "event",
    ("stream", "seq", "event_id", "aggregate_id", "name", "time"),
    indexes=("aggregate_id, name, seq, stream", "event_id", "stream, name, seq"),
)
CONSUMER_FACTS = FactTable("consumer", ("service", "stream", "floor"), indexes=("stream, service",))
SUBSCRIPTION_FACTS = FactTable("hears", ("service", "stream", "name"), indexes=("service, stream, name",))
STREAM_END_FACTS = FactTable("ends", ("stream", "last"))
DEAD_LETTER_FACTS = FactTable("dead", ("seq", "service", "event_id", "reason"), indexes=("event_id, service",))

ProgressCallback = Callable[[str, int], None]


class StreamReader:
    """The streams of a shop, read again and again into the same evidence."""

    def __init__(self, client: Client, found: FactDatabase) -> None:
        self._js = client.jetstream(timeout=FETCH_TIMEOUT_SECONDS)
        self._found = found
        self._read: dict[str, int] = {}
        self.names = [stream.name or "" for stream in stream_configs() if stream.name != DEAD_LETTER_STREAM]

    async def read_positions(self) -> None:
        """How far the consumers have come and where the streams end. Before anything else is read."""
        for facts in (CONSUMER_FACTS, SUBSCRIPTION_FACTS, STREAM_END_FACTS, DEAD_LETTER_FACTS, EVENT_FACTS):
            self._found.create_table(facts)
        self._found.insert(STREAM_END_FACTS, [(name, await self._end(name)) for name in self.names])
        consumers = [consumer for service in SUBSCRIPTIONS for consumer in consumers_for(service)]
        self._found.insert(CONSUMER_FACTS, [(one.service, one.stream, await self._floor(one)) for one in consumers])
        hearing = [
            (service, stream_name(event.service), event.name)
            for service, heard in SUBSCRIPTIONS.items()
            for event in heard
        ]
        self._found.insert(SUBSCRIPTION_FACTS, hearing)

    async def read_events(self, on_progress: ProgressCallback) -> None:
        """The events, up to where their streams end by now, and the dead letters."""
        for name in self.names:
            self._read[name] = await self._all(name, self._read.get(name, 0), EVENT_FACTS, _event, on_progress)
        await self._all(DEAD_LETTER_STREAM, 0, DEAD_LETTER_FACTS, _dead, on_progress)

    async def read_audit_anchors(self, on_progress: ProgressCallback) -> None:
        """Where the audit trails ended, as it was posted. Before they are read."""
        self._found.create_table(trail.ANCHOR_FACTS)
        self._read[AUDIT_ANCHOR_STREAM.name] = await self._all(
            AUDIT_ANCHOR_STREAM.name,
            self._read.get(AUDIT_ANCHOR_STREAM.name, 0),
            trail.ANCHOR_FACTS,
            trail.anchor_row,
            on_progress,
        )

    async def _end(self, stream: str) -> int:
        state = (await self._js.stream_info(stream)).state
        last: int = state.last_seq
        return last

    async def _floor(self, consumer: Any) -> int:
        """Every event up to it has been acknowledged; nothing has by a consumer that is not there."""
        try:
            info = await self._js.consumer_info(consumer.stream, consumer.service)
        except NotFoundError:
            return 0
        return info.ack_floor.stream_seq if info.ack_floor else 0

    async def _all(
        self, stream: str, after: int, facts: FactTable, row: Callable[[Msg, str], Row], step: ProgressCallback
    ) -> int:
        """Reads on from there; how far it came."""
        state = (await self._js.stream_info(stream)).state
        if state.last_seq <= after or not state.messages:
            return max(after, state.last_seq)
        consumer = await self._js.pull_subscribe(
            "", stream=stream, config=_config(after + 1), inbox_prefix=b"_INBOX_operator.audit."
        )
        try:
            while after < state.last_seq:
                try:
                    messages = await consumer.fetch(
                        min(BATCH_SIZE, state.last_seq - after), timeout=FETCH_TIMEOUT_SECONDS
                    )
                except nats.errors.TimeoutError:
                    break  # what the stream ended with is gone: it was removed or has grown old
                self._found.insert(facts, [row(message, stream) for message in messages])
                after = _number(messages[-1], SEQUENCE_TOKEN)
                step(stream, len(messages))
        finally:
            await consumer.unsubscribe()
        return max(after, state.last_seq)


def _config(first: int) -> ConsumerConfig:
    return ConsumerConfig(
        description="souk audit",
        deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
        opt_start_seq=first,
        ack_policy=AckPolicy.NONE,
        headers_only=True,
        mem_storage=True,
        num_replicas=1,
        inactive_threshold=CONSUMER_IDLE_LIMIT.total_seconds(),
    )


def _number(message: Msg, place: int) -> int:
    return int(message.reply.split(".")[place])


def _event(message: Msg, stream: str) -> Row:
    _, _, aggregate, name = message.subject.split(".")
    said = (message.header or {}).get(headers.EVENT_ID)
    time = _number(message, TIMESTAMP_TOKEN) // NANOSECONDS
    return stream, _number(message, SEQUENCE_TOKEN), _bytes(said), _bytes(aggregate), name, time


def _dead(message: Msg, _stream: str) -> Row:
    header = message.header or {}
    service = header.get(headers.DEAD_SERVICE) or message.subject.split(".")[1]
    reason = f"{header.get(headers.EVENT_TYPE, 'unknown')}: {header.get(headers.DEAD_REASON, '')}"
    return _number(message, SEQUENCE_TOKEN), service, _bytes(header.get(headers.EVENT_ID)), reason


def _bytes(text: str | None) -> bytes | str | None:
    """The bytes of a UUID; what is none stays as it is."""
    try:
        return UUID(text).bytes if text else None
    except ValueError:
        return text
