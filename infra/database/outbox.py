"""The outbox: an event leaves only through a row written in the transaction of its state change.

One relay a database is active, the holder of an advisory lock. It is woken after a commit, by its own process or over
NATS by another, with a slow poll behind it. A row is deleted only after JetStream has acknowledged the event, so that
a relay that dies in between publishes again, under the same `Nats-Msg-Id`.

Events of one aggregate leave one after the other, each once the one before it is acknowledged: an event without an
acknowledgement may have been stored, may still come, or may never have arrived, and none that follows may overtake it.
Those of different aggregates leave together.

A relay that lost the lock without knowing it yet (its session ended while it was publishing) says again what another
has said. JetStream drops that by its id, and after the dedupe window the inboxes of those who hear it do.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import asyncpg
from nats.aio.client import Client
from nats.js import JetStreamContext

from contracts import headers
from contracts.event import Event
from infra.foundation import trace
from infra.foundation.background import MinInterval, PeriodicTask
from infra.foundation.failpoints import failpoint
from infra.foundation.ids import new_id
from infra.foundation.telemetry import Metrics
from infra.messaging.topology import stream_name

BATCH_SIZE = 500
POLL_SECONDS = 0.25
MIN_INTERVAL_SECONDS = 0.03
"""Seconds between two rounds, so that a busy service publishes several events at once."""

LOCK = 0x50_55_4B  # one number for all: advisory locks are a database's own
ACK_TIMEOUT_SECONDS = 3.0
"""Seconds for JetStream to acknowledge. What was not is published again, for as long as it takes."""
ACQUIRE_TIMEOUT_SECONDS = 3.0

INSERT_EVENTS_SQL = """
INSERT INTO outbox (id, subject, type, source, body, traceparent, request_id)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
"""
"""Writes events, given as `columns`, in the transaction of what they tell."""

_NEXT = """
SELECT position, id, subject, type, source, body, traceparent, request_id, created_at
FROM outbox ORDER BY position LIMIT $1
"""
_SENT = "DELETE FROM outbox WHERE position = ANY($1::bigint[])"
_COUNT = "SELECT count(*) FROM outbox"
_TRY_LOCK = "SELECT pg_try_advisory_lock($1)"
_LEASE = "SET idle_session_timeout = '15s'"
"""The session of a leader that is silent for longer than its longest pause is ended, and its lock is free: a process
that is frozen, or whose machine is gone, would keep it for hours."""

_OUTAGES = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError)  # TimeoutError is an OSError

log = logging.getLogger("souk.outbox")


def event_columns(events: Sequence[tuple[Event, trace.Trace]]) -> tuple[list[Any], ...]:
    """The rows of events, each with the trace it belongs to, as `ADD` takes them."""
    return (
        [new_id() for _ in events],
        [event.subject for event, _ in events],
        [event.ce_type() for event, _ in events],
        [event.ce_source() for event, _ in events],
        [event.model_dump_json(by_alias=True) for event, _ in events],
        [here.traceparent for _, here in events],
        [here.request_id for _, here in events],
    )


async def insert_events(connection: Any, events: Sequence[tuple[Event, trace.Trace]]) -> None:
    """Writes the events on the caller's connection, in the caller's transaction."""
    await connection.execute(INSERT_EVENTS_SQL, *event_columns(events))


class Relay:
    """Publishes what is in the outbox, in order, while it holds the lock."""

    def __init__(self, service: str, pool: "asyncpg.Pool[Any]", client: Client, metrics: Metrics) -> None:
        self.service = service
        self.pool = pool
        self.client = client
        self.metrics = metrics
        self.name = "outbox relay"
        self._pace = MinInterval(MIN_INTERVAL_SECONDS)
        self.worker = PeriodicTask(self.name, self._relay, interval_seconds=POLL_SECONDS)
        self._leading: asyncpg.pool.PoolConnectionProxy[Any] | None = None
        self._js: JetStreamContext = client.jetstream(timeout=ACK_TIMEOUT_SECONDS)

    def wake(self) -> None:
        """There is something in the outbox. Called after the commit."""
        if self._leading is not None:
            self.worker.wake()
        elif self.client.is_connected:
            self._waking = asyncio.ensure_future(self.client.publish(f"wake.{self.service}"))

    async def run(self) -> None:
        woken = await self.client.subscribe(f"wake.{self.service}", cb=self._woken)
        try:
            await self.worker.run()
        finally:
            await self._resign()
            if self.client.is_connected:
                await woken.unsubscribe()

    async def _woken(self, _message: object) -> None:
        self.worker.wake()

    async def _relay(self) -> bool:
        if not await self._lead():
            self.metrics.outbox_rows.set(0)  # the leader counts them
            return False
        assert self._leading is not None
        await self._pace.wait()
        try:
            rows = await self._waiting(self._leading)
            if not rows or not self.client.is_connected:
                return False  # what is published to nobody would only pile up in memory, once for every round
            failpoint("relay.read")
            sent = await self._publish(rows)
            failpoint("relay.published")
            await self._leading.execute(_SENT, sent)
            failpoint("relay.deleted")
        except _OUTAGES:
            await self._resign()
            raise
        if len(sent) < len(rows):
            message = f"{len(rows) - len(sent)} of {len(rows)} events were not acknowledged"
            raise ConnectionError(message)
        return len(rows) == BATCH_SIZE

    async def _waiting(self, connection: "asyncpg.pool.PoolConnectionProxy[Any]") -> list[asyncpg.Record]:
        """The first rows, and for the metric how many there are."""
        rows: list[asyncpg.Record] = await connection.fetch(_NEXT, BATCH_SIZE)
        self.metrics.outbox_rows.set(len(rows) if len(rows) < BATCH_SIZE else await connection.fetchval(_COUNT))
        return rows

    async def _lead(self) -> bool:
        """Whether this process holds the lock; it is the connection's, and gone with it."""
        if self._leading is not None:
            return True
        connection = await self.pool.acquire(timeout=ACQUIRE_TIMEOUT_SECONDS)
        try:
            if not await connection.fetchval(_TRY_LOCK, LOCK):
                await self.pool.release(connection)
                return False
            await connection.execute(_LEASE)
        except _OUTAGES:
            await self._give_up(connection)
            raise
        self._leading = connection
        return True

    async def _resign(self) -> None:
        if self._leading is not None:
            connection, self._leading = self._leading, None
            await self._give_up(connection)

    async def _give_up(self, connection: "asyncpg.pool.PoolConnectionProxy[Any]") -> None:
        connection.terminate()  # the lock is the session's: ending it is what gives it up
        await self.pool.release(connection)

    async def _publish(self, rows: Sequence[asyncpg.Record]) -> list[int]:
        """Positions that JetStream has acknowledged; what has to wait for another event waits for the next round."""
        ends = time.monotonic() + ACK_TIMEOUT_SECONDS
        sent: list[int] = []
        for wave in split_into_waves(rows):
            acknowledged = await self._publish_together(wave)
            sent += acknowledged
            if len(acknowledged) < len(wave) or time.monotonic() > ends:
                break
        return sent

    async def _publish_together(self, rows: Sequence[asyncpg.Record]) -> list[int]:
        futures = [
            await self._js.publish_async(
                row["subject"],
                row["body"].encode(),
                wait_stall=ACK_TIMEOUT_SECONDS,
                stream=stream_name(self.service),
                headers=_headers(row),
            )
            for row in rows
        ]
        _, late = await asyncio.wait(futures, timeout=ACK_TIMEOUT_SECONDS)
        for future in late:
            future.cancel()
        sent: list[int] = []
        for row, future in zip(rows, futures, strict=True):
            if future.cancelled() or future.exception() is not None:
                log.warning("event %s was not acknowledged", row["id"], extra={"fields": {"subject": row["subject"]}})
            else:
                self.metrics.events_published.labels(row["type"]).inc()
                sent.append(row["position"])
        return sent


def split_into_waves(rows: Sequence[asyncpg.Record]) -> list[list[asyncpg.Record]]:
    """Rows that may leave together: the first of every aggregate, then the second of every one that has more."""
    found: list[list[asyncpg.Record]] = []
    before: Counter[str] = Counter()
    for row in rows:
        aggregate = row["subject"].rpartition(".")[0]
        if before[aggregate] == len(found):
            found.append([])
        found[before[aggregate]].append(row)
        before[aggregate] += 1
    return found


def _headers(row: asyncpg.Record) -> dict[str, str]:
    created: datetime = row["created_at"]
    event_id = str(row["id"])
    return {
        headers.MESSAGE_ID: event_id,
        headers.EVENT_ID: event_id,
        headers.EVENT_TYPE: row["type"],
        headers.EVENT_SOURCE: row["source"],
        headers.EVENT_TIME: created.isoformat().replace("+00:00", "Z"),
        headers.EVENT_SPEC_VERSION: "1.0",
        headers.CONTENT_TYPE: "application/json",
        headers.TRACEPARENT: row["traceparent"],
        headers.REQUEST_ID: row["request_id"],
    }
