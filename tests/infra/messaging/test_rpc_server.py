"""Requests: replies, refusals, idempotent replays, overload and drain, by the fast path and by FastStream."""

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
from contracts.operation import OPERATOR, AnyOperation, Operation
from contracts.registry import HEALTH
from infra.database.postgres import Database
from infra.foundation.ids import new_id
from infra.foundation.settings import PostgresSettings
from infra.messaging.rpc_client import Reply, Request
from infra.messaging.rpc_server import Handler
from infra.runtime.service import Resources, ServiceParts
from tests.infra.conftest import KernelStack
from tests.support.eventually import eventually
from tests.support.rpc import RpcCaller, admin_identity, customer_identity


class SoldOut(Fail, status=HTTPStatus.CONFLICT, code="sold_out"):
    """Nothing is left."""


class EchoRequest(Model):
    word: Annotated[str, Field(max_length=20)]
    times: int = 1


class EchoReply(Model):
    words: list[str]
    serial: int


ECHO = Operation("order", "echo", EchoRequest, EchoReply, "Echo a word", Access.ANYONE, callers=("edge", OPERATOR))
COUNT = Operation(
    "order", "count", EchoRequest, EchoReply, "Count up", Access.ANYONE, (SoldOut,), ("edge", OPERATOR), writes=True
)
SECRET = Operation(
    "order",
    "secret",
    EchoRequest,
    EchoReply,
    "Return a secret",
    Access.ANYONE,
    callers=("edge",),
    writes=True,
    confidential=True,
)
CUSTOMERS_ONLY = Operation("order", "mine", EchoRequest, EchoReply, "For signed-in users", Access.CUSTOMER)
ADMINS_ONLY = Operation("order", "admins", EchoRequest, EchoReply, "For administrators", Access.ADMIN)
SLOW = Operation("order", "slow", EchoRequest, EchoReply, "Wait for the gate", Access.ANYONE)


