"""The transactional outbox: an event leaves only through a row written in the transaction of its state change.

One relay per database is active: the holder of an advisory lock. It is woken after a commit, by its own process or over
NATS by another, and polls slowly besides. It deletes a row only after JetStream has acknowledged the event, so a relay
that dies in between publishes the event again, under the same `Nats-Msg-Id`.

An event that is too large fails its transaction. A row that NATS would refuse all the same, because its `max_payload`
was lowered, stays in the outbox, where `souk verify` reports it, and the others pass it.

Events of one aggregate leave one after another, each once the one before is acknowledged. An unacknowledged event may
have been stored, may still arrive, or may be lost, so no later event may overtake it. Events of different aggregates
leave together.

A relay whose session ended while it was publishing may repeat what the next leader has published. JetStream drops such
duplicates by their id within the dedupe window, and the consumers' inboxes drop them after it.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import asyncpg
import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg
from opentelemetry.trace import SpanKind

from contracts import headers
from contracts.event import Event
from contracts.size_limits import MAX_EVENT_BYTES
from infra.database.advisory_locks import AdvisoryLock
from infra.foundation import trace
from infra.foundation.background import AdaptivePause, PeriodicTask
from infra.foundation.failpoints import failpoint
from infra.foundation.ids import new_id
from infra.foundation.telemetry import Metrics, get_logger
from infra.messaging.nats_client import NatsClient, is_no_responders
from infra.messaging.nats_protocol import EXPECTED_STREAM
from infra.messaging.span_attributes import messaging_attributes
from infra.messaging.topology import stream_name

BATCH_SIZE = 500
POLL_SECONDS = 1.0
"""Interval of the search for rows whose wake-up was lost with a process or a message."""
MAX_PAUSE_SECONDS = 0.03
"""Longest pause between two rounds, so that a busy service publishes several events at once."""

ACK_TIMEOUT_SECONDS = 3.0
"""How long JetStream has to acknowledge an event. Unacknowledged events are published again until they are."""
ACQUIRE_TIMEOUT_SECONDS = 3.0
RELEASE_TIMEOUT_SECONDS = 1.0

INSERT_EVENTS_SQL = """
INSERT INTO outbox (id, subject, type, source, body, traceparent, request_id)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
"""
"""Writes events, given as `event_columns`, in the transaction of their state change."""

HEADER_ALLOWANCE_BYTES = 4096
"""More than the headers of an event take."""
OVERSIZED_REPORT_SECONDS = 30.0

_NEXT = """
SELECT position, id, subject, type, source, convert_to(body, 'UTF8') AS body, traceparent, request_id, created_at
FROM outbox WHERE octet_length(body) <= $2 ORDER BY position LIMIT $1
"""
_OVERSIZED = "SELECT id FROM outbox WHERE octet_length(body) > $1 ORDER BY position LIMIT 10"
_SENT = "DELETE FROM outbox WHERE position = ANY($1::bigint[])"
_COUNT = "SELECT count(*) FROM outbox"
_TRY_LOCK = "SELECT pg_try_advisory_lock($1)"
_LEASE = "SET idle_session_timeout = '15s'"
"""PostgreSQL ends the session of a leader that is silent for longer than the relay ever pauses. That frees the lock,
which a frozen process, or one whose machine is gone, would otherwise keep for hours."""

_OUTAGES = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError)  # TimeoutError is an OSError

log = get_logger("souk.outbox")


class EventTooLargeError(ValueError):
    """An event is larger than an event may be, so its transaction must not commit."""


def event_columns(events: Sequence[tuple[Event, trace.Trace]]) -> tuple[list[Any], ...]:
    """Events, each with its trace, as the parameters of `INSERT_EVENTS_SQL`. Raises `EventTooLargeError`."""
    return (
        [new_id() for _ in events],
        [event.subject for event, _ in events],
        [event.ce_type() for event, _ in events],
        [event.ce_source() for event, _ in events],
        [_encode(event) for event, _ in events],
        [context.traceparent for _, context in events],
        [context.request_id for _, context in events],
    )


def _encode(event: Event) -> str:
    body = event.model_dump_json(by_alias=True)
    if len(body) > MAX_EVENT_BYTES or (not body.isascii() and len(body.encode()) > MAX_EVENT_BYTES):
        message = f"{event.ce_type()} of {event.aggregate_id} is larger than {MAX_EVENT_BYTES} bytes"
        raise EventTooLargeError(message)
    return body


async def insert_events(connection: Any, events: Sequence[tuple[Event, trace.Trace]]) -> None:
    """Writes the events on the caller's connection, in the caller's transaction."""
    await connection.execute(INSERT_EVENTS_SQL, *event_columns(events))


class Relay:
    """Publishes the events of the outbox in order, while its session holds the lock."""

    def __init__(self, service: str, pool: "asyncpg.Pool[Any]", client: Client, metrics: Metrics) -> None:
        assert isinstance(client, NatsClient), "every connection of this project"
        self.service = service
        self.pool = pool
        self.client = client
        self.metrics = metrics
        self.name = "outbox relay"
        self._pause = AdaptivePause(MAX_PAUSE_SECONDS)
        self.worker = PeriodicTask(self.name, self._relay, interval_seconds=POLL_SECONDS)
        self._leading: asyncpg.pool.PoolConnectionProxy[Any] | None = None
        self._stream = stream_name(service)
        self._oversized_report_at = 0.0

    def wake(self) -> None:
        """Wakes the leading relay, in this process or another. Call it after a commit that wrote events."""
        if self._leading is not None:
            self.worker.wake()
        elif self.client.is_connected:
            self._waking = asyncio.ensure_future(self.client.publish(f"wake.{self.service}"))

    async def run(self) -> None:
        """Relays until it is cancelled, then gives up the lock and wakes the relay of another process."""
        subscription = await self.client.subscribe(f"wake.{self.service}", cb=self._on_wake)
        try:
            await self.worker.run()
        finally:
            await self._release_lock()
            if self.client.is_connected:
                await subscription.unsubscribe()
                await self.client.publish(f"wake.{self.service}")

    async def _on_wake(self, _message: object) -> None:
        self.worker.wake()

    async def _relay(self) -> bool:
        if not await self._lead() or self._leading is None:
            self.metrics.outbox_rows.set(0)  # the leader counts them
            self.metrics.oldest_outbox_row = None
            return False
        async with self._pause:
            return await self._relay_batch(self._leading)

    async def _relay_batch(self, connection: "asyncpg.pool.PoolConnectionProxy[Any]") -> bool:
        """Publishes the first rows and deletes those that JetStream has; returns whether more may be waiting."""
        try:
            rows = await self._next_rows(connection)
            if not rows or not self.client.is_connected:
                return False  # publishing without a connection would only fill memory, again in every round
            failpoint("relay.read")
            sent = await self._publish(rows)
            failpoint("relay.published")
            await connection.execute(_SENT, sent)
            failpoint("relay.deleted")
        except _OUTAGES as error:
            await self._resign()
            if _is_released(error):
                log.warning("relay session lost", service=self.service, error=str(error))
                return True
            raise
        if len(sent) < len(rows):
            message = f"JetStream did not acknowledge {len(rows) - len(sent)} of {len(rows)} events"
            raise ConnectionError(message)
        return len(rows) == BATCH_SIZE

    async def _next_rows(self, connection: "asyncpg.pool.PoolConnectionProxy[Any]") -> list[asyncpg.Record]:
        """Reads the first rows, and sets the metric that counts all rows."""
        max_bytes = self.client.max_payload - HEADER_ALLOWANCE_BYTES
        if time.monotonic() >= self._oversized_report_at:
            self._oversized_report_at = time.monotonic() + OVERSIZED_REPORT_SECONDS
            if oversized := await connection.fetch(_OVERSIZED, max_bytes):
                log.error(
                    "events too large to publish stay in the outbox",
                    service=self.service,
                    event_ids=[str(row["id"]) for row in oversized],
                )
        rows: list[asyncpg.Record] = await connection.fetch(_NEXT, BATCH_SIZE, max_bytes)
        self.metrics.oldest_outbox_row = rows[0]["created_at"] if rows else None
        self.metrics.outbox_rows.set(len(rows) if len(rows) < BATCH_SIZE else await connection.fetchval(_COUNT))
        return rows

    async def _lead(self) -> bool:
        """Takes the lock unless this process holds it already; False when another process does."""
        if self._leading is not None:
            return True
        connection = await self.pool.acquire(timeout=ACQUIRE_TIMEOUT_SECONDS)
        try:
            if not await connection.fetchval(_TRY_LOCK, AdvisoryLock.OUTBOX_RELAY):
                await self.pool.release(connection)
                return False
            await connection.execute(_LEASE)
        except _OUTAGES:
            await self._end_session(connection)
            raise
        self._leading = connection
        return True

    async def _release_lock(self) -> None:
        """Ends the session and waits until the server has ended it too, so that another relay gets the lock at once."""
        if self._leading is not None:
            with suppress(*_OUTAGES):
                await self._leading.close(timeout=RELEASE_TIMEOUT_SECONDS)
        await self._resign()

    async def _resign(self) -> None:
        if self._leading is not None:
            connection, self._leading = self._leading, None
            await self._end_session(connection)

    async def _end_session(self, connection: "asyncpg.pool.PoolConnectionProxy[Any]") -> None:
        with suppress(asyncpg.InterfaceError):  # the server may have ended the session already
            connection.terminate()  # the lock belongs to the session, so only its end releases the lock
        await self.pool.release(connection)

    async def _publish(self, rows: Sequence[asyncpg.Record]) -> list[int]:
        """Returns the acknowledged positions; events behind an unacknowledged one wait for the next round."""
        ends = time.monotonic() + ACK_TIMEOUT_SECONDS
        sent: list[int] = []
        for wave in split_into_waves(rows):
            acknowledged = await self._publish_wave(wave)
            sent += acknowledged
            if len(acknowledged) < len(wave) or time.monotonic() > ends:
                break
        return sent

    async def _publish_wave(self, rows: Sequence[asyncpg.Record]) -> list[int]:
        futures = [await self._send(row) for row in rows]
        _, late = await asyncio.wait(futures, timeout=ACK_TIMEOUT_SECONDS)
        for future in late:
            future.cancel()
        sent: list[int] = []
        for row, future in zip(rows, futures, strict=True):
            if future.cancelled() or not is_acknowledgement(future.result()):
                log.warning("event not acknowledged", event_id=str(row["id"]), subject=row["subject"])
            else:
                self.metrics.events_published.labels(row["type"]).inc()
                sent.append(row["position"])
        return sent

    async def _send(self, row: asyncpg.Record) -> "asyncio.Future[Msg]":
        """Sends an event; the future is done once JetStream has answered.

        JetStream's own client parses each acknowledgement and keeps a semaphore, for twice the cost of a request.
        """
        context = trace.parse(row["traceparent"], request_id=row["request_id"])
        if not trace.has_spans(context):
            return await self._request(row, row["traceparent"])
        pattern = row["subject"].replace(f".{aggregate_id(row['subject'])}.", ".*.")
        attributes = {**messaging_attributes("send", pattern), "messaging.message.id": str(row["id"])}
        with trace.span(context, f"send {row['type']}", SpanKind.PRODUCER, attributes) as sent:
            return await self._request(row, sent.traceparent)

    async def _request(self, row: asyncpg.Record, traceparent: str) -> "asyncio.Future[Msg]":
        header = _headers(row, traceparent)
        header[EXPECTED_STREAM] = self._stream
        return await self.client.start_request(row["subject"], row["body"], header)


def is_acknowledgement(reply: Msg) -> bool:
    """Whether JetStream has stored the event, now or before: neither an error nor a stream without a leader."""
    return not is_no_responders(reply) and "error" not in orjson.loads(reply.data)


def split_into_waves(rows: Sequence[asyncpg.Record]) -> list[list[asyncpg.Record]]:
    """Rows that may leave together: the first of each aggregate, then the second of each, and so on."""
    found: list[list[asyncpg.Record]] = []
    seen: Counter[str] = Counter()
    for row in rows:
        aggregate = row["subject"].rpartition(".")[0]
        if seen[aggregate] == len(found):
            found.append([])
        found[seen[aggregate]].append(row)
        seen[aggregate] += 1
    return found


def aggregate_id(subject: str) -> str:
    """The aggregate's id in an event's subject, `event.<service>.<aggregate id>.<name>`."""
    return subject.split(".", 3)[2]


def _is_released(error: Exception) -> bool:
    """Whether the server ended the session while it was idle; asyncpg has no class of its own for that."""
    return isinstance(error, asyncpg.InterfaceError) and "released back to the pool" in str(error)


def _headers(row: asyncpg.Record, traceparent: str) -> dict[str, str]:
    created: datetime = row["created_at"]
    event_id = str(row["id"])
    return {
        headers.MESSAGE_ID: event_id,
        headers.EVENT_ID: event_id,
        headers.EVENT_TYPE: row["type"],
        headers.EVENT_SOURCE: row["source"],
        headers.EVENT_SUBJECT: aggregate_id(row["subject"]),
        headers.EVENT_TIME: created.isoformat().replace("+00:00", "Z"),
        headers.EVENT_SPEC_VERSION: "1.0",
        headers.CONTENT_TYPE: "application/json",
        headers.TRACEPARENT: traceparent,
        headers.REQUEST_ID: row["request_id"],
    }
