"""MongoDB through motor: majority writes with journal, and transactions that take the answer along.

motor is past its best years; everything that knows it is here and in `services/cart/store/carts.py`.

The write concern is set on the client, not on the database: commits take it from there, and a majority commit that does
not ask for the journal waits for its next regular flush, 100 ms.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, timedelta
from typing import Any, TypeVar
from uuid import UUID

from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorClientSession, AsyncIOMotorDatabase
from nats.aio.client import Client
from pymongo import ASCENDING, IndexModel
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
from contracts.redelivery import RedeliveryOutcome
from infra.foundation.background import BackgroundTask
from infra.foundation.failpoints import failpoint
from infra.foundation.ids import now
from infra.foundation.settings import MongoSettings
from infra.foundation.telemetry import Metrics
from infra.messaging.consumer import ApplyEvent, ReceivedEvent
from infra.messaging.idempotency import REPLY_RETENTION_SECONDS, AlreadyProcessed, IdempotencyKey, StoredReply
from infra.messaging.rpc import Reply, Request
from infra.messaging.rpc_server import Handler

ResultT = TypeVar("ResultT")
ReplyT = TypeVar("ReplyT", bound=Model)

Document = dict[str, Any]  # MongoDB's documents are of any shape
MongoDatabase = AsyncIOMotorDatabase[Document]
Session = AsyncIOMotorClientSession

UNAVAILABLE_ERRORS: tuple[type[Exception], ...] = (ConnectionFailure, WTimeoutError, OSError, TimeoutError)
"""The store is away, for now; nothing is wrong with what was asked of it."""

STARTING_ERROR_CODES = frozenset({211})
"""Codes of a server that has just started: it has not read the keys yet that clients' cluster times are signed with.

Before that it belongs to no replica set yet: the driver takes it for one without sessions, a ConfigurationError.
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
"""By which answers are forgotten again: when their day is over, or with whom they were given to."""