class SharedState:
    """What the handlers of this test share."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.serial = 0
        self.gate = asyncio.Event()
        self.in_flight = 0


async def echo(_state: SharedState, request: Request[EchoRequest]) -> Reply[EchoReply]:
    word = request.body.word
    if word == "bug":
        raise ZeroDivisionError
    if word == "unavailable":
        raise ConnectionRefusedError
    if word == "no disk":
        raise asyncpg.PostgresIOError
    return Reply(EchoReply(words=[word] * request.body.times, serial=0), version=7)


async def count(state: SharedState, request: Request[EchoRequest]) -> Reply[EchoReply]:
    state.serial += 1
    serial = state.serial
    if request.body.word == "sold out":
        raise SoldOut(f"attempt {serial}")
    if request.body.word == "no transaction":
        return Reply(EchoReply(words=[], serial=serial))
    async with state.database.transaction(request) as tx:
        await tx.connection.execute("SELECT pg_sleep(0.05)")
        return tx.reply(EchoReply(words=[request.body.word], serial=serial))


async def slow(state: SharedState, request: Request[EchoRequest]) -> EchoReply:
    state.in_flight += 1
    await state.gate.wait()
    return EchoReply(words=[request.body.word], serial=0)


HANDLERS: dict[AnyOperation, Handler] = {
    ECHO: echo,
    COUNT: count,
    SECRET: count,
    CUSTOMERS_ONLY: echo,
    ADMINS_ONLY: echo,
    SLOW: slow,
}


@pytest.fixture(scope="module", params=[True, False], ids=["fast path", "FastStream"])
async def state(kernel: KernelStack, request: pytest.FixtureRequest) -> AsyncIterator[SharedState]:
    states: list[SharedState] = []

    def build(resources: Resources[PostgresSettings, Database]) -> ServiceParts:
        states.append(SharedState(resources.store))
        return ServiceParts(states[0])

    async with kernel.serve(build, HANDLERS, max_in_flight=30, fast_path=request.param):
        yield states[0]


async def test_reply_carries_version(state: SharedState, kernel_rpc: RpcCaller) -> None:
    body, reply_headers = await kernel_rpc.raw(ECHO, {"word": "salam", "times": 2})
    assert EchoReply.model_validate_json(body).words == ["salam", "salam"]
    assert reply_headers[headers.VERSION] == "7"


@pytest.mark.parametrize(
    ("body", "failure_class", "pointer"),
    [
        (b'{"word": ', MalformedRequest, None),
        (b'{"word": "x", "colour": "red"}', InvalidRequest, "/colour"),
        (b'{"word": 7}', InvalidRequest, "/word"),
        (b'{"word": "' + b"x" * 21 + b'"}', InvalidRequest, "/word"),
        (b"{}", InvalidRequest, "/word"),
        (b'{"word": "bug"}', InternalError, None),
        (b'{"word": "unavailable"}', Unavailable, None),
        (b'{"word": "no disk"}', Unavailable, None),
    ],
)
async def test_failures_are_replies(
    state: SharedState, kernel_rpc: RpcCaller, body: bytes, failure_class: type[Fail], pointer: str | None
) -> None:
    with pytest.raises(failure_class) as failure:
        await kernel_rpc.raw(ECHO, body)
    assert [error.pointer for error in failure.value.errors] == ([pointer] if pointer else [])


async def test_validation_errors_never_repeat_values(state: SharedState, kernel_rpc: RpcCaller) -> None:
    with pytest.raises(InvalidRequest) as failure:
        await kernel_rpc.raw(ECHO, b'{"word": "hunter2hunter2hunter2"}')
    assert "hunter2" not in failure.value.to_problem().model_dump_json()


async def test_access_is_checked_by_role(state: SharedState, kernel_rpc: RpcCaller) -> None:
    with pytest.raises(Unauthorized):
        await kernel_rpc(CUSTOMERS_ONLY, {"word": "x"})
    with pytest.raises(Unauthorized):
        await kernel_rpc(ADMINS_ONLY, {"word": "x"})
    with pytest.raises(Forbidden):
        await kernel_rpc(ADMINS_ONLY, {"word": "x"}, identity=customer_identity())
    assert await kernel_rpc(CUSTOMERS_ONLY, {"word": "x"}, identity=customer_identity())
    assert await kernel_rpc(ADMINS_ONLY, {"word": "x"}, identity=admin_identity())


async def test_unknown_operation(state: SharedState, kernel_rpc: RpcCaller) -> None:
    nonsense = Operation("order", "nonsense", EchoRequest, EchoReply, "", Access.ANYONE)
    with pytest.raises((NotFound, Unavailable)):  # FastStream has no subscription for it
        await kernel_rpc(nonsense, {"word": "x"})


async def test_health_reports_every_store(state: SharedState, kernel_rpc: RpcCaller) -> None:
    assert (await kernel_rpc(HEALTH["order"])).stores == {"nats": "ok", "store": "ok"}


async def test_same_key_gets_same_reply(state: SharedState, kernel_rpc: RpcCaller) -> None:
    user, key = customer_identity(), new_id().hex
    first, fresh = await kernel_rpc.raw(COUNT, {"word": "one"}, identity=user, key=key)
    again, replayed = await kernel_rpc.raw(COUNT, {"word": "one"}, identity=user, key=key)
    assert again == first
    assert headers.REPLAYED not in fresh
    assert replayed[headers.REPLAYED] == "true"


async def test_same_key_with_other_body_is_refused(state: SharedState, kernel_rpc: RpcCaller) -> None:
    user, key = customer_identity(), new_id().hex
    await kernel_rpc(COUNT, {"word": "one"}, identity=user, key=key)
    with pytest.raises(IdempotencyKeyReused):
        await kernel_rpc(COUNT, {"word": "two"}, identity=user, key=key)


async def test_keys_of_callers_are_separate(state: SharedState, kernel_rpc: RpcCaller) -> None:
    key = new_id().hex
    one = await kernel_rpc(COUNT, {"word": "one"}, identity=customer_identity(), key=key)
    two = await kernel_rpc(COUNT, {"word": "one"}, identity=customer_identity(), key=key)
    assert one.serial != two.serial


@pytest.mark.parametrize("word", ["one", "no transaction"])
async def test_concurrent_replays_get_one_reply(state: SharedState, kernel_rpc: RpcCaller, word: str) -> None:
    user, key = customer_identity(), new_id().hex
    await kernel_rpc(COUNT, {"word": word}, identity=user, key=key)
    requests = (kernel_rpc.raw(COUNT, {"word": word}, identity=user, key=key) for _ in range(20))
    assert len({body for body, _ in await asyncio.gather(*requests)}) == 1


async def test_concurrent_first_requests_have_one_effect(state: SharedState, kernel_rpc: RpcCaller) -> None:
    user, key = customer_identity(), new_id().hex
    requests = (kernel_rpc.raw(COUNT, {"word": "race"}, identity=user, key=key) for _ in range(20))
    replies = await asyncio.gather(*requests)
    assert len({body for body, _ in replies}) == 1
    assert sum(headers.REPLAYED not in reply_headers for _, reply_headers in replies) == 1


async def test_failure_is_replayed(state: SharedState, kernel_rpc: RpcCaller) -> None:
    user, key = customer_identity(), new_id().hex
    details = set()
    for _ in range(2):
        with pytest.raises(SoldOut) as failure:
            await kernel_rpc(COUNT, {"word": "sold out"}, identity=user, key=key)
        details.add(failure.value.detail)
    assert len(details) == 1


async def test_confidential_replies_are_stored_encrypted(
    state: SharedState, kernel_rpc: RpcCaller, kernel: KernelStack
) -> None:
    key = new_id().hex
    first, _ = await kernel_rpc.raw(SECRET, {"word": "token-xyz"}, key=key)
    again, _ = await kernel_rpc.raw(SECRET, {"word": "token-xyz"}, key=key)
    assert again == first
    connection = await kernel.database()
    try:
        rows = await connection.fetch("SELECT answer FROM idempotency")
    finally:
        await connection.close()
    assert not any(b"token-xyz" in row["answer"] for row in rows)


async def test_requests_beyond_the_limit_are_refused(state: SharedState, kernel_rpc: RpcCaller) -> None:
    before = state.in_flight
    waiting = [asyncio.create_task(kernel_rpc(SLOW, {"word": "x"})) for _ in range(30)]
    await eventually(lambda: state.in_flight == before + 30)
    with pytest.raises(Overloaded):
        await kernel_rpc(ECHO, {"word": "x"})
    state.gate.set()
    assert len(await asyncio.gather(*waiting)) == 30


async def test_expired_request_is_not_started(state: SharedState, kernel_rpc: RpcCaller) -> None:
    before = state.serial
    expired = {headers.TIME_LEFT: "0"}
    await kernel_rpc.client.publish(COUNT.subject, b'{"word": "late"}', "_INBOX_operator.gone", headers=expired)
    await kernel_rpc(ECHO, {"word": "behind it"})
    assert state.serial == before


async def test_request_that_expired_during_a_stall_is_not_started(
    state: SharedState, kernel_rpc: RpcCaller, kernel: KernelStack
) -> None:
    """The event loop stalls, as under SIGSTOP, while a request arrives and its caller gives up."""
    before = state.serial
    await kernel_rpc(ECHO, {"word": "before"})
    _publish_during_a_stall(kernel, COUNT.subject, b'{"word": "late"}', time_left_ms=300, stall_seconds=0.6)
    await kernel_rpc(ECHO, {"word": "behind it"})
    assert state.serial == before
    _publish_during_a_stall(kernel, COUNT.subject, b'{"word": "in time"}', time_left_ms=3000, stall_seconds=0.6)
    await eventually(lambda: state.serial > before)


def _publish_during_a_stall(
    kernel: KernelStack, subject: str, body: bytes, *, time_left_ms: int, stall_seconds: float
) -> None:
    server = urlsplit(kernel.stack.nats_url)
    header = f"NATS/1.0\r\n{headers.TIME_LEFT}: {time_left_ms}\r\n\r\n".encode()
    options = {"user": "operator", "pass": kernel.stack.nats_password("operator"), "headers": True, "verbose": False}
    with socket.create_connection((server.hostname, server.port)) as connection:
        connection.sendall(b"CONNECT " + orjson.dumps(options) + b"\r\n")
        sizes = f"{len(header)} {len(header) + len(body)}"
        connection.sendall(f"HPUB {subject} _INBOX_operator.gone {sizes}\r\n".encode() + header + body + b"\r\n")
        connection.sendall(b"PING\r\n")
        while b"PONG" not in connection.recv(4096):
            pass
    time.sleep(stall_seconds)


@pytest.mark.parametrize("fast_path", [True, False], ids=["fast path", "FastStream"])
async def test_stop_finishes_requests_in_progress(
    kernel: KernelStack,
    kernel_rpc: RpcCaller,
    fast_path: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """The service shares the queue group with the one of `state`, so it handles only an operation of its own."""
    operation = Operation("order", "drains", EchoRequest, EchoReply, "", Access.ANYONE)
    started, gate = asyncio.Event(), asyncio.Event()

    async def wait_for_gate(_deps: None, request: Request[EchoRequest]) -> EchoReply:
        started.set()
        await gate.wait()
        return EchoReply(words=[request.body.word], serial=1)

    async with kernel.serve(lambda _resources: ServiceParts(None), {operation: wait_for_gate}, fast_path=fast_path):
        reply = asyncio.create_task(eventually(lambda: _request_once(kernel_rpc, operation)))
        await started.wait()
        asyncio.get_running_loop().call_later(0.2, gate.set)
    assert (await reply).serial == 1


async def _request_once(kernel_rpc: RpcCaller, operation: Operation[EchoRequest, EchoReply]) -> EchoReply | None:
    try:
        reply: EchoReply = await kernel_rpc(operation, {"word": "last"})
    except NotFound:  # the other member of the queue group received it
        return None
    return reply


async def test_missing_service_is_unavailable(kernel_rpc: RpcCaller) -> None:
    absent = Operation("notification", "absent", EchoRequest, EchoReply, "", Access.ANYONE)
    with pytest.raises(Unavailable):
        await kernel_rpc(absent, {"word": "x"})


async def test_late_reply_is_a_timeout(state: SharedState, kernel_rpc: RpcCaller) -> None:
    state.gate.clear()
    with pytest.raises(TimedOut):
        await kernel_rpc.rpc.request_bytes(SLOW.subject, b'{"word": "x"}', {}, timeout_seconds=0.05)
    state.gate.set()
