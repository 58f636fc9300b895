"""Group commits: waiting requests share one transaction, and a failing one concerns only its own caller."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from uuid import UUID

import asyncpg
import pytest

from contracts.model import Empty
from infra.database.group_commit import GroupCommit
from infra.database.postgres import Database, Transaction, connect
from infra.foundation import trace
from infra.foundation.ids import new_id
from infra.messaging.idempotency import AlreadyProcessed, IdempotencyKey
from infra.messaging.rpc_client import Reply, Request
from tests.infra.conftest import KernelStack
from tests.infra.database.test_outbox import delivered
from tests.support.eventually import eventually

INSERT = "INSERT INTO inbox (event_id) VALUES ($1)"
IS_STORED = "SELECT EXISTS (SELECT FROM inbox WHERE event_id = $1)"
Members = Sequence[tuple[Transaction, UUID]]


@pytest.fixture
async def database(kernel: KernelStack) -> AsyncIterator[Database]:
    async with connect(kernel.settings(), "order") as found:
        yield found


class Writer:
    """Writes one row, one event and one reply for each member, and records the groups."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.groups: list[list[UUID]] = []
        self.refused: set[UUID] = set()
        self.lock: UUID | None = None
        """A row that the group of this member updates."""
        self.commits = GroupCommit[UUID, Reply[Empty]](database, self.write, max_concurrent=1)

    async def write(self, members: Members) -> list[Reply[Empty] | Exception]:
        self.groups.append([item for _, item in members])
        results: list[Reply[Empty] | Exception] = []
        for tx, item in members:
            if item in self.refused:
                results.append(LookupError(item))
                continue
            if item == self.lock:
                await tx.connection.execute("UPDATE inbox SET heard_at = heard_at WHERE event_id = $1", item)
            else:
                await tx.connection.execute(INSERT, item)
            tx.publish(delivered(item, "S-group"))
            results.append(tx.reply(Empty()))
        return results

    async def run_all(self, *requests: tuple[Request[Empty], UUID]) -> list[Reply[Empty] | BaseException]:
        """Runs a first request alone, and the others, which wait for it, as its successors."""
        first = asyncio.create_task(self.commits.run(request(), new_id()))
        await asyncio.sleep(0)
        waiting = [asyncio.create_task(self.commits.run(*one)) for one in requests]
        await first
        return await asyncio.gather(*waiting, return_exceptions=True)

    async def is_stored(self, item: UUID) -> bool:
        async with self.database.connection() as connection:
            stored: bool = await connection.fetchval(IS_STORED, item)
        return stored


@pytest.fixture
def writer(database: Database) -> Writer:
    return Writer(database)


def request(key: IdempotencyKey | None = None) -> Request[Empty]:
    return Request(Empty(), idempotency_key=key)


def new_key() -> IdempotencyKey:
    return IdempotencyKey.derive("rpc.order.test", "a caller", new_id().hex, b"{}")


async def test_waiting_requests_share_a_transaction(writer: Writer, database: Database) -> None:
    items, keys = [new_id() for _ in range(5)], [new_key() for _ in range(5)]
    results = await writer.run_all(*((request(key), item) for key, item in zip(keys, items, strict=True)))
    assert all(isinstance(result, Reply) for result in results)
    assert [len(group) for group in writer.groups] == [1, 5]
    assert all([await writer.is_stored(item) for item in items])
    assert all([await database.find_reply(key) for key in keys])
    assert all(key.is_stored for key in keys)


async def test_each_event_keeps_the_trace_of_its_request(writer: Writer, kernel: KernelStack) -> None:
    contexts = {new_id(): trace.start(request_id=new_id().hex) for _ in range(3)}

    async def run(item: UUID) -> None:
        with trace.activate(contexts[item]):
            await writer.commits.run(None, item)

    blocker = asyncio.create_task(writer.commits.run(None, new_id()))
    await asyncio.gather(blocker, *(run(item) for item in contexts))
    connection = await kernel.database()
    try:
        rows = await connection.fetch("SELECT subject, traceparent, request_id FROM outbox WHERE body LIKE '%S-group%'")
    finally:
        await connection.close()
    found = {row["subject"]: (row["traceparent"], row["request_id"]) for row in rows}
    for item, context in contexts.items():
        assert found[delivered(item).subject] == (context.traceparent, context.request_id)


