"""MongoDB through motor: journalled majority writes, and transactions that store the reply with the change.

motor is deprecated; only this module and `services/cart/store` use it.

The write concern is set on the client, not on the database, because commits take it from the client. A majority commit
without `journal` waits for the journal's next regular flush, up to 100 ms.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import Any, TypeVar
from uuid import UUID

from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorClientSession, AsyncIOMotorDatabase
from nats.aio.client import Client
from pymongo import ASCENDING, IndexModel, WriteConcern
from pymongo.errors import (
    ConfigurationError,
    ConnectionFailure,
    DuplicateKeyError,
    OperationFailure,
    PyMongoError,
    WTimeoutError,
)
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    retry_if_exception_type,
    stop_after_delay,
    wait_random_exponential,
)

from contracts.model import Model
from contracts.operation import AnyOperation
from contracts.operator_redelivery import RedeliveryOutcome
from infra.database.mongo_spans import MongoCommandSpans
from infra.foundation.background import BackgroundTask
from infra.foundation.failpoints import failpoint
from infra.foundation.ids import now
from infra.foundation.settings import MongoSettings
from infra.foundation.telemetry import Metrics
from infra.messaging.consumer import ApplyEvent
from infra.messaging.event_parser import ReceivedEvent
from infra.messaging.idempotency import REPLY_RETENTION_SECONDS, AlreadyProcessed, IdempotencyKey, StoredReply
from infra.messaging.rpc_client import Reply, Request
from infra.messaging.rpc_server import Handler

ResultT = TypeVar("ResultT")
ReplyT = TypeVar("ReplyT", bound=Model)

Document = dict[str, Any]  # MongoDB's documents are of any shape
MongoDatabase = AsyncIOMotorDatabase[Document]
Session = AsyncIOMotorClientSession

UNAVAILABLE_ERRORS: tuple[type[Exception], ...] = (ConnectionFailure, WTimeoutError, OSError, TimeoutError)
"""The server is unavailable for now; the statement itself may be sound."""

WRITE_CONCERN = WriteConcern(w="majority", j=True)
"""A write is acknowledged when it is in the journals of a majority."""

STARTING_ERROR_CODES = frozenset({211})
"""Error codes of a server that has just started and has not yet read the keys that sign clients' cluster times.

