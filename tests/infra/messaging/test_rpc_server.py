"""Asks: answered, refused, replayed, shed and drained."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated
from urllib.parse import urlsplit

import asyncpg
import orjson
import pytest
from pydantic import Field

from contracts import headers
from contracts.failure import (
    Fail,
    Forbidden,
    IdempotencyKeyReused,
    InternalError,
    InvalidRequest,
    MalformedRequest,
    NotFound,
    Overloaded,
    TimedOut,
    Unauthorized,
    Unavailable,
)
from contracts.identity import Access
from contracts.model import Model
from contracts.operation import OPERATOR, Operation
from contracts.registry import HEALTH
from infra.database.postgres import Database
from infra.foundation.ids import new_id
from infra.foundation.settings import PostgresSettings
from infra.messaging.connection import ConnectionMonitor
from infra.messaging.rpc import Reply, Request
from infra.runtime.service import Resources, ServiceParts
from tests.infra.conftest import KernelStack
from tests.support.eventually import eventually
from tests.support.rpc import RpcCaller, admin_identity, customer_identity


class SoldOut(Fail, status=HTTPStatus.CONFLICT):
    """Nothing is left."""


class Say(Model):
    word: Annotated[str, Field(max_length=20)]
    times: int = 1


class Said(Model):
    words: list[str]
    serial: int


ECHO = Operation("order", "echo", Say, Said, "Say it again", Access.ANYONE, callers=("edge", OPERATOR))
COUNT = Operation("order", "count", Say, Said, "Count up", Access.ANYONE, (SoldOut,), ("edge", OPERATOR), writes=True)
SECRET = Operation(
    "order", "secret", Say, Said, "Tell a secret", Access.ANYONE, callers=("edge",), writes=True, confidential=True
)
MINE = Operation("order", "mine", Say, Said, "For the signed-in", Access.CUSTOMER)
ADMINS = Operation("order", "admins", Say, Said, "For administrators", Access.ADMIN)
SLOW = Operation("order", "slow", Say, Said, "Takes its time", Access.ANYONE)


class SharedState:
    """What the handlers of this test share."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.serial = 0
        self.gate = asyncio.Event()
        self.in_flight = 0


async def echo(_bench: SharedState, ask: Request[Say]) -> Reply[Said]:
    if ask.body.word == "bug":
        raise ZeroDivisionError
    if ask.body.word == "away":
        raise ConnectionRefusedError
    if ask.body.word == "no disk":
        raise asyncpg.PostgresIOError
    return Reply(Said(words=[ask.body.word] * ask.body.times, serial=0), version=7)


async def count(bench: SharedState, ask: Request[Say]) -> Reply[Said]:
    bench.serial += 1
    serial = bench.serial
    if ask.body.word == "sold out":
        raise SoldOut(f"try {serial}")
    if ask.body.word == "no transaction":
        return Reply(Said(words=[], serial=serial))
    async with bench.database.transaction(ask) as tx:
        await tx.connection.execute("SELECT pg_sleep(0.05)")
        return tx.reply(Said(words=[ask.body.word], serial=serial))


async def slow(bench: SharedState, ask: Request[Say]) -> Said:
    bench.in_flight += 1
    await bench.gate.wait()
    return Said(words=[ask.body.word], serial=0)


@pytest.fixture(scope="module")
async def bench(kernel: KernelStack) -> AsyncIterator[SharedState]:
    benches: list[SharedState] = []

    def build(kit: Resources[PostgresSettings, Database]) -> ServiceParts:
        benches.append(SharedState(kit.store))
        asks = {ECHO: echo, COUNT: count, SECRET: count, MINE: echo, ADMINS: echo, SLOW: slow}
        return ServiceParts(benches[0], asks)

    async with kernel.serve(build, max_in_flight=30):
        yield benches[0]


async def test_answers_with_the_reply_and_its_version(bench: SharedState, kernel_ask: RpcCaller) -> None:
    body, said = await kernel_ask.raw(ECHO, {"word": "salam", "times": 2})
    assert Said.model_validate_json(body).words == ["salam", "salam"]
    assert said[headers.VERSION] == "7"


@pytest.mark.parametrize(
    ("body", "failure", "pointer"),
    [
        (b'{"word": ', MalformedRequest, None),
        (b'{"word": "x", "colour": "red"}', InvalidRequest, "/colour"),
        (b'{"word": 7}', InvalidRequest, "/word"),
        (b'{"word": "' + b"x" * 21 + b'"}', InvalidRequest, "/word"),
        (b"{}", InvalidRequest, "/word"),
        (b'{"word": "bug"}', InternalError, None),
        (b'{"word": "away"}', Unavailable, None),
        (b'{"word": "no disk"}', Unavailable, None),
    ],
)
async def test_refuses_what_it_cannot_take(
    bench: SharedState, kernel_ask: RpcCaller, body: bytes, failure: type[Fail], pointer: str | None
) -> None:
    with pytest.raises(failure) as refused:
        await kernel_ask.raw(ECHO, body)
    assert [error.pointer for error in refused.value.errors] == ([pointer] if pointer else [])


