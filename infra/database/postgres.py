"""PostgreSQL: a pool with every timeout set, and transactions that commit events and the reply with the change.

Events go to the outbox, the reply to the idempotency table and audit entries to the audit log, all in one transaction.
"""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
import orjson
from nats.aio.client import Client
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from contracts.audit_log import AuditLogEntry, ListAuditLog
from contracts.model import ListPage
from contracts.operation import AnyOperation
from contracts.operator_redelivery import RedeliveryOutcome
from contracts.registry import AUDIT_LOGS
from infra.database import audit_log, outbox, stored_replies
from infra.database.audit_anchor import AuditAnchor
from infra.database.postgres_errors import CONTENTION_ERRORS, UNAVAILABLE_ERRORS
from infra.database.query_spans import record_query
from infra.database.stored_replies import SealedReply
from infra.database.transaction import Connection, Transaction, write_before_commit
from infra.foundation.background import BackgroundTask, PeriodicTask
from infra.foundation.batching import BatchLoader
from infra.foundation.failpoints import failpoint
from infra.foundation.settings import PostgresSettings
from infra.foundation.telemetry import Metrics
from infra.messaging.consumer import ApplyEvent
from infra.messaging.event_parser import ReceivedEvent
from infra.messaging.idempotency import IdempotencyKey, StoredReply
from infra.messaging.rpc_client import Request
from infra.messaging.rpc_server import Handler

__all__ = ["Connection", "Database", "Transaction", "connect", "open_pool"]

ACQUIRE_TIMEOUT_SECONDS = 3.0
COMMAND_TIMEOUT_SECONDS = 10.0
CONNECT_TIMEOUT_SECONDS = 60.0
REPLY_BATCH_SIZE = 50
INBOX_RETENTION_DAYS = 100
"""Longer than the streams keep an event, so that an event that can come again is still recognised."""

GENERIC_PLANS = "force_generic_plan"
"""A statement is planned once for each connection: its plan suits any values. It saves 8 % of the server's time."""
PLANS_FOR_VALUES = "force_custom_plan"
"""A statement is planned each time, for its values: for statements whose best plan depends on them."""
_SERVER_SETTINGS = {
    "statement_timeout": "5s",
    "lock_timeout": "3s",
    "idle_in_transaction_session_timeout": "15s",
    "timezone": "UTC",
    "jit": "off",
}
_INSERT_INBOX = "INSERT INTO inbox (event_id) SELECT unnest($1::uuid[]) ON CONFLICT DO NOTHING RETURNING event_id"
_PRUNE_INBOX = "DELETE FROM inbox WHERE heard_at < now() - make_interval(days => $1)"