Earlier still it belongs to no replica set: the driver then reports missing sessions as a ConfigurationError.
"""

SOCKET_TIMEOUT_MS = 5_000
SELECTION_TIMEOUT_MS = 2_000
TRANSACTION_TIMEOUT_SECONDS = 4.0
CONNECT_TIMEOUT_SECONDS = 60.0
TRANSIENT_LABEL, UNKNOWN_COMMIT_LABEL = "TransientTransactionError", "UnknownTransactionCommitResult"

IDEMPOTENCY_INDEXES: Mapping[str, Sequence[IndexModel]] = {
    "idempotency": [
        IndexModel([("created_at", ASCENDING)], expireAfterSeconds=REPLY_RETENTION_SECONDS),
        IndexModel([("owner", ASCENDING)], sparse=True),
    ],
}
"""They delete stored replies after their retention, and find those of one user for erasure."""


@dataclass(frozen=True, slots=True)
class UpdateResult:
    """How many of several updates matched a document, and the positions of those that failed."""

    matched: int
    failed: frozenset[int]


async def run_updates(
    database: MongoDatabase, collection: str, updates: Sequence[Document], *, timeout_ms: int
) -> UpdateResult:
    """Runs several updates in one command, in order; what they have written is on disk. An error of one is its own.

    The driver does not repeat the command after a lost connection, so MongoDB does not record each update for a repeat,
    which would cost a quarter of its time. The caller makes sure that a repeated update has no second effect.
    """
    reply: Document = await database.command(
        "update",
        collection,
        updates=list(updates),
        ordered=False,
        maxTimeMS=timeout_ms,
        writeConcern=WRITE_CONCERN.document,
        codec_options=database.codec_options,
    )
    if error := reply.get("writeConcernError"):
        raise WTimeoutError(str(error["errmsg"]))
    return UpdateResult(reply["n"], frozenset(error["index"] for error in reply.get("writeErrors", ())))


class Mongo:
    """A service's own MongoDB database."""

    unavailable_errors = UNAVAILABLE_ERRORS
    contention_errors: tuple[type[Exception], ...] = ()

    def __init__(self, client: AsyncIOMotorClient[Document], name: str) -> None:
        self.client = client
        self.database: MongoDatabase = client[name]

    async def create_indexes(self, indexes: Mapping[str, Sequence[IndexModel]]) -> None:
        """Creates the missing indexes of each collection."""
        for collection, wanted in {**IDEMPOTENCY_INDEXES, **indexes}.items():
            await self.database[collection].create_indexes(list(wanted))

    def handlers(self, _service: str) -> dict[AnyOperation, Handler]:
        """None: there is no audit log, because only customers and guests change carts."""
        return {}

    def workers(self, _service: str, _client: Client, _metrics: Metrics) -> list[BackgroundTask]:
        """None: MongoDB deletes expired documents by itself, and the cart publishes no events through an outbox."""
        return []

    async def ping(self) -> None:
        """Makes one round trip; raises when the server is unavailable."""
        await self.database.command("ping")

    def is_transient(self, error: Exception) -> bool:
        """Whether the same work may succeed a moment later."""
        starting = isinstance(error, OperationFailure) and error.code in STARTING_ERROR_CODES
        return starting or isinstance(error, (*UNAVAILABLE_ERRORS, ConfigurationError))

    async def run_in_transaction(self, work: Callable[[Session], Awaitable[ResultT]]) -> ResultT:
        """Runs `work(session)` in one transaction, and repeats it after a write conflict: `work` must be repeatable.

        Raises TimeoutError when conflicts or an outage last longer than `TRANSACTION_TIMEOUT_SECONDS`. motor's own
        `with_transaction` gives up on a failed commit, and retries everything else for two minutes without a pause.
        """
        async with await self.client.start_session() as session:
            async for attempt in _retry_while_labelled(TRANSIENT_LABEL):
                with attempt:
                    async with session.start_transaction():
                        result = await work(session)
                        async for commit in _retry_while_labelled(UNKNOWN_COMMIT_LABEL):
                            with commit:
                                await session.commit_transaction()
        return result

    async def run_idempotent_transaction(
        self, request: Request[Any], work: Callable[[Session], Awaitable[Reply[ReplyT]]]
    ) -> Reply[ReplyT]:
        """Runs `work(session)` in one transaction that also stores its reply under the request's idempotency key.

        Raises `AlreadyProcessed` when a request with the same key has committed first; everything done here is undone.
        """
        key = request.idempotency_key

        async def work_and_store(session: Session) -> Reply[ReplyT]:
            reply = await work(session)
            if key is not None and not await self._insert_reply(key, reply.to_stored(), session):
                raise AlreadyProcessed
            return reply

        reply = await self.run_in_transaction(work_and_store)
        failpoint("mongo.committed")
        if key is not None:
            key.is_stored = True
        return reply

    async def run_idempotent(
        self, request: Request[Any], work: Callable[[Session | None], Awaitable[Reply[ReplyT]]]
    ) -> Reply[ReplyT]:
        """Runs work that is one statement; it needs a transaction only where a reply is stored with it."""
        return await (work(None) if request.idempotency_key is None else self.run_idempotent_transaction(request, work))

    async def find_reply(self, key: IdempotencyKey) -> StoredReply | None:
        """The reply stored under the key, or None."""
        stored = await self.database.idempotency.find_one({"_id": key.digest, "created_at": {"$gt": _expired_before()}})
        return key.unseal(stored["fingerprint"], stored["answer"]) if stored else None

    async def store_reply(self, key: IdempotencyKey, reply: StoredReply) -> None:
        """Stores a reply outside a transaction; the first one under a key stays."""
        await self._insert_reply(key, reply)

    async def _insert_reply(self, key: IdempotencyKey, reply: StoredReply, session: Session | None = None) -> bool:
        """False when the key already has a reply within its retention; that reply stays."""
        document: Document = {"fingerprint": key.fingerprint, "answer": key.seal(reply), "created_at": now()}
        if key.owner is not None:
            document["owner"] = key.owner
        expired = {"_id": key.digest, "created_at": {"$lte": _expired_before()}}
        try:
            await self.database.idempotency.replace_one(
                expired, {"_id": key.digest, **document}, upsert=True, session=session
            )
        except DuplicateKeyError:
            return False
        return True

    async def forget_replies(self, owner: UUID) -> None:
        """Deletes the stored replies of one user."""
        await self.database.idempotency.delete_many({"owner": owner})

    async def apply(self, events: Sequence[ReceivedEvent], apply_event: ApplyEvent) -> dict[UUID, RedeliveryOutcome]:
        """Applies each event in a write of its own: in order within an aggregate, concurrently across aggregates.

        There is no inbox beside the documents, because a transaction for each event would block the carts' owners. The
        effect records the event in the document that it changes, in the same write, and returns the outcome.
        """
        outcomes: dict[UUID, RedeliveryOutcome] = {}

        async def apply_in_order(queue: Sequence[ReceivedEvent]) -> None:
            for event in queue:
                outcomes[event.event_id] = await apply_event(None, event) or RedeliveryOutcome.APPLIED

        queues: dict[UUID, list[ReceivedEvent]] = {}
        for received in events:
            queues.setdefault(received.event.aggregate_id, []).append(received)
        errors = await asyncio.gather(*map(apply_in_order, queues.values()), return_exceptions=True)
        for error in errors:
            if error is not None:
                raise error
        return outcomes


