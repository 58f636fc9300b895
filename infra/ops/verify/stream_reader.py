"""Reads streams and consumer positions into the fact database: headers only, through ephemeral consumers.

Events never change, so a second pass reads only the events that were added since.
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
from infra.ops.verify import audit_log_check, invoice_checks
from infra.ops.verify.fact_db import FactDatabase, ProgressCallback

BATCH_SIZE = 2000
FETCH_TIMEOUT_SECONDS = 10.0
CONSUMER_IDLE_LIMIT = timedelta(minutes=1)
NANOSECONDS = 1_000_000_000
SEQUENCE_TOKEN, TIMESTAMP_TOKEN, PENDING_TOKEN = -4, -2, -1
"""Positions in the tokens of a JetStream reply subject, counted from the end: the first tokens vary in number."""

EVENT_FACTS = FactTable(
    "event",
    ("stream", "seq", "event_id", "aggregate_id", "name", "time"),
    indexes=("aggregate_id, name, seq, stream", "event_id", "stream, name, seq"),
)
CONSUMER_FACTS = FactTable("consumer", ("service", "stream", "floor"), indexes=("stream, service",))
SUBSCRIPTION_FACTS = FactTable("subscription", ("service", "stream", "name"), indexes=("service, stream, name",))
STREAM_END_FACTS = FactTable("ends", ("stream", "last"))
DEAD_LETTER_FACTS = FactTable("dead_letter", ("seq", "service", "event_id", "reason"), indexes=("event_id, service",))


class StreamReader:
    """Reads the streams of a shop into one fact database, pass after pass."""

    def __init__(self, client: Client, facts_db: FactDatabase) -> None:
        self._js = client.jetstream(timeout=FETCH_TIMEOUT_SECONDS)
        self._facts_db = facts_db
        self._read_to: dict[str, int] = {}
        """The last sequence that was read, by stream."""
        self.names = [stream.name or "" for stream in stream_configs() if stream.name != DEAD_LETTER_STREAM]

    async def read_positions(self) -> None:
        """Reads consumer positions and stream ends. Call it before anything else is read."""
        for table in (CONSUMER_FACTS, SUBSCRIPTION_FACTS, STREAM_END_FACTS, DEAD_LETTER_FACTS, EVENT_FACTS):
            self._facts_db.create_table(table)
        self._facts_db.insert(STREAM_END_FACTS, [(name, await self._end(name)) for name in self.names])
        consumers = [consumer for service in SUBSCRIPTIONS for consumer in consumers_for(service)]
        self._facts_db.insert(CONSUMER_FACTS, [(one.service, one.stream, await self._floor(one)) for one in consumers])
        subscriptions = [
            (service, stream_name(event.service), event.name)
            for service, events in SUBSCRIPTIONS.items()
            for event in events
        ]
        self._facts_db.insert(SUBSCRIPTION_FACTS, subscriptions)

    async def read_events(self, on_progress: ProgressCallback) -> None:
        """Reads the events, up to the current ends of their streams, and the dead letters."""
        for name in self.names:
            self._read_to[name] = await self._read_all(
                name, self._read_to.get(name, 0), EVENT_FACTS, _event_row, on_progress
            )
        await self._read_all(DEAD_LETTER_STREAM, 0, DEAD_LETTER_FACTS, _dead_letter_row, on_progress)

    async def read_audit_anchors(self, on_progress: ProgressCallback) -> None:
        """Reads the published ends of the audit logs. Call it before the logs are read."""
        self._facts_db.create_table(audit_log_check.ANCHOR_FACTS)
        self._read_to[AUDIT_ANCHOR_STREAM.name] = await self._read_all(
            AUDIT_ANCHOR_STREAM.name,
            self._read_to.get(AUDIT_ANCHOR_STREAM.name, 0),
            audit_log_check.ANCHOR_FACTS,
            audit_log_check.anchor_row,
            on_progress,
        )

    async def read_invoice_files(self, on_progress: ProgressCallback) -> None:
        """Reads the names and digests of the PDF files of invoices. Call it after the invoices are read."""
        self._facts_db.create_table(invoice_checks.FILE_FACTS)
        stream = invoice_checks.FILE_STREAM
        self._read_to[stream] = await self._read_all(
            stream,
            self._read_to.get(stream, 0),
            invoice_checks.FILE_FACTS,
            invoice_checks.file_row,
            on_progress,
            content_of=invoice_checks.FILE_SUBJECTS,
        )

    async def _end(self, stream: str) -> int:
        state = (await self._js.stream_info(stream)).state
        last: int = state.last_seq
        return last

    async def _floor(self, consumer: Any) -> int:
        """The sequence up to which every event is acknowledged; 0 for a consumer that does not exist."""
        try:
            info = await self._js.consumer_info(consumer.stream, consumer.service)
        except NotFoundError:
            return 0
        return info.ack_floor.stream_seq if info.ack_floor else 0

    async def _read_all(
        self,
        stream: str,
        after: int,
        table: FactTable,
        to_row: Callable[[Msg, str], Row],
        on_progress: ProgressCallback,
        *,
        content_of: str = "",
    ) -> int:
        """Reads a stream on from a sequence; returns the last sequence that was read.

        Headers are read of all messages, or, where `content_of` names subjects, only those messages with their content.
        """
        state = (await self._js.stream_info(stream)).state
        if state.last_seq <= after or not state.messages:
            return max(after, state.last_seq)
        consumer = await self._js.pull_subscribe(
            content_of, stream=stream, config=_config(after + 1, content_of), inbox_prefix=b"_INBOX_operator.audit."
        )
        try:
            left = (await consumer.consumer_info()).num_pending or 0 if content_of else state.last_seq - after
            while left > 0:
                try:
                    messages = await consumer.fetch(min(BATCH_SIZE, left), timeout=FETCH_TIMEOUT_SECONDS)
                except nats.errors.TimeoutError:
                    break  # the last messages of the stream are gone: they were removed or have expired
                self._facts_db.insert(table, [to_row(message, stream) for message in messages])
                after = _number(messages[-1], SEQUENCE_TOKEN)
                left = _number(messages[-1], PENDING_TOKEN) if content_of else state.last_seq - after
                on_progress(stream, len(messages))
        finally:
            await consumer.unsubscribe()
        return max(after, state.last_seq)


def _config(first: int, content_of: str) -> ConsumerConfig:
    return ConsumerConfig(
        description="souk verify",
        deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
        opt_start_seq=first,
        ack_policy=AckPolicy.NONE,
        headers_only=not content_of,
        mem_storage=True,
        num_replicas=1,
        inactive_threshold=CONSUMER_IDLE_LIMIT.total_seconds(),
    )


def _number(message: Msg, token: int) -> int:
    return int(message.reply.split(".")[token])


def _event_row(message: Msg, stream: str) -> Row:
    _, _, aggregate, name = message.subject.split(".")
    event_id = (message.header or {}).get(headers.EVENT_ID)
    time = _number(message, TIMESTAMP_TOKEN) // NANOSECONDS
    return stream, _number(message, SEQUENCE_TOKEN), _uuid_bytes(event_id), _uuid_bytes(aggregate), name, time


def _dead_letter_row(message: Msg, _stream: str) -> Row:
    header = message.header or {}
    service = header.get(headers.DEAD_SERVICE) or message.subject.split(".")[1]
    reason = f"{header.get(headers.EVENT_TYPE, 'unknown')}: {header.get(headers.DEAD_REASON, '')}"
    return _number(message, SEQUENCE_TOKEN), service, _uuid_bytes(header.get(headers.EVENT_ID)), reason


def _uuid_bytes(text: str | None) -> bytes | str | None:
    """The bytes of a UUID; other text stays as it is."""
    try:
        return UUID(text).bytes if text else None
    except ValueError:
        return text
