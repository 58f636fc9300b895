"""PostgreSQL: a pool with every timeout set, and transactions that take events and answers along."""

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
from contracts.redelivery import RedeliveryOutcome
from contracts.registry import AUDIT_LOGS
from infra.database import audit_log as trail
from infra.database import outbox
from infra.database.audit_anchor import AuditAnchor
from infra.database.audit_log import AuditActor, AuditEntry
from infra.foundation import trace
from infra.foundation.background import BackgroundTask, PeriodicTask
from infra.foundation.failpoints import failpoint
from infra.foundation.settings import PostgresSettings
from infra.foundation.telemetry import Metrics
from infra.messaging.consumer import ApplyEvent, ReceivedEvent
from infra.messaging.idempotency import REPLY_RETENTION_SECONDS, AlreadyProcessed, IdempotencyKey, StoredReply
from infra.messaging.rpc import Reply, Request
from infra.messaging.rpc_server import Handler

if TYPE_CHECKING:
    Connection = asyncpg.pool.PoolConnectionProxy[Any]
else:  # generic for the type checker only
    Connection = asyncpg.pool.PoolConnectionProxy
ReplyT = TypeVar("ReplyT", bound=Model)
AuditValues = Mapping[str, Any]
"""Values by name, for the audit trail."""

ACQUIRE_TIMEOUT_SECONDS = 3.0
COMMAND_TIMEOUT_SECONDS = 10.0
CONNECT_TIMEOUT_SECONDS = 60.0
FORGET_BATCH_SIZE = 2000
INBOX_RETENTION_DAYS = 100
"""Longer than the streams keep an event: what can come again is still known."""

UNAVAILABLE_ERRORS: tuple[type[Exception], ...] = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that broke in the middle of a word
    asyncpg.CannotConnectNowError,
    asyncpg.InsufficientResourcesError,  # too many connections, no memory, or a full disk
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.PostgresSystemError,  # its disk does not answer
    OSError,
    TimeoutError,
)
"""The store is away, for now; nothing is wrong with what was asked of it."""

CONTENTION_ERRORS: tuple[type[Exception], ...] = (
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.QueryCanceledError,
)
"""The store is there, but others were in the way: the same again may go well."""

_SERVER_SETTINGS = {
    "statement_timeout": "5s",
    "lock_timeout": "3s",
    "idle_in_transaction_session_timeout": "15s",
    "timezone": "UTC",
    "jit": "off",
}
_FIND = (
    "SELECT fingerprint, answer FROM idempotency WHERE digest = $1 AND created_at > now() - make_interval(secs => $2)"
)
_KEEPING = """
INSERT INTO idempotency (digest, fingerprint, answer, owner) VALUES ({}, {}, {}, {})
ON CONFLICT (digest) DO UPDATE
    SET fingerprint = excluded.fingerprint, answer = excluded.answer, owner = excluded.owner, created_at = now()
    WHERE idempotency.created_at <= now() - make_interval(secs => {})
RETURNING true
"""
_KEEP = _KEEPING.format("$1", "$2", "$3", "$4", "$5")
_KEPT = _KEEPING.format("$8", "$9", "$10", "$11", "$12")
_SAY_AND_KEEP = f"WITH said AS ({outbox.INSERT_EVENTS_SQL}), kept AS ({_KEPT}) SELECT true FROM kept"  # noqa: S608 - constants
"""What most asks end with, in one round trip."""

_FRESH = "INSERT INTO inbox (event_id) SELECT unnest($1::uuid[]) ON CONFLICT DO NOTHING RETURNING event_id"
# A piece of all answers, in the order of their digests: there is no index by which those about somebody are found.
_FORGET = """
WITH piece AS (SELECT digest, owner, answer FROM idempotency WHERE digest > $1 ORDER BY digest LIMIT $2),
     gone AS (
         DELETE FROM idempotency USING piece WHERE idempotency.digest = piece.digest AND (
             piece.owner = $3
             OR EXISTS (SELECT FROM unnest($4::bytea[]) AS said WHERE position(said IN piece.answer) > 0)
         )
     )
SELECT digest FROM piece ORDER BY digest DESC LIMIT 1
"""
_PRUNE_ANSWERS = "DELETE FROM idempotency WHERE created_at < now() - make_interval(secs => $1)"
_PRUNE_INBOX = "DELETE FROM inbox WHERE heard_at < now() - make_interval(days => $1)"