async def test_never_repeats_what_was_sent(bench: SharedState, kernel_ask: RpcCaller) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await kernel_ask.raw(ECHO, b'{"word": "hunter2hunter2hunter2"}')
    assert "hunter2" not in refused.value.to_problem().model_dump_json()


async def test_admits_by_role(bench: SharedState, kernel_ask: RpcCaller) -> None:
    with pytest.raises(Unauthorized):
        await kernel_ask(MINE, {"word": "x"})
    with pytest.raises(Unauthorized):
        await kernel_ask(ADMINS, {"word": "x"})
    with pytest.raises(Forbidden):
        await kernel_ask(ADMINS, {"word": "x"}, identity=customer_identity())
    assert await kernel_ask(MINE, {"word": "x"}, identity=customer_identity())
    assert await kernel_ask(ADMINS, {"word": "x"}, identity=admin_identity())


async def test_no_such_operation(bench: SharedState, kernel_ask: RpcCaller) -> None:
    nonsense = Operation("order", "nonsense", Say, Said, "", Access.ANYONE)
    with pytest.raises(NotFound):
        await kernel_ask(nonsense, {"word": "x"})


async def test_health_names_the_stores(bench: SharedState, kernel_ask: RpcCaller) -> None:
    assert (await kernel_ask(HEALTH["order"])).stores == {"nats": "ok", "store": "ok"}


async def test_same_key_same_answer(bench: SharedState, kernel_ask: RpcCaller) -> None:
    who, key = customer_identity(), new_id().hex
    first, fresh = await kernel_ask.raw(COUNT, {"word": "one"}, identity=who, key=key)
    again, said = await kernel_ask.raw(COUNT, {"word": "one"}, identity=who, key=key)
    assert again == first
    assert headers.REPLAYED not in fresh
    assert said[headers.REPLAYED] == "true"


async def test_same_key_other_body_is_refused(bench: SharedState, kernel_ask: RpcCaller) -> None:
    who, key = customer_identity(), new_id().hex
    await kernel_ask(COUNT, {"word": "one"}, identity=who, key=key)
    with pytest.raises(IdempotencyKeyReused):
        await kernel_ask(COUNT, {"word": "two"}, identity=who, key=key)


async def test_a_key_is_the_callers_own(bench: SharedState, kernel_ask: RpcCaller) -> None:
    key = new_id().hex
    one = await kernel_ask(COUNT, {"word": "one"}, identity=customer_identity(), key=key)
    two = await kernel_ask(COUNT, {"word": "one"}, identity=customer_identity(), key=key)
    assert one.serial != two.serial


@pytest.mark.parametrize("word", ["one", "no transaction"])
async def test_twenty_at_once_with_one_key_are_one(bench: SharedState, kernel_ask: RpcCaller, word: str) -> None:
    who, key = customer_identity(), new_id().hex
    await kernel_ask(COUNT, {"word": word}, identity=who, key=key)
    asks = (kernel_ask.raw(COUNT, {"word": word}, identity=who, key=key) for _ in range(20))
    assert len({body for body, _ in await asyncio.gather(*asks)}) == 1


async def test_twenty_first_ones_at_once_are_one(bench: SharedState, kernel_ask: RpcCaller) -> None:
    who, key = customer_identity(), new_id().hex
    asks = (kernel_ask.raw(COUNT, {"word": "race"}, identity=who, key=key) for _ in range(20))
    answers = await asyncio.gather(*asks)
    assert len({body for body, _ in answers}) == 1
    assert sum(headers.REPLAYED not in said for _, said in answers) == 1


async def test_a_refusal_is_replayed_too(bench: SharedState, kernel_ask: RpcCaller) -> None:
    who, key = customer_identity(), new_id().hex
    details = set()
    for _ in range(2):
        with pytest.raises(SoldOut) as refused:
            await kernel_ask(COUNT, {"word": "sold out"}, identity=who, key=key)
        details.add(refused.value.detail)
    assert len(details) == 1


