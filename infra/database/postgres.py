"""PostgreSQL: a pool with every timeout set, and transactions that commit events and the reply with the change.

Events go to the outbox, the reply to the idempotency table and audit entries to the audit log, all in one transaction.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import asyncpg
import orjson
from nats.aio.client import Client
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from contracts.audit_log import AuditLogEntry, ListAuditLog
from contracts.event import Event
from contracts.failure import IdempotencyInProgress
from contracts.identity import Role
from contracts.model import ListPage, Model
from contracts.operation import AnyOperation
from contracts.operator_redelivery import RedeliveryOutcome
from contracts.registry import AUDIT_LOGS
from infra.database import audit_log, outbox, stored_replies
from infra.database.audit_anchor import AuditAnchor
from infra.database.audit_log import AuditActor, AuditEntry
from infra.database.query_spans import record_query
from infra.foundation import trace
from infra.foundation.background import BackgroundTask, PeriodicTask
from infra.foundation.failpoints import failpoint
from infra.foundation.settings import PostgresSettings
from infra.foundation.telemetry import Metrics
from infra.messaging.consumer import ApplyEvent, ReceivedEvent
from infra.messaging.idempotency import AlreadyProcessed, IdempotencyKey, StoredReply
from infra.messaging.rpc import Reply, Request
from infra.messaging.rpc_server import Handler

if TYPE_CHECKING:
    Connection = asyncpg.pool.PoolConnectionProxy[Any]
else:  # generic for the type checker only
    Connection = asyncpg.pool.PoolConnectionProxy
ReplyT = TypeVar("ReplyT", bound=Model)
AuditValues = Mapping[str, Any]
"""Values by field name, for the audit log."""

ACQUIRE_TIMEOUT_SECONDS = 3.0
COMMAND_TIMEOUT_SECONDS = 10.0
CONNECT_TIMEOUT_SECONDS = 60.0
INBOX_RETENTION_DAYS = 100
"""Longer than the streams keep an event, so that an event that can come again is still recognised."""

UNAVAILABLE_ERRORS: tuple[type[Exception], ...] = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that broke in the middle of a message
    asyncpg.CannotConnectNowError,
    asyncpg.InsufficientResourcesError,  # too many connections, no memory, or a full disk
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.PostgresSystemError,  # its disk does not respond
    OSError,
    TimeoutError,
)
"""The server is unavailable for now; the statement itself may be sound."""

CONTENTION_ERRORS: tuple[type[Exception], ...] = (
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.QueryCanceledError,
)
"""Concurrent transactions were in the way; the same statement may succeed when it is tried again."""

_SERVER_SETTINGS = {
    "statement_timeout": "5s",
    "lock_timeout": "3s",
    "idle_in_transaction_session_timeout": "15s",
    "timezone": "UTC",
    "jit": "off",
}
_INSERT_INBOX = "INSERT INTO inbox (event_id) SELECT unnest($1::uuid[]) ON CONFLICT DO NOTHING RETURNING event_id"
_PRUNE_INBOX = "DELETE FROM inbox WHERE heard_at < now() - make_interval(days => $1)"


class Transaction:
    """One transaction: store functions run on `connection`; events, the reply and audit entries commit with it."""

    def __init__(self, connection: Connection, action: AuditEntry | None = None) -> None:
        self.connection = connection
        self.audited_action = action
        """The audit entry of the operation that runs in this transaction, if the operation is audited."""
        self.extra_audit_entries: list[AuditEntry] = []
        self.events: list[tuple[Event, trace.Trace]] = []
        self.stored_reply: Reply[Any] | None = None
        self._on_commit: list[Callable[[], None]] = []

    def publish(self, *events: Event) -> None:
        """Adds events. They are in the outbox if, and only if, the transaction commits."""
        self.events += [(event, trace.current()) for event in events]

    def reply(self, body: ReplyT, *, version: int | None = None) -> Reply[ReplyT]:
        """Builds the reply to the transaction's request; it is stored under the request's idempotency key."""
        reply = Reply(body, version)
        self.stored_reply = reply
        if self.audited_action is not None and not self.audited_action.subject:
            self.audited_action.subject = audit_log.subject_id(body)
        return reply

    def audit_action(self, request: Request[Any], subject: UUID | None = None) -> None:
        """Audits the request's operation in this transaction, which does not store the reply.

        `subject` is the one thing that this transaction changes, where the request names several.
        """
        self.audited_action = audit_log.entry_for_request(request)
        if self.audited_action is not None and subject is not None:
            self.audited_action.for_subject(subject)

    def audit_changes(
        self, subject: UUID | None = None, *, before: AuditValues | None = None, after: AuditValues | None = None
    ) -> None:
        """Adds the subject and its values before and after to the audited action; personal values are redacted."""
        if self.audited_action is not None:
            self.audited_action.add_changes(subject, before or {}, after or {})

    def authenticated_as(self, account_id: UUID, role: Role) -> None:
        """Sets who acts where the request carries no identity: the account that was just authenticated."""
        if self.audited_action is not None:
            self.audited_action.actor = audit_log.person_actor(account_id, role)
            self.audited_action.subject = str(account_id)

    def audit(
        self,
        action: str,
        actor: AuditActor,
        client: str = "",
        *,
        subject: UUID | None = None,
        after: AuditValues | None = None,
    ) -> None:
        """Adds one more entry to the audit log, beside the entry of the operation."""
        entry = AuditEntry(action, actor, client)
        entry.add_changes(subject, {}, after or {})
        self.extra_audit_entries.append(entry)

    @property
    def audit_entries(self) -> list[AuditEntry]:
        """Every entry that the commit appends to the audit log."""
        return [*([self.audited_action] if self.audited_action is not None else []), *self.extra_audit_entries]

    def on_commit(self, callback: Callable[[], None]) -> None:
        """Calls back once the transaction has committed, for example to wake a worker."""
        self._on_commit.append(callback)


class Database:
    """A service's own PostgreSQL database."""

    unavailable_errors = UNAVAILABLE_ERRORS
    contention_errors = CONTENTION_ERRORS

    def __init__(self, pool: "asyncpg.Pool[Any]") -> None:
        self.pool = pool
        self.wake_relay: Callable[[], None] = lambda: None
        self.wake_audit_anchor: Callable[[], None] = lambda: None

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
        async with self.pool.acquire(timeout=ACQUIRE_TIMEOUT_SECONDS) as connection:
            async with connection.transaction():
                action = audit_log.entry_for_request(request) if request is not None and audited else None
                tx = Transaction(connection, action)
                yield tx
                await _before_commit(tx, request.idempotency_key if request is not None else None)
            if request is not None and request.idempotency_key is not None:
                request.idempotency_key.is_stored = True
        if tx.events:
            failpoint("postgres.committed")
            self.wake_relay()
        if tx.audit_entries:
            self.wake_audit_anchor()
        for callback in tx._on_commit:  # noqa: SLF001 - its own
            callback()

    async def find_reply(self, key: IdempotencyKey) -> StoredReply | None:
        """The reply stored under the key, or None."""
        async with self.connection() as connection:
            return await stored_replies.find(connection, key)

    async def store_reply(self, key: IdempotencyKey, reply: StoredReply) -> None:
        """Stores a reply outside a transaction; the first one under a key stays."""
        async with self.connection() as connection:
            await stored_replies.store(connection, key, reply)

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


async def _before_commit(tx: Transaction, key: IdempotencyKey | None) -> None:
    """Writes what commits with the change: events, the reply under its key, and last the audit entries."""
    await _insert_events_and_reply(tx, key)
    if tx.audit_entries:
        await audit_log.append_entries(tx.connection, tx.audit_entries)


async def _insert_events_and_reply(tx: Transaction, key: IdempotencyKey | None) -> None:
    if key is None:
        if tx.events:
            await outbox.insert_events(tx.connection, tx.events)
        return
    assert tx.stored_reply is not None, "end the transaction of a request with tx.reply(...)"
    try:
        first = await stored_replies.store(tx.connection, key, tx.stored_reply.to_stored(), tx.events)
    except asyncpg.LockNotAvailableError as error:
        raise IdempotencyInProgress(retry_after=1) from error
    if not first:
        raise AlreadyProcessed


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
                min_size=2,
                max_size=settings.database_pool,
                command_timeout=COMMAND_TIMEOUT_SECONDS,
                server_settings={**_SERVER_SETTINGS, "application_name": f"souk-{name}"},
                init=_prepare_connection if settings.otlp_endpoint else _set_codecs,
                reset=_no_reset,
            )
    try:
        yield Database(pool)
    finally:
        pool.terminate()