async def test_a_member_that_fails_concerns_only_its_caller(writer: Writer) -> None:
    good, stored, key = new_id(), new_id(), new_key()
    await writer.commits.run(request(), stored)
    results = await writer.run_all((request(), good), (request(key), stored), (request(), new_id()))
    assert isinstance(results[1], asyncpg.UniqueViolationError)
    assert [isinstance(result, Reply) for result in results] == [True, False, True]
    assert await writer.is_stored(good)
    assert not key.is_stored


async def test_an_exception_among_the_results_repeats_nothing(writer: Writer) -> None:
    refused, good = new_id(), new_id()
    writer.refused.add(refused)
    results = await writer.run_all((request(new_key()), refused), (request(), good))
    assert isinstance(results[0], LookupError)
    assert isinstance(results[1], Reply)
    assert [len(group) for group in writer.groups] == [1, 2]
    assert await writer.is_stored(good)


async def test_one_key_has_one_effect(writer: Writer) -> None:
    """Two requests with one key never share a group, and the second is undone."""
    key, again = new_key(), new_key()
    again.digest, again.fingerprint = key.digest, key.fingerprint
    first, second, other = new_id(), new_id(), new_id()
    results = await writer.run_all((request(key), first), (request(again), second), (request(), other))
    assert isinstance(results[0], Reply)
    assert isinstance(results[1], AlreadyProcessed)
    assert [await writer.is_stored(item) for item in (first, second, other)] == [True, False, True]


async def test_a_key_with_a_reply_undoes_only_its_own_request(writer: Writer, database: Database) -> None:
    key, good, repeated = new_key(), new_id(), new_id()
    await database.store_reply(key, Reply(Empty()).to_stored())
    results = await writer.run_all((request(), good), (request(key), repeated), (request(), new_id()))
    assert isinstance(results[1], AlreadyProcessed)
    assert await writer.is_stored(good)
    assert not await writer.is_stored(repeated)


async def test_an_uncertain_commit_is_not_repeated(database: Database) -> None:
    calls = 0

    async def end_session(members: Members) -> list[Exception | None]:
        nonlocal calls
        calls += 1
        await members[0][0].connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        return [None for _ in members]

    commits = GroupCommit[UUID, None](database, end_session)
    results = await asyncio.gather(*(commits.run(None, new_id()) for _ in range(3)), return_exceptions=True)
    assert calls == 1
    assert all(isinstance(result, Exception) and database.is_transient(result) for result in results)


@pytest.mark.parametrize("together", [True, False])
async def test_a_member_that_waits_for_a_lock_holds_up_no_other(
    writer: Writer,
    kernel: KernelStack,
    together: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    writer.lock, good = new_id(), new_id()
    holder = await kernel.database()
    try:
        await holder.execute(INSERT, writer.lock)
        async with holder.transaction():
            await holder.execute("SELECT FROM inbox WHERE event_id = $1 FOR UPDATE", writer.lock)
            if together:
                waiting = asyncio.create_task(writer.run_all((request(), writer.lock), (request(), good)))
            else:
                waiting = asyncio.create_task(writer.run_all((request(), writer.lock)))
                await eventually(lambda: [writer.lock] in writer.groups)
                await writer.commits.run(request(), good)
            await eventually(lambda: writer.is_stored(good))
            assert not waiting.done()
        assert isinstance((await waiting)[0], Reply)
    finally:
        await holder.close()


async def test_a_caller_that_gave_up_disturbs_no_other(writer: Writer) -> None:
    gone = asyncio.create_task(writer.commits.run(request(), new_id()))
    await asyncio.sleep(0)
    gone.cancel()
    assert isinstance(await writer.commits.run(request(), new_id()), Reply)


async def test_events_are_of_the_members_that_committed(writer: Writer, kernel: KernelStack) -> None:
    refused, good = new_id(), new_id()
    writer.refused.add(refused)
    await writer.run_all((request(), refused), (request(), good))
    connection = await kernel.database()
    try:
        subjects = {row["subject"] for row in await connection.fetch("SELECT subject FROM outbox")}
    finally:
        await connection.close()
    assert delivered(good).subject in subjects
    assert delivered(refused).subject not in subjects
