"""MongoDB as services use it: transactions that are retried, and replies stored with the effect."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr
from pymongo.errors import AutoReconnect, ConfigurationError, OperationFailure

from contracts.failure import IdempotencyKeyReused
from contracts.model import Empty
from infra.database import mongo as module
from infra.database.mongo import Mongo, connect
from infra.foundation.ids import new_id, now
from infra.foundation.settings import MongoSettings
from infra.messaging.idempotency import REPLY_RETENTION_SECONDS, AlreadyProcessed, IdempotencyKey, StoredReply
from infra.messaging.rpc_client import Reply, Request
from infra.ops.devstack.stack import Stack


@pytest.fixture(scope="module")
def mongo_settings(stack: Stack) -> MongoSettings:
    return MongoSettings(
        _env_file=None,
        nats_password=SecretStr(""),
        mongo_url=stack.cart_url(),
        mongo_password=stack.cart_mongo_password(),
    )


@pytest.fixture(scope="module")
async def store(mongo_settings: MongoSettings) -> AsyncIterator[Mongo]:
    async with connect(mongo_settings, "test") as connected:
        yield connected


def request_with(key: str | None, body: bytes = b"{}") -> Request[Empty]:
    return Request(
        Empty(), idempotency_key=IdempotencyKey.derive("rpc.cart.test", "a caller", key, body) if key else None
    )


class Counter:
    """A counter document that is read before it is written, so that concurrent increments conflict."""

    def __init__(self, store: Mongo) -> None:
        self.id = str(new_id())
        self.documents = store.database.counters

    async def increment(self, session: Any = None) -> Reply[Empty]:
        found = await self.documents.find_one({"_id": self.id}, session=session) or {"count": 0}
        count = {"$set": {"count": found["count"] + 1}}
        await self.documents.update_one({"_id": self.id}, count, upsert=True, session=session)
        return Reply(Empty(), version=found["count"] + 1)

    async def count(self) -> int:
        found = await self.documents.find_one({"_id": self.id})
        return found["count"] if found else 0


@pytest.fixture
async def counter(store: Mongo) -> Counter:
    """A counter in a collection that exists: reading another opens no snapshot, and so conflicts with nothing."""
    made = Counter(store)
    await made.documents.insert_one({"_id": str(new_id())})
    return made


async def test_every_commit_is_journalled_by_a_majority(store: Mongo) -> None:
    assert store.client.write_concern.document == {"w": "majority", "j": True}
    assert store.database.write_concern.document == {"w": "majority", "j": True}


async def test_ping_succeeds(store: Mongo) -> None:
    await store.ping()


async def test_a_failed_transaction_leaves_nothing_behind(store: Mongo, counter: Counter) -> None:
    async def fail(session: Any) -> None:
        await counter.increment(session)
        raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        await store.run_in_transaction(fail)
    assert await counter.count() == 0


async def test_conflicting_transactions_are_retried(store: Mongo, counter: Counter) -> None:
    await asyncio.gather(*(store.run_in_transaction(counter.increment) for _ in range(5)))
    assert await counter.count() == 5


async def test_retrying_a_conflict_times_out(store: Mongo, counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TRANSACTION_TIMEOUT_SECONDS", 0.1)
    await counter.increment()
    async with await store.client.start_session() as session, session.start_transaction():
        await counter.increment(session)
        with pytest.raises(store.unavailable_errors):
            await store.run_in_transaction(counter.increment)


async def test_the_reply_is_stored_with_the_effect(store: Mongo, counter: Counter) -> None:
    request = request_with(counter.id)
    reply = await store.run_idempotent_transaction(request, counter.increment)
    assert request.idempotency_key
    assert request.idempotency_key.is_stored
    assert await store.find_reply(request.idempotency_key) == reply.to_stored()


async def test_one_key_has_one_effect(store: Mongo, counter: Counter) -> None:
    requests = [request_with(counter.id) for _ in range(8)]
    outcomes = await asyncio.gather(
        *(store.run_idempotent(request, counter.increment) for request in requests), return_exceptions=True
    )
    assert sum(isinstance(outcome, AlreadyProcessed) for outcome in outcomes) == 7
    assert await counter.count() == 1
    assert [bool(request.idempotency_key and request.idempotency_key.is_stored) for request in requests].count(
        True
    ) == 1


async def test_without_a_key_one_statement_needs_no_transaction(store: Mongo, counter: Counter) -> None:
    sessions: list[Any] = []

    async def work(session: Any) -> Reply[Empty]:
        sessions.append(session)
        return await counter.increment(session)

    await store.run_idempotent(request_with(None), work)
    await store.run_idempotent(request_with(counter.id), work)
    assert [session is None for session in sessions] == [True, False]
    await store.run_idempotent_transaction(request_with(None), work)
    assert sessions[2] is not None
    assert await counter.count() == 3


async def test_the_first_reply_stays(store: Mongo) -> None:
    key = IdempotencyKey.derive("rpc.cart.test", "a caller", str(new_id()), b"{}")
    await store.store_reply(key, StoredReply(b"first", {"a": "1"}))
    await store.store_reply(key, StoredReply(b"second", {}))
    assert await store.find_reply(key) == StoredReply(b"first", {"a": "1"})


async def test_a_key_belongs_to_one_request(store: Mongo) -> None:
    name = str(new_id())
    await store.store_reply(IdempotencyKey.derive("rpc.cart.test", "a caller", name, b"{}"), StoredReply(b"first", {}))
    with pytest.raises(IdempotencyKeyReused):
        await store.find_reply(IdempotencyKey.derive("rpc.cart.test", "a caller", name, b"other"))
    assert await store.find_reply(IdempotencyKey.derive("rpc.cart.test", "another caller", name, b"{}")) is None


async def test_an_expired_reply_does_not_count_before_it_is_removed(store: Mongo, counter: Counter) -> None:
    request = request_with(counter.id)
    assert request.idempotency_key
    await store.store_reply(request.idempotency_key, StoredReply(b"old", {}))
    old = {"$set": {"created_at": now() - timedelta(seconds=REPLY_RETENTION_SECONDS + 1)}}
    await store.database.idempotency.update_one({"_id": request.idempotency_key.digest}, old)
    assert await store.find_reply(request.idempotency_key) is None
    reply = await store.run_idempotent_transaction(request, counter.increment)
    assert await store.find_reply(request.idempotency_key) == reply.to_stored()


async def test_mongodb_removes_expired_replies(store: Mongo) -> None:
    indexes = (await store.database.idempotency.index_information()).values()
    assert [("created_at", 1)] in [index["key"] for index in indexes if "expireAfterSeconds" in index]


async def test_connecting_to_no_server_times_out(
    mongo_settings: MongoSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connecting waits for the server, but not forever."""
    monkeypatch.setattr(module, "CONNECT_TIMEOUT_SECONDS", 0.2)
    monkeypatch.setattr(module, "SELECTION_TIMEOUT_MS", 50)
    nowhere = mongo_settings.model_copy(update={"mongo_url": "mongodb://127.0.0.1:1/?directConnection=true"})
    with pytest.raises(module.UNAVAILABLE_ERRORS):
        async with connect(nowhere, "test"):
            pass


def test_errors_of_a_starting_server_are_transient(store: Mongo) -> None:
    """A starting server lacks the keys of cluster times, or a replica set; an invalid operation stays an error."""
    assert store.is_transient(OperationFailure("No keys found for HMAC", 211))
    assert store.is_transient(ConfigurationError("Sessions are not supported by this MongoDB deployment"))
    assert store.is_transient(AutoReconnect())
    assert not store.is_transient(OperationFailure("unknown operator", 2))
