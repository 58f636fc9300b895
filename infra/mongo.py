"""MongoDB through motor: majority writes with journal, and transactions that take the answer or the inbox row along.

motor is past its best years; everything that knows it is here and in `services/cart/store.py`.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorClientSession, AsyncIOMotorDatabase
from nats.aio.client import Client
from pymongo import WriteConcern
from pymongo.errors import ConnectionFailure, DuplicateKeyError, WTimeoutError

from infra.idempotency import KEPT_SECONDS, Key, Replay, Stored
from infra.ids import now
from infra.reactor import Delivery
from infra.rpc import Answer, Ask
from infra.settings import MongoSettings
from infra.telemetry import Metrics
from infra.worker import Background

AWAY: tuple[type[Exception], ...] = (ConnectionFailure, WTimeoutError, OSError, TimeoutError)
"""The store is away, for now; nothing is wrong with what was asked of it."""

INBOX_DAYS = 100
TIMEOUT_MS = 5_000
SELECTION_MS = 3_000

Database = AsyncIOMotorDatabase[dict[str, Any]]
Session = AsyncIOMotorClientSession


class Mongo:
    """A service's own database."""

    away = AWAY

    def __init__(self, client: AsyncIOMotorClient[dict[str, Any]], name: str) -> None:
        self.client = client
        self.database: Database = client.get_database(name, write_concern=WriteConcern("majority", j=True))

    async def prepare(self) -> None:
        """The indexes by which answers and inbox rows are forgotten again."""
        await self.database.idempotency.create_index("created_at", expireAfterSeconds=KEPT_SECONDS)
        await self.database.inbox.create_index("heard_at", expireAfterSeconds=INBOX_DAYS * 86_400)

    def workers(self, _service: str, _client: Client, _metrics: Metrics) -> list[Background]:
        """None: MongoDB forgets by itself, and the cart says nothing that would need an outbox."""
        return []

    async def ping(self) -> None:
        await self.database.command("ping")

    async def within(self, work: Callable[[Session], Coroutine[Any, Any, Any]]) -> Any:
        """Runs `work(session)` in one transaction; it runs again where MongoDB says that it may."""
        async with await self.client.start_session() as session:
            return await session.with_transaction(work)

    async def find(self, key: Key) -> Stored | None:
        found = await self.database.idempotency.find_one({"_id": key.digest})
        return key.open(found["fingerprint"], found["answer"]) if found else None

    async def keep(self, key: Key, answer: Stored) -> None:
        try:
            await self.database.idempotency.insert_one(_kept(key, answer))
        except DuplicateKeyError:
            return

    async def keep_with(self, session: Session, ask: Ask[Any], answer: Answer[Any]) -> None:
        """Keeps the answer in the transaction of its effect; `Replay` when another one was first."""
        if ask.key is None:
            return
        try:
            await self.database.idempotency.insert_one(_kept(ask.key, answer.stored()), session=session)
        except DuplicateKeyError as error:
            raise Replay from error

    async def apply(self, deliveries: Sequence[Delivery], effect: Callable[[Any, Delivery], Awaitable[None]]) -> None:
        """Each event by itself: its inbox row and its effect in one transaction."""
        for delivery in deliveries:
            await self._apply(delivery, effect)

    async def _apply(self, delivery: Delivery, effect: Callable[[Any, Delivery], Awaitable[None]]) -> None:
        async def once(session: Session) -> None:
            await self.database.inbox.insert_one({"_id": str(delivery.event_id), "heard_at": now()}, session=session)
            await effect(session, delivery)

        if await self.database.inbox.find_one({"_id": str(delivery.event_id)}) is not None:
            return
        try:
            await self.within(once)
        except DuplicateKeyError:
            return


def _kept(key: Key, answer: Stored) -> dict[str, Any]:
    return {
        "_id": key.digest,
        "fingerprint": key.fingerprint,
        "answer": key.seal(answer),
        "created_at": now(),
    }


@asynccontextmanager
async def connect(settings: MongoSettings, name: str) -> AsyncIterator[Mongo]:
    """The service's database. The client connects by itself, and again after an outage."""
    client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(
        settings.mongo_url,
        username=settings.mongo_user,
        password=settings.mongo_password.get_secret_value(),
        authSource=settings.mongo_database,
        appname=f"souk-{name}",
        tz_aware=True,
        uuidRepresentation="standard",
        serverSelectionTimeoutMS=SELECTION_MS,
        socketTimeoutMS=TIMEOUT_MS,
        maxPoolSize=50,
    )
    try:
        mongo = Mongo(client, settings.mongo_database)
        await mongo.prepare()
        yield mongo
    finally:
        client.close()