async def test_confidential_answers_are_kept_encrypted(
    bench: SharedState, kernel_ask: RpcCaller, kernel: KernelStack
) -> None:
    key = new_id().hex
    first, _ = await kernel_ask.raw(SECRET, {"word": "token-xyz"}, key=key)
    again, _ = await kernel_ask.raw(SECRET, {"word": "token-xyz"}, key=key)
    assert again == first
    connection = await kernel.database()
    try:
        kept = await connection.fetch("SELECT answer FROM idempotency")
    finally:
        await connection.close()
    assert not any(b"token-xyz" in row["answer"] for row in kept)


async def test_more_than_it_can_do_is_refused_at_once(bench: SharedState, kernel_ask: RpcCaller) -> None:
    before = bench.in_flight
    waiting = [asyncio.create_task(kernel_ask(SLOW, {"word": "x"})) for _ in range(30)]
    await eventually(lambda: bench.in_flight == before + 30)
    with pytest.raises(Overloaded):
        await kernel_ask(ECHO, {"word": "x"})
    bench.gate.set()
    assert len(await asyncio.gather(*waiting)) == 30


async def test_what_nobody_waits_for_is_not_started(bench: SharedState, kernel_ask: RpcCaller) -> None:
    before = bench.serial
    late = {headers.TIME_LEFT: "0"}
    await kernel_ask.client.publish(COUNT.subject, b'{"word": "late"}', "_INBOX_operator.gone", headers=late)
    await kernel_ask(ECHO, {"word": "behind it"})
    assert bench.serial == before


async def test_what_waited_through_a_pause_is_not_started(
    bench: SharedState, kernel_ask: RpcCaller, kernel: KernelStack
) -> None:
    """The process stands still, as under SIGSTOP, while an ask comes and its asker gives up."""
    before = bench.serial
    await kernel_ask(ECHO, {"word": "at work"})
    _say_while_all_stands_still(kernel, COUNT.subject, b'{"word": "late"}', wait=300, still=0.6)
    await kernel_ask(ECHO, {"word": "behind it"})
    assert bench.serial == before
    _say_while_all_stands_still(kernel, COUNT.subject, b'{"word": "in time"}', wait=3000, still=0.6)
    await eventually(lambda: bench.serial > before)


def _say_while_all_stands_still(kernel: KernelStack, subject: str, body: bytes, *, wait: int, still: float) -> None:
    place = urlsplit(kernel.stack.nats_url)
    header = f"NATS/1.0\r\n{headers.TIME_LEFT}: {wait}\r\n\r\n".encode()
    who = {"user": "operator", "pass": kernel.stack.password("operator"), "headers": True, "verbose": False}
    with socket.create_connection((place.hostname, place.port)) as line:
        line.sendall(b"CONNECT " + orjson.dumps(who) + b"\r\n")
        sizes = f"{len(header)} {len(header) + len(body)}"
        line.sendall(f"HPUB {subject} _INBOX_operator.gone {sizes}\r\n".encode() + header + body + b"\r\n")
        line.sendall(b"PING\r\n")
        while b"PONG" not in line.recv(4096):
            pass
    time.sleep(still)


async def test_a_stop_finishes_what_is_at_work(kernel: KernelStack, kernel_ask: RpcCaller) -> None:
    """Its own service beside `bench`'s would share the queue group, so it answers another operation only."""
    drains = Operation("order", "drains", Say, Said, "", Access.ANYONE)
    started, gate = asyncio.Event(), asyncio.Event()

    async def held(_deps: None, ask: Request[Say]) -> Said:
        started.set()
        await gate.wait()
        return Said(words=[ask.body.word], serial=1)

    async def until_served(watch: ConnectionMonitor) -> None:
        assert watch.metrics

    async with kernel.serve(lambda _kit: ServiceParts(None, {drains: held})) as watch:
        await until_served(watch)
        answer = asyncio.create_task(eventually(lambda: _first(kernel_ask, drains)))
        await started.wait()
        asyncio.get_running_loop().call_later(0.2, gate.set)
    assert (await answer).serial == 1


async def _first(kernel_ask: RpcCaller, operation: Operation[Say, Said]) -> Said | None:
    try:
        said: Said = await kernel_ask(operation, {"word": "last"})
    except NotFound:  # it went to the other member of the queue group
        return None
    return said


async def test_nobody_there(kernel_ask: RpcCaller) -> None:
    absent = Operation("notification", "absent", Say, Said, "", Access.ANYONE)
    with pytest.raises(Unavailable):
        await kernel_ask(absent, {"word": "x"})


async def test_no_answer_in_time(bench: SharedState, kernel_ask: RpcCaller) -> None:
    bench.gate.clear()
    with pytest.raises(TimedOut):
        await kernel_ask.rpc.request_bytes(SLOW.subject, b'{"word": "x"}', {}, timeout_seconds=0.05)
    bench.gate.set()