def _retry_while_labelled(label: str) -> AsyncRetrying:
    """Retries errors that carry this label of MongoDB, for at most `TRANSACTION_TIMEOUT_SECONDS`."""

    def has_label(error: BaseException) -> bool:
        return isinstance(error, PyMongoError) and error.has_error_label(label)

    def give_up(state: RetryCallState) -> None:
        assert state.outcome is not None
        raise TimeoutError from state.outcome.exception()

    return AsyncRetrying(
        retry=retry_if_exception(has_label),
        wait=wait_random_exponential(multiplier=0.005, max=0.3),
        stop=stop_after_delay(TRANSACTION_TIMEOUT_SECONDS),
        retry_error_callback=give_up,
    )


def _expired_before() -> Any:
    """Replies stored before this moment count as deleted, even if MongoDB has not removed them yet."""
    return now() - timedelta(seconds=REPLY_RETENTION_SECONDS)


@asynccontextmanager
async def connect(
    settings: MongoSettings, name: str, *, indexes: Mapping[str, Sequence[IndexModel]] | None = None
) -> AsyncIterator[Mongo]:
    """Opens the service's database and creates its indexes; waits for a server that is still starting.

    The client connects by itself, and reconnects after an outage.
    """
    client: AsyncIOMotorClient[Document] = AsyncIOMotorClient(
        settings.mongo_url,
        username=settings.mongo_user,
        password=settings.mongo_password.get_secret_value(),
        authSource=settings.mongo_database,
        appname=f"souk-{name}",
        tz_aware=True,
        tzinfo=UTC,
        uuidRepresentation="standard",
        serverSelectionTimeoutMS=SELECTION_TIMEOUT_MS,
        socketTimeoutMS=SOCKET_TIMEOUT_MS,
        w=WRITE_CONCERN.document["w"],
        journal=WRITE_CONCERN.document["j"],
        event_listeners=[MongoCommandSpans()] if settings.otlp_endpoint else [],
    )
    try:
        mongo = Mongo(client, settings.mongo_database)
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(UNAVAILABLE_ERRORS),
            wait=wait_random_exponential(multiplier=0.05, max=2),
            stop=stop_after_delay(CONNECT_TIMEOUT_SECONDS),
            reraise=True,
        ):
            with attempt:
                await mongo.create_indexes(indexes or {})
        yield mongo
    finally:
        await asyncio.to_thread(client.close)  # it waits for the server's reply, or for a server that is away
