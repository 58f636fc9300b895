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
from contracts.registry import HEARS
from infra.database.checks import Facts, Row
from infra.messaging.append_only_stream import TRAIL
from infra.messaging.topology import DEAD, consumers_of, stream_of, streams
from infra.ops.verify import audit_log_check as trail
from infra.ops.verify.fact_db import Evidence

BATCH = 2000
PATIENCE = 10.0
IDLE = timedelta(minutes=1)
NANOSECONDS = 1_000_000_000
SEQUENCE, TIMESTAMP = -4, -2
"""Where they stand in a reply subject of JetStream, whose first parts may have more to them."""

EVENTS = Facts(
    "event",
    ("stream", "seq", "event_id", "aggregate_id", "name", "time"),
    keys=("aggregate_id, name, seq, stream", "event_id", "stream, name, seq"),
)
CONSUMERS = Facts("consumer", ("service", "stream", "floor"), keys=("stream, service",))
HEARING = Facts("hears", ("service", "stream", "name"), keys=("service, stream, name",))
ENDS = Facts("ends", ("stream", "last"))
DEAD_LETTERS = Facts("dead", ("seq", "service", "event_id", "reason"), keys=("event_id, service",))

Step = Callable[[str, int], None]


class Streams:
    """The streams of a shop, read again and again into the same evidence."""

    def __init__(self, client: Client, found: Evidence) -> None:
        self._js = client.jetstream(timeout=PATIENCE)
        self._found = found
        self._read: dict[str, int] = {}
        self.names = [stream.name or "" for stream in streams() if stream.name != DEAD]

    async def begin(self) -> None:
        """How far the consumers have come and where the streams end. Before anything else is read."""
        for facts in (CONSUMERS, HEARING, ENDS, DEAD_LETTERS, EVENTS):
            self._found.table(facts)
        self._found.put(ENDS, [(name, await self._end(name)) for name in self.names])
        consumers = [consumer for service in HEARS for consumer in consumers_of(service)]
        self._found.put(CONSUMERS, [(one.service, one.stream, await self._floor(one)) for one in consumers])
        hearing = [
            (service, stream_of(event.service), event.name) for service, heard in HEARS.items() for event in heard
        ]
        self._found.put(HEARING, hearing)

    async def read(self, step: Step) -> None:
        """The events, up to where their streams end by now, and the dead letters."""
        for name in self.names:
            self._read[name] = await self._all(name, self._read.get(name, 0), EVENTS, _event, step)
        await self._all(DEAD, 0, DEAD_LETTERS, _dead, step)

    async def heads(self, step: Step) -> None:
        """Where the audit trails ended, as it was posted. Before they are read."""
        self._found.table(trail.HEADS)
        self._read[TRAIL.name] = await self._all(
            TRAIL.name, self._read.get(TRAIL.name, 0), trail.HEADS, trail.head, step
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

    async def _all(self, stream: str, after: int, facts: Facts, row: Callable[[Msg, str], Row], step: Step) -> int:
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
                    messages = await consumer.fetch(min(BATCH, state.last_seq - after), timeout=PATIENCE)
                except nats.errors.TimeoutError:
                    break  # what the stream ended with is gone: it was removed or has grown old
                self._found.put(facts, [row(message, stream) for message in messages])
                after = _number(messages[-1], SEQUENCE)
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
        inactive_threshold=IDLE.total_seconds(),
    )


def _number(message: Msg, place: int) -> int:
    return int(message.reply.split(".")[place])


def _event(message: Msg, stream: str) -> Row:
    _, _, aggregate, name = message.subject.split(".")
    said = (message.header or {}).get(headers.EVENT_ID)
    time = _number(message, TIMESTAMP) // NANOSECONDS
    return stream, _number(message, SEQUENCE), _bytes(said), _bytes(aggregate), name, time


def _dead(message: Msg, _stream: str) -> Row:
    header = message.header or {}
    service = header.get(headers.DEAD_SERVICE) or message.subject.split(".")[1]
    reason = f"{header.get(headers.EVENT_TYPE, 'unknown')}: {header.get(headers.DEAD_REASON, '')}"
    return _number(message, SEQUENCE), service, _bytes(header.get(headers.EVENT_ID)), reason


def _bytes(text: str | None) -> bytes | str | None:
    """The bytes of a UUID; what is none stays as it is."""
    try:
        return UUID(text).bytes if text else None
    except ValueError:
        return text
