"""PostgreSQL: a pool with every timeout set, and transactions that take events and answers along."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import asyncpg
import orjson
from nats.aio.client import Client
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from contracts.audit_log import Entry, ListTrail
from contracts.event import Event
from contracts.failure import IdempotencyInProgress
from contracts.identity import Role
from contracts.model import Listing, Model
from contracts.operation import AnyOperation
from contracts.redelivery import Outcome
from contracts.registry import TRAIL
from infra.database import audit_log as trail
from infra.database import outbox
from infra.database.audit_anchor import Heads
from infra.database.audit_log import Actor, Note
from infra.foundation import trace
from infra.foundation.background import Background, Worker
from infra.foundation.failpoints import crash_point
from infra.foundation.settings import PostgresSettings
from infra.foundation.telemetry import Metrics
from infra.messaging.consumer import Delivery, Effect
from infra.messaging.idempotency import KEPT_SECONDS, Key, Replay, Stored
from infra.messaging.rpc import Answer, Ask
from infra.messaging.rpc_server import Handler

if TYPE_CHECKING:
    Connection = asyncpg.pool.PoolConnectionProxy[Any]
else:  # generic for the type checker only
    Connection = asyncpg.pool.PoolConnectionProxy
ReplyT = TypeVar("ReplyT", bound=Model)
Said = Mapping[str, Any]
"""Values by name, for the audit trail."""

ACQUIRE_TIMEOUT = 3.0
COMMAND_TIMEOUT = 10.0
START_PATIENCE = 60.0
FORGET_PIECE = 2000
INBOX_DAYS = 100
"""Longer than the streams keep an event: what can come again is still known."""

AWAY: tuple[type[Exception], ...] = (
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

BUSY: tuple[type[Exception], ...] = (
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
_SAY_AND_KEEP = f"WITH said AS ({outbox.ADD}), kept AS ({_KEPT}) SELECT true FROM kept"  # noqa: S608 - constants
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

    def __init__(self, connection: Connection, act: Note | None = None) -> None:
        self.connection = connection
        self.act = act
        """What is done here, if it is noted in the audit trail."""
        self.notes: list[Note] = []
        self.events: list[tuple[Event, trace.Trace]] = []
        self.answered: Answer[Any] | None = None
        self._after: list[Callable[[], None]] = []

    def say(self, *events: Event) -> None:
        """States facts. They are in the outbox if, and only if, the transaction commits."""
        self.events += [(event, trace.current()) for event in events]

    def answer(self, reply: ReplyT, *, version: int | None = None) -> Answer[ReplyT]:
        """The answer to the ask that the transaction was opened for, kept under its idempotency key."""
        answer = Answer(reply, version)
        self.answered = answer
        if self.act is not None and not self.act.subject:
            self.act.subject = trail.subject_of(reply)
        return answer

    def does(self, ask: Ask[Any], subject: UUID | None = None) -> None:
        """What is asked for is done here, in a transaction that does not end with its answer.

        A `subject` is the one of those asked for together that it is done to.
        """
        self.act = trail.act_of(ask)
        if self.act is not None and subject is not None:
            self.act.narrow(subject)

    def detail(self, subject: UUID | None = None, *, before: Said | None = None, after: Said | None = None) -> None:
        """What the act was about, what that was before and what it is now: as far as it may be told."""
        if self.act is not None:
            self.act.detail(subject, before or {}, after or {})

    def proven(self, account_id: UUID, role: Role) -> None:
        """Who does it, where the ask could not say so: somebody who has just shown whose account it is."""
        if self.act is not None:
            self.act.actor = trail.person(account_id, role)
            self.act.subject = str(account_id)

    def note(
        self, act: str, actor: Actor, client: str = "", *, subject: UUID | None = None, after: Said | None = None
    ) -> None:
        """Something else that belongs into the audit trail."""
        note = Note(act, actor, client)
        note.detail(subject, {}, after or {})
        self.notes.append(note)

    @property
    def noted(self) -> list[Note]:
        """All that goes into the audit trail."""
        return [*([self.act] if self.act is not None else []), *self.notes]

    def afterwards(self, call: Callable[[], None]) -> None:
        """Called once the transaction has committed: to wake a worker."""
        self._after.append(call)


class Database:
    """A service's own database."""

    away = AWAY
    busy = BUSY

    def __init__(self, pool: "asyncpg.Pool[Any]") -> None:
        self.pool = pool
        self.wake_relay: Callable[[], None] = lambda: None
        self.wake_heads: Callable[[], None] = lambda: None

    def is_away(self, error: Exception) -> bool:
        return isinstance(error, (*AWAY, *BUSY))

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """For statements that stand alone."""
        async with self.pool.acquire(timeout=ACQUIRE_TIMEOUT) as connection:
            yield connection

    @asynccontextmanager
    async def transaction(self, ask: Ask[Any] | None = None, *, acts: bool = True) -> AsyncIterator[Transaction]:
        """A transaction; with an `ask` that has an idempotency key, its answer is kept in it.

        An act of an administrator is noted in the audit trail. `acts` is False where it only keeps the answer, and what
        that tells was done before, in another transaction.

        Raises `Replay` when another request with the same key has committed first: everything done here is undone.
        """
        async with self.pool.acquire(timeout=ACQUIRE_TIMEOUT) as connection:
            async with connection.transaction():
                tx = Transaction(connection, trail.act_of(ask) if ask is not None and acts else None)
                yield tx
                await _conclude(tx, ask.key if ask is not None else None)
            if ask is not None and ask.key is not None:
                ask.key.kept = True
        if tx.events:
            crash_point("postgres.committed")
            self.wake_relay()
        if tx.noted:
            self.wake_heads()
        for call in tx._after:  # noqa: SLF001 - its own
            call()

    async def find(self, key: Key) -> Stored | None:
        async with self.connection() as connection:
            row = await connection.fetchrow(_FIND, key.digest, KEPT_SECONDS)
        return key.open(row["fingerprint"], row["answer"]) if row else None

    async def keep(self, key: Key, answer: Stored) -> None:
        async with self.connection() as connection:
            await connection.fetchval(_KEEP, *_kept(key, answer))

    async def forget(self, owner: UUID, said: Sequence[str]) -> None:
        """Forgets the answers that somebody was given, and those to others in which any of `said` stands."""
        last, needles = b"", [one.encode() for one in said]
        while last is not None:
            async with self.connection() as connection:
                last = await connection.fetchval(_FORGET, last, FORGET_PIECE, owner, needles)

    async def apply(self, deliveries: Sequence[Delivery], effect: Effect) -> dict[UUID, Outcome]:
        """The effects of all events not heard before, with their inbox rows, in one transaction."""
        outcomes = {delivery.event_id: Outcome.KNOWN for delivery in deliveries}
        async with self.transaction() as tx:
            new = await _fresh(tx.connection, [delivery.event_id for delivery in deliveries])
            for delivery in deliveries:
                if delivery.event_id in new:
                    new.remove(delivery.event_id)
                    outcomes[delivery.event_id] = await effect(tx, delivery) or Outcome.APPLIED
        return outcomes

    def workers(self, service: str, client: Client, metrics: Metrics) -> list[Background]:
        """The relay of the outbox, and the forgetting of what is old."""
        relay = outbox.Relay(service, self.pool, client, metrics)
        heads = Heads(service, self.pool, client)
        self.wake_relay, self.wake_heads = relay.wake, heads.wake
        return [relay, heads, Worker("prune", self.prune, every=3600)]

    def asks(self, service: str) -> Mapping[AnyOperation, Handler]:
        """The pages of the audit trail."""

        async def read_trail(_deps: object, ask: Ask[ListTrail]) -> Listing[Entry]:
            async with self.connection() as connection:
                return await trail.page(connection, ask.body)

        return {TRAIL[service]: read_trail}

    async def ping(self) -> None:
        async with self.connection() as connection:
            await connection.fetchval("SELECT 1")

    async def prune(self) -> bool:
        """Forgets answers and inbox rows that nobody can ask for any more."""
        async with self.connection() as connection:
            await connection.execute(_PRUNE_ANSWERS, KEPT_SECONDS)
            await connection.execute(_PRUNE_INBOX, INBOX_DAYS)
        return False