class Database:
    """A service's own PostgreSQL database."""

    unavailable_errors = UNAVAILABLE_ERRORS
    contention_errors = CONTENTION_ERRORS

    def __init__(self, pool: "asyncpg.Pool[Any]") -> None:
        self.pool = pool
        self.wake_relay: Callable[[], None] = lambda: None
        self.wake_audit_anchor: Callable[[], None] = lambda: None
        self._replies = BatchLoader(self._find_replies, max_batch_size=REPLY_BATCH_SIZE)
        """Every request with a key looks for a reply first; those that arrive together share the look."""

    def is_transient(self, error: Exception) -> bool:
        """Whether the same work may succeed a moment later."""
        return isinstance(error, (*UNAVAILABLE_ERRORS, *CONTENTION_ERRORS))

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection for statements that need no transaction."""
        async with self.pool.acquire(timeout=ACQUIRE_TIMEOUT_SECONDS) as connection:
            yield connection

    @asynccontextmanager
    async def transaction(
        self, request: Request[Any] | None = None, *, audited: bool = True
    ) -> AsyncIterator[Transaction]:
        """A transaction. With a `request` that has an idempotency key it must end with `tx.reply(...)` and stores that.

        The audit log gets an entry if the operation is audited. `audited` is False for a transaction that only stores
        the reply of work that an earlier transaction did and audited.

        Raises `AlreadyProcessed` when a request with the same key has committed first; everything done here is undone.
        """
        async with self.committing() as (connection, members):
            tx = Transaction(connection, request, audited=audited)
            members.append(tx)
            yield tx

    @asynccontextmanager
    async def committing(self) -> AsyncIterator[tuple[Connection, list[Transaction]]]:
        """A transaction of the members that the block adds: their events, replies and audit entries commit together.

        Raises `AlreadyProcessed` when a request with the key of a member has committed first; everything is undone.
        """
        members: list[Transaction] = []
        async with self.pool.acquire(timeout=ACQUIRE_TIMEOUT_SECONDS) as connection:
            async with connection.transaction():
                yield connection, members
                audit_entries = await write_before_commit(connection, members)
            for tx in members:
                if tx.idempotency_key is not None:
                    tx.idempotency_key.is_stored = True
        if any(tx.events for tx in members):
            failpoint("postgres.committed")
            self.wake_relay()
        if audit_entries:
            self.wake_audit_anchor()
        for tx in members:
            for callback in tx._on_commit:  # noqa: SLF001 - its own
                callback()

    async def find_reply(self, key: IdempotencyKey) -> StoredReply | None:
        """The reply stored under the key, or None."""
        sealed = await self._replies.load(key.digest)
        return None if sealed is None else key.unseal(*sealed)

    async def _find_replies(self, digests: Collection[bytes]) -> Mapping[bytes, SealedReply]:
        async with self.connection() as connection:
            return await stored_replies.find_all(connection, digests)

    async def store_reply(self, key: IdempotencyKey, reply: StoredReply) -> None:
        """Stores a reply outside a transaction; the first one under a key stays."""
        async with self.connection() as connection:
            await stored_replies.store_all(connection, [(key, reply)])

    async def forget_replies(self, owner: UUID, identifiers: Sequence[str]) -> None:
        """Deletes the stored replies of one user, and all other replies that contain one of the identifiers."""
        after: bytes | None = b""
        needles = [identifier.encode() for identifier in identifiers]
        while after is not None:
            async with self.connection() as connection:
                after = await stored_replies.forget_batch(connection, after, owner, needles)

    async def apply(self, events: Sequence[ReceivedEvent], apply_event: ApplyEvent) -> dict[UUID, RedeliveryOutcome]:
        """Applies every event that is not in the inbox yet, and writes the inbox rows, in one transaction."""
        outcomes = {event.event_id: RedeliveryOutcome.ALREADY_APPLIED for event in events}
        async with self.transaction() as tx:
            new = await _insert_inbox(tx.connection, [event.event_id for event in events])
            for event in events:
                if event.event_id in new:
                    new.remove(event.event_id)
                    outcomes[event.event_id] = await apply_event(tx, event) or RedeliveryOutcome.APPLIED
        return outcomes

    def workers(self, service: str, client: Client, metrics: Metrics) -> list[BackgroundTask]:
        """The background tasks: the outbox relay, the audit anchor and the pruning of old rows."""
        relay = outbox.Relay(service, self.pool, client, metrics)
        anchor = AuditAnchor(service, self.pool, client)
        self.wake_relay, self.wake_audit_anchor = relay.wake, anchor.wake
        return [relay, anchor, PeriodicTask("prune", self.prune, interval_seconds=3600)]

    def handlers(self, service: str) -> Mapping[AnyOperation, Handler]:
        """The operation that every service with this store offers: reading its audit log."""

        async def read_audit_log(_deps: object, request: Request[ListAuditLog]) -> ListPage[AuditLogEntry]:
            async with self.connection() as connection:
                return await audit_log.read_page(connection, request.body)

        return {AUDIT_LOGS[service]: read_audit_log}

    async def ping(self) -> None:
        """Makes one round trip; raises when the server is unavailable."""
        async with self.connection() as connection:
            await connection.fetchval("SELECT 1")

    async def prune(self) -> bool:
        """Deletes stored replies and inbox rows that are past their retention."""
        async with self.connection() as connection:
            await stored_replies.prune(connection)
            await connection.execute(_PRUNE_INBOX, INBOX_RETENTION_DAYS)
        return False


async def _insert_inbox(connection: Connection, event_ids: list[Any]) -> set[Any]:
    """Writes the inbox rows; returns the ids that were not there before."""
    return {row["event_id"] for row in await connection.fetch(_INSERT_INBOX, event_ids)}


async def _set_codecs(connection: "asyncpg.Connection[Any]") -> None:
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=lambda value: orjson.dumps(value).decode(), decoder=orjson.loads
    )


async def _prepare_connection(connection: "asyncpg.Connection[Any]") -> None:
    """Prepares a connection whose statements are recorded as spans; without an exporter that costs nothing."""
    await _set_codecs(connection)
    connection.add_query_logger(record_query)


async def _no_reset(_connection: object) -> None:
    """Does nothing: no session state stays on a connection, so that releasing it costs no round trip."""


@asynccontextmanager
async def connect(settings: PostgresSettings, name: str) -> AsyncIterator[Database]:
    """Opens the service's database; waits for a server that is still starting."""
    async with open_pool(settings, name) as pool:
        yield Database(pool)


@asynccontextmanager
async def open_pool(
    settings: PostgresSettings,
    name: str,
    *,
    plan_cache_mode: str = GENERIC_PLANS,
    max_size: int | None = None,
    session_settings: Mapping[str, str] | None = None,
) -> AsyncIterator["asyncpg.Pool[Any]"]:
    """Opens a pool of connections that plan their statements in this way.

    Triggers and functions of the database may read `session_settings`.
    """
    async for attempt in AsyncRetrying(
        retry=retry_if_exception_type(UNAVAILABLE_ERRORS),
        wait=wait_random_exponential(multiplier=0.05, max=2),
        stop=stop_after_delay(CONNECT_TIMEOUT_SECONDS),
        reraise=True,
    ):
        with attempt:
            pool = await asyncpg.create_pool(
                settings.database_url,
                password=settings.database_password.get_secret_value(),
                min_size=min(2, max_size or settings.database_pool),
                max_size=max_size or settings.database_pool,
                command_timeout=COMMAND_TIMEOUT_SECONDS,
                server_settings={
                    **_SERVER_SETTINGS,
                    **(session_settings or {}),
                    "plan_cache_mode": plan_cache_mode,
                    "application_name": f"souk-{name}",
                },
                init=_prepare_connection if settings.otlp_endpoint else _set_codecs,
                reset=_no_reset,
            )
    try:
        yield pool
    finally:
        pool.terminate()