class Mongo:
    """A service's own database."""

    unavailable_errors = UNAVAILABLE_ERRORS
    contention_errors: tuple[type[Exception], ...] = ()

    def __init__(self, client: AsyncIOMotorClient[Document], name: str) -> None:
        self.client = client
        self.database: MongoDatabase = client[name]

    async def create_indexes(self, indexes: Mapping[str, Sequence[IndexModel]]) -> None:
        """Makes the indexes of each collection, unless they are there."""
        for collection, wanted in {**IDEMPOTENCY_INDEXES, **indexes}.items():
            await self.database[collection].create_indexes(list(wanted))

    def handlers(self, _service: str) -> dict[AnyOperation, Handler]:
        """None: there is no audit trail, for nobody but its customers and guests changes a cart."""
        return {}

    def workers(self, _service: str, _client: Client, _metrics: Metrics) -> list[BackgroundTask]:
        """None: MongoDB forgets by itself, and the cart says nothing that would need an outbox."""
        return []

    async def ping(self) -> None:
        await self.database.command("ping")

    def is_transient(self, error: Exception) -> bool:
        starting = isinstance(error, OperationFailure) and error.code in STARTING_ERROR_CODES
        return starting or isinstance(error, (*UNAVAILABLE_ERRORS, ConfigurationError))

    async def run_in_transaction(self, work: Callable[[Session], Awaitable[ResultT]]) -> ResultT:
        """Runs `work(session)` in one transaction, again when another one was in its way; it must bear that.

        Raises TimeoutError when the others do not get out of its way, or the server does not come back. motor's own
        `with_transaction` gives up at a commit that went wrong, and tries all else for two minutes without a pause.
        """
        async with await self.client.start_session() as session:
            async for attempt in _again(TRANSIENT_LABEL):
                with attempt:
                    async with session.start_transaction():
                        result = await work(session)
                        async for commit in _again(UNKNOWN_COMMIT_LABEL):
                            with commit:
                                await session.commit_transaction()
        return result

    async def run_idempotent_transaction(
        self, request: Request[Any], work: Callable[[Session], Awaitable[Reply[ReplyT]]]
    ) -> Reply[ReplyT]:
        """`work(session)` in one transaction, with its answer kept in it under the idempotency key of `ask`, if any.

        Raises `Replay` when another request with the same key has committed first: everything done here is undone.
        """
        key = request.idempotency_key

        async def kept(session: Session) -> Reply[ReplyT]:
            answer = await work(session)
            if key is not None and not await self._keep(key, answer.to_stored(), session):
                raise AlreadyProcessed
            return answer

        answer = await self.run_in_transaction(kept)
        failpoint("mongo.committed")
        if key is not None:
            key.is_stored = True
        return answer

    async def run_idempotent(
        self, request: Request[Any], work: Callable[[Session | None], Awaitable[Reply[ReplyT]]]
    ) -> Reply[ReplyT]:
        """For work that is one statement: a transaction only where there is an answer to keep with it."""
        return await (work(None) if request.idempotency_key is None else self.run_idempotent_transaction(request, work))

    async def find_reply(self, key: IdempotencyKey) -> StoredReply | None:
        found = await self.database.idempotency.find_one({"_id": key.digest, "created_at": {"$gt": _forgotten()}})
        return key.unseal(found["fingerprint"], found["answer"]) if found else None

    async def store_reply(self, key: IdempotencyKey, answer: StoredReply) -> None:
        await self._keep(key, answer)

    async def _keep(self, key: IdempotencyKey, answer: StoredReply, session: Session | None = None) -> bool:
        """Whether it was the first: an answer that is there, and not old enough to be forgotten, stays."""
        sealed: Document = {"fingerprint": key.fingerprint, "answer": key.seal(answer), "created_at": now()}
        if key.owner is not None:
            sealed["owner"] = key.owner
        old = {"_id": key.digest, "created_at": {"$lte": _forgotten()}}
        try:
            await self.database.idempotency.replace_one(
                old, {"_id": key.digest, **sealed}, upsert=True, session=session
            )
        except DuplicateKeyError:
            return False
        return True

    async def forget_replies(self, owner: UUID) -> None:
        """Forgets the answers that somebody was given."""
        await self.database.idempotency.delete_many({"owner": owner})

    async def apply(self, deliveries: Sequence[ReceivedEvent], effect: ApplyEvent) -> dict[UUID, RedeliveryOutcome]:
        """The effects, each a write of its own; those of one aggregate follow one another, the others do not wait.

        There is no inbox beside the documents: a transaction for each event would keep their owners waiting. An effect
        notes what it has heard in the document that it changes, in the same write, and says what became of the event.
        """
        outcomes: dict[UUID, RedeliveryOutcome] = {}

        async def in_turn(several: Sequence[ReceivedEvent]) -> None:
            for delivery in several:
                outcomes[delivery.event_id] = await effect(None, delivery) or RedeliveryOutcome.APPLIED

        queues: dict[UUID, list[ReceivedEvent]] = {}
        for delivery in deliveries:
            queues.setdefault(delivery.event.aggregate_id, []).append(delivery)
        ended = await asyncio.gather(*map(in_turn, queues.values()), return_exceptions=True)
        for error in ended:
            if error is not None:
                raise error
        return outcomes


def _again(label: str) -> AsyncRetrying:
    """As long as MongoDB says by that label that it may help."""

    def labelled(error: BaseException) -> bool:
        return isinstance(error, PyMongoError) and error.has_error_label(label)

    def too_long(state: RetryCallState) -> None:
        assert state.outcome is not None
        raise TimeoutError from state.outcome.exception()

    return AsyncRetrying(
        retry=retry_if_exception(labelled),
        wait=wait_random_exponential(multiplier=0.005, max=0.3),
        stop=stop_after_delay(TRANSACTION_TIMEOUT_SECONDS),
        retry_error_callback=too_long,
    )


def _forgotten() -> Any:
    """An answer kept before this is no answer any more, whether or not MongoDB has removed it yet."""
    return now() - timedelta(seconds=REPLY_RETENTION_SECONDS)


@asynccontextmanager
async def connect(
    settings: MongoSettings, name: str, *, indexes: Mapping[str, Sequence[IndexModel]] | None = None
) -> AsyncIterator[Mongo]:
    """The service's database, with its indexes; waits for a server that is still starting.

    The client connects by itself, and again after an outage.
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
        w="majority",
        journal=True,
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
        client.close()