class Transaction:
    """One transaction: the store's functions run on `connection`; events and the answer go with the commit."""

    def __init__(self, connection: Connection, act: AuditEntry | None = None) -> None:
        self.connection = connection
        self.audited_action = act
        """What is done here, if it is noted in the audit trail."""
        self.extra_audit_entries: list[AuditEntry] = []
        self.events: list[tuple[Event, trace.Trace]] = []
        self.stored_reply: Reply[Any] | None = None
        self._on_commit: list[Callable[[], None]] = []

    def publish(self, *events: Event) -> None:
        """States facts. They are in the outbox if, and only if, the transaction commits."""
        self.events += [(event, trace.current()) for event in events]

    def reply(self, body: ReplyT, *, version: int | None = None) -> Reply[ReplyT]:
        """The answer to the ask that the transaction was opened for, kept under its idempotency key."""
        answer = Reply(body, version)
        self.stored_reply = answer
        if self.audited_action is not None and not self.audited_action.subject:
            self.audited_action.subject = trail.subject_id(body)
        return answer

    def audit_action(self, request: Request[Any], subject: UUID | None = None) -> None:
        """What is asked for is done here, in a transaction that does not end with its answer.

        A `subject` is the one of those asked for together that it is done to.
        """
        self.audited_action = trail.entry_for_request(request)
        if self.audited_action is not None and subject is not None:
            self.audited_action.for_subject(subject)

    def audit_changes(
        self, subject: UUID | None = None, *, before: AuditValues | None = None, after: AuditValues | None = None
    ) -> None:
        """What the act was about, what that was before and what it is now: as far as it may be told."""
        if self.audited_action is not None:
            self.audited_action.add_changes(subject, before or {}, after or {})

    def authenticated_as(self, account_id: UUID, role: Role) -> None:
        """Who does it, where the ask could not say so: somebody who has just shown whose account it is."""
        if self.audited_action is not None:
            self.audited_action.actor = trail.person_actor(account_id, role)
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
        """Something else that belongs into the audit trail."""
        note = AuditEntry(action, actor, client)
        note.add_changes(subject, {}, after or {})
        self.extra_audit_entries.append(note)

    @property
    def audit_entries(self) -> list[AuditEntry]:
        """All that goes into the audit trail."""
        return [*([self.audited_action] if self.audited_action is not None else []), *self.extra_audit_entries]

    def on_commit(self, callback: Callable[[], None]) -> None:
        """Called once the transaction has committed: to wake a worker."""
        self._on_commit.append(callback)