async def _fresh(connection: Connection, event_ids: list[Any]) -> set[Any]:
    """Writes the inbox rows; the ids that were not there before."""
    return {row["event_id"] for row in await connection.fetch(_FRESH, event_ids)}


async def _conclude(tx: Transaction, key: Key | None) -> None:
    """Writes what goes with the commit: the events, the answer under its key, and then the notes of the trail."""
    await _say_and_keep(tx, key)
    if tx.noted:
        await trail.append(tx.connection, tx.noted)


async def _say_and_keep(tx: Transaction, key: Key | None) -> None:
    if key is None:
        if tx.events:
            await outbox.add(tx.connection, tx.events)
        return
    assert tx.answered is not None, "a transaction for an ask ends with tx.answer(...)"
    kept = _kept(key, tx.answered.stored())
    try:
        if tx.events:
            first = await tx.connection.fetchval(_SAY_AND_KEEP, *outbox.columns(tx.events), *kept)
        else:
            first = await tx.connection.fetchval(_KEEP, *kept)
    except asyncpg.LockNotAvailableError as error:
        raise IdempotencyInProgress(retry_after=1) from error
    if not first:
        raise Replay


def _kept(key: Key, answer: Stored) -> tuple[Any, ...]:
    return key.digest, key.fingerprint, key.seal(answer), key.owner, KEPT_SECONDS


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
        retry=retry_if_exception_type(AWAY),
        wait=wait_random_exponential(multiplier=0.05, max=2),
        stop=stop_after_delay(START_PATIENCE),
        reraise=True,
    ):
        with attempt:
            pool = await asyncpg.create_pool(
                settings.database_url,
                password=settings.database_password.get_secret_value(),
                min_size=2,
                max_size=settings.database_pool,
                command_timeout=COMMAND_TIMEOUT,
                server_settings={**_SERVER_SETTINGS, "application_name": f"souk-{name}"},
                init=_prepare,
                reset=_no_reset,
            )
    try:
        yield Database(pool)
    finally:
        pool.terminate()
