"""MongoDB as services use it: transactions that are tried again, answers that go with the effect."""

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
from infra.messaging.rpc import Reply, Request
from infra.ops.devstack.stack import Stack


@pytest.fixture(scope="module")
def mongo_settings(stack: Stack) -> MongoSettings:
    return MongoSettings(
        _env_file=None,
        nats_password=SecretStr(""),
        mongo_url=stack.cart_url(),
        mongo_password=stack.mongo_password(),
    )


@pytest.fixture(scope="module")
async def store(mongo_settings: MongoSettings) -> AsyncIterator[Mongo]:
    async with connect(mongo_settings, "test") as connected:
        yield connected


def ask_with(key: str | None, body: bytes = b"{}") -> Request[Empty]:
    return Request(
        Empty(), idempotency_key=IdempotencyKey.derive("rpc.cart.test", "somebody", key, body) if key else None
    )


class Counter:
    """A document that counts, read before it is written, so that two at once get in one another's way."""

    def __init__(self, store: Mongo) -> None:
        self.id = str(new_id())
        self.documents = store.database.counters

    async def grow(self, session: Any = None) -> Reply[Empty]:
        found = await self.documents.find_one({"_id": self.id}, session=session) or {"count": 0}
        count = {"$set": {"count": found["count"] + 1}}
        await self.documents.update_one({"_id": self.id}, count, upsert=True, session=session)
        return Reply(Empty(), version=found["count"] + 1)

    async def count(self) -> int:
        found = await self.documents.find_one({"_id": self.id})
        return found["count"] if found else 0


@pytest.fixture
def counter(store: Mongo) -> Counter:
    return Counter(store)


async def test_every_commit_is_in_the_journal_of_most(store: Mongo) -> None:
    assert store.client.write_concern.document == {"w": "majority", "j": True}
    assert store.database.write_concern.document == {"w": "majority", "j": True}


async def test_it_answers(store: Mongo) -> None:
    await store.ping()


async def test_what_fails_leaves_nothing_behind(store: Mongo, counter: Counter) -> None:
    async def fail(session: Any) -> None:
        await counter.grow(session)
        raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        await store.run_in_transaction(fail)
    assert await counter.count() == 0


async def test_those_in_one_anothers_way_are_tried_again(store: Mongo, counter: Counter) -> None:
    await asyncio.gather(*(store.run_in_transaction(counter.grow) for _ in range(5)))
    assert await counter.count() == 5


async def test_waiting_for_another_has_an_end(store: Mongo, counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TRANSACTION_TIMEOUT", 0.1)
    await counter.grow()
    async with await store.client.start_session() as session, session.start_transaction():
        await counter.grow(session)
        with pytest.raises(store.unavailable_errors):
            await store.run_in_transaction(counter.grow)


async def test_the_answer_is_kept_with_the_effect(store: Mongo, counter: Counter) -> None:
    ask = ask_with(counter.id)
    answer = await store.run_idempotent_transaction(ask, counter.grow)
    assert ask.idempotency_key
    assert ask.idempotency_key.is_stored
    assert await store.find_reply(ask.idempotency_key) == answer.to_stored()


async def test_one_key_has_one_effect(store: Mongo, counter: Counter) -> None:
    asks = [ask_with(counter.id) for _ in range(8)]
    outcomes = await asyncio.gather(*(store.run_idempotent(ask, counter.grow) for ask in asks), return_exceptions=True)
    assert sum(isinstance(outcome, AlreadyProcessed) for outcome in outcomes) == 7
    assert await counter.count() == 1
    assert [bool(ask.idempotency_key and ask.idempotency_key.is_stored) for ask in asks].count(True) == 1


async def test_without_a_key_one_statement_needs_no_transaction(store: Mongo, counter: Counter) -> None:
    sessions: list[Any] = []

    async def work(session: Any) -> Reply[Empty]:
        sessions.append(session)
        return await counter.grow(session)

    await store.run_idempotent(ask_with(None), work)
    await store.run_idempotent(ask_with(counter.id), work)
    assert [session is None for session in sessions] == [True, False]
    await store.run_idempotent_transaction(ask_with(None), work)
    assert sessions[2] is not None
    assert await counter.count() == 3


async def test_the_first_answer_stays(store: Mongo) -> None:
    key = IdempotencyKey.derive("rpc.cart.test", "somebody", str(new_id()), b"{}")
    await store.store_reply(key, StoredReply(b"first", {"a": "1"}))
    await store.store_reply(key, StoredReply(b"second", {}))
    assert await store.find_reply(key) == StoredReply(b"first", {"a": "1"})


async def test_a_key_is_for_one_request(store: Mongo) -> None:
    name = str(new_id())
    await store.store_reply(IdempotencyKey.derive("rpc.cart.test", "somebody", name, b"{}"), StoredReply(b"first", {}))
    with pytest.raises(IdempotencyKeyReused):
        await store.find_reply(IdempotencyKey.derive("rpc.cart.test", "somebody", name, b"other"))
    assert await store.find_reply(IdempotencyKey.derive("rpc.cart.test", "another", name, b"{}")) is None


async def test_an_old_answer_is_forgotten_before_it_is_removed(store: Mongo, counter: Counter) -> None:
    ask = ask_with(counter.id)
    assert ask.idempotency_key
    await store.store_reply(ask.idempotency_key, StoredReply(b"old", {}))
    old = {"$set": {"created_at": now() - timedelta(seconds=REPLY_RETENTION_SECONDS + 1)}}
    await store.database.idempotency.update_one({"_id": ask.idempotency_key.digest}, old)
    assert await store.find_reply(ask.idempotency_key) is None
    answer = await store.run_idempotent_transaction(ask, counter.grow)
    assert await store.find_reply(ask.idempotency_key) == answer.to_stored()


async def test_what_is_old_is_removed_by_mongodb(store: Mongo) -> None:
    indexes = (await store.database.idempotency.index_information()).values()
    assert [("created_at", 1)] in [index["key"] for index in indexes if "expireAfterSeconds" in index]


async def test_a_server_that_is_not_there_is_away(
    mongo_settings: MongoSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connecting waits for it, and not for ever."""
    monkeypatch.setattr(module, "START_PATIENCE", 0.2)
    monkeypatch.setattr(module, "SELECTION_TIMEOUT_MS", 50)
    nowhere = mongo_settings.model_copy(update={"mongo_url": "mongodb://127.0.0.1:1/?directConnection=true"})
    with pytest.raises(module.UNAVAILABLE_ERRORS):
        async with connect(nowhere, "test"):
            pass


def test_a_server_that_has_just_started_is_away(store: Mongo) -> None:
    """It may not have the keys yet that the times of its clients are signed with; what is asked wrongly stays wrong."""
    assert store.is_transient(OperationFailure("No keys found for HMAC", 211))
    assert store.is_transient(ConfigurationError("Sessions are not supported by this MongoDB deployment"))
    assert store.is_transient(AutoReconnect())
    assert not store.is_transient(OperationFailure("unknown operator", 2))