class Database:
    """A service's own database."""

    unavailable_errors = UNAVAILABLE_ERRORS
    contention_errors = CONTENTION_ERRORS

    def __init__(self, pool: "asyncpg.Pool[Any]") -> None:
        self.pool = pool
        self.wake_relay: Callable[[], None] = lambda: None
        self.wake_audit_anchor: Callable[[], None] = lambda: None

    def is_transient(self, error: Exception) -> bool:
        return isinstance(error, (*UNAVAILABLE_ERRORS, *CONTENTION_ERRORS))

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """For statements that stand alone."""
        async with self.pool.acquire(timeout=ACQUIRE_TIMEOUT_SECONDS) as connection:
            yield connection

    @asynccontextmanager
    async def transaction(
        self, request: Request[Any] | None = None, *, audited: bool = True
    ) -> AsyncIterator[Transaction]:
        """A transaction; with an `ask` that has an idempotency key, its answer is kept in it.

        An act of an administrator is noted in the audit trail. `acts` is False where it only keeps the answer, and what
        that tells was done before, in another transaction.

        Raises `Replay` when another request with the same key has committed first: everything done here is undone.
        """
        async with self.pool.acquire(timeout=ACQUIRE_TIMEOUT_SECONDS) as connection:
            async with connection.transaction():
                tx = Transaction(
                    connection, trail.entry_for_request(request) if request is not None and audited else None
                )
                yield tx
                await _conclude(tx, request.idempotency_key if request is not None else None)
            if request is not None and request.idempotency_key is not None:
                request.idempotency_key.is_stored = True
        if tx.events:
            failpoint("postgres.committed")
            self.wake_relay()
        if tx.audit_entries:
            self.wake_audit_anchor()
        for call in tx._on_commit:  # noqa: SLF001 - its own
            call()

    async def find_reply(self, key: IdempotencyKey) -> StoredReply | None:
        async with self.connection() as connection:
            row = await connection.fetchrow(_FIND, key.digest, REPLY_RETENTION_SECONDS)
        return key.unseal(row["fingerprint"], row["answer"]) if row else None

    async def store_reply(self, key: IdempotencyKey, answer: StoredReply) -> None:
        async with self.connection() as connection:
            await connection.fetchval(_KEEP, *_kept(key, answer))

    async def forget_replies(self, owner: UUID, identifiers: Sequence[str]) -> None:
        """Forgets the answers that somebody was given, and those to others in which any of `said` stands."""
        last, needles = b"", [one.encode() for one in identifiers]
        while last is not None:
            async with self.connection() as connection:
                last = await connection.fetchval(_FORGET, last, FORGET_BATCH_SIZE, owner, needles)

    async def apply(self, deliveries: Sequence[ReceivedEvent], effect: ApplyEvent) -> dict[UUID, RedeliveryOutcome]:
        """The effects of all events not heard before, with their inbox rows, in one transaction."""
        outcomes = {delivery.event_id: RedeliveryOutcome.ALREADY_APPLIED for delivery in deliveries}
        async with self.transaction() as tx:
            new = await _fresh(tx.connection, [delivery.event_id for delivery in deliveries])
            for delivery in deliveries:
                if delivery.event_id in new:
                    new.remove(delivery.event_id)
                    outcomes[delivery.event_id] = await effect(tx, delivery) or RedeliveryOutcome.APPLIED
        return outcomes

    def workers(self, service: str, client: Client, metrics: Metrics) -> list[BackgroundTask]:
        """The relay of the outbox, and the forgetting of what is old."""
        relay = outbox.Relay(service, self.pool, client, metrics)
        heads = AuditAnchor(service, self.pool, client)
        self.wake_relay, self.wake_audit_anchor = relay.wake, heads.wake
        return [relay, heads, PeriodicTask("prune", self.prune, interval_seconds=3600)]

    def handlers(self, service: str) -> Mapping[AnyOperation, Handler]:
        """The pages of the audit trail."""

        async def read_trail(_deps: object, ask: Request[ListAuditLog]) -> ListPage[AuditLogEntry]:
            async with self.connection() as connection:
                return await trail.read_page(connection, ask.body)

        return {AUDIT_LOGS[service]: read_trail}

    async def ping(self) -> None:
        async with self.connection() as connection:
            await connection.fetchval("SELECT 1")

    async def prune(self) -> bool:
        """Forgets answers and inbox rows that nobody can ask for any more."""
        async with self.connection() as connection:
            await connection.execute(_PRUNE_ANSWERS, REPLY_RETENTION_SECONDS)
            await connection.execute(_PRUNE_INBOX, INBOX_RETENTION_DAYS)
        return False


async def _fresh(connection: Connection, event_ids: list[Any]) -> set[Any]:
    """Writes the inbox rows; the ids that were not there before."""
    return {row["event_id"] for row in await connection.fetch(_FRESH, event_ids)}


async def _conclude(tx: Transaction, key: IdempotencyKey | None) -> None:
    """Writes what goes with the commit: the events, the answer under its key, and then the notes of the trail."""
    await _say_and_keep(tx, key)
    if tx.audit_entries:
        await trail.append_entries(tx.connection, tx.audit_entries)


async def _say_and_keep(tx: Transaction, key: IdempotencyKey | None) -> None:
    if key is None:
        if tx.events:
            await outbox.insert_events(tx.connection, tx.events)
        return
    assert tx.stored_reply is not None, "a transaction for an ask ends with tx.answer(...)"
    kept = _kept(key, tx.stored_reply.to_stored())
    try:
        if tx.events:
            first = await tx.connection.fetchval(_SAY_AND_KEEP, *outbox.event_columns(tx.events), *kept)
        else:
            first = await tx.connection.fetchval(_KEEP, *kept)
    except asyncpg.LockNotAvailableError as error:
        raise IdempotencyInProgress(retry_after=1) from error
    if not first:
        raise AlreadyProcessed


def _kept(key: IdempotencyKey, answer: StoredReply) -> tuple[Any, ...]:
    return key.digest, key.fingerprint, key.seal(answer), key.owner, REPLY_RETENTION_SECONDS


async def _prepare(connection: "asyncpg.Connection[Any]") -> None:
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=lambda value: orjson.dumps(value).decode(), decoder=orjson.loads
    )


async def _no_reset(_connection: object) -> None:
    """Nothing is left behind on a connection, so that a release costs no round trip."""


@asynccontextmanager
async def connect(settings: PostgresSettings, name: str) -> AsyncIterator[Database]:
    """The service's database; waits for a server that is still starting."""
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
                init=_prepare,
                reset=_no_reset,
            )
    try:
        yield Database(pool)
    finally:
        pool.terminate()
