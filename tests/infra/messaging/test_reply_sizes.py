"""Replies at their limits: one that is too large becomes a problem, and a list of field errors is capped."""

from collections.abc import AsyncIterator

import orjson
import pytest
from nats.aio.client import Client

from contracts.failure import InvalidRequest, ReplyTooLarge
from contracts.identity import Access
from contracts.model import Model
from contracts.operation import OPERATOR, AnyOperation, Operation
from contracts.size_limits import MAX_FIELD_ERRORS, MAX_JSON_KEYS, MAX_MESSAGE_BYTES, MAX_REPLY_BYTES
from infra.database.postgres import Database
from infra.foundation.settings import PostgresSettings
from infra.messaging.nats_client import MessageTooLargeError
from infra.messaging.request_parsing import parse_request
from infra.messaging.rpc_client import Reply, Request
from infra.runtime.service import Resources, ServiceParts
from tests.infra.conftest import KernelStack
from tests.support.rpc import RpcCaller


class SizeRequest(Model):
    size: int
    names: list[int] = []


class TextReply(Model):
    text: str


SIZED: AnyOperation = Operation(
    "order", "sized", SizeRequest, TextReply, "Reply with a size", Access.ANYONE, callers=("edge", OPERATOR)
)


async def reply_with_size(_deps: None, request: Request[SizeRequest]) -> Reply[TextReply]:
    return Reply(b'{"text":"' + b"x" * (request.body.size - len(b'{"text":""}')) + b'"}', version=1)


@pytest.fixture(params=[True, False], ids=["fast_path", "faststream"])
async def service(kernel: KernelStack, request: pytest.FixtureRequest) -> AsyncIterator[None]:
    async with kernel.serve(lambda _resources: ServiceParts(None), {SIZED: reply_with_size}, fast_path=request.param):
        yield


@pytest.mark.usefixtures("service")
async def test_a_reply_over_the_limit_is_a_problem(kernel_rpc: RpcCaller) -> None:
    for _ in range(2):
        reply, _ = await kernel_rpc.raw(SIZED, {"size": MAX_REPLY_BYTES})
        assert len(reply) == MAX_REPLY_BYTES
        for size in (MAX_REPLY_BYTES + 1, 5 * MAX_REPLY_BYTES):
            with pytest.raises(ReplyTooLarge):
                await kernel_rpc.raw(SIZED, {"size": size})


async def test_a_service_measures_its_messages(kernel: KernelStack) -> None:
    """A service connects with the client that measures, for its requests, its events and its other messages."""
    clients: list[Client] = []

    def build(resources: Resources[PostgresSettings, Database]) -> ServiceParts:
        clients.append(resources.nats)
        return ServiceParts(None)

    async with kernel.serve(build):
        (client,) = clients
        with pytest.raises(MessageTooLargeError):
            await client.publish("wake.order", bytes(MAX_MESSAGE_BYTES), headers={"Souk-Test": "x"})
        await client.flush()
        assert client.stats["reconnects"] == 0


async def test_a_reply_that_a_stricter_server_would_refuse_is_a_problem(
    kernel: KernelStack, kernel_rpc: RpcCaller
) -> None:
    """Not every NATS server is configured by this project: the default limit is 1 MiB."""
    clients: list[Client] = []

    def build(resources: Resources[PostgresSettings, Database]) -> ServiceParts:
        clients.append(resources.nats)
        return ServiceParts(None)

    async with kernel.serve(build, {SIZED: reply_with_size}):
        clients[0]._max_payload = 100_000
        await kernel_rpc.raw(SIZED, {"size": 99_000})
        with pytest.raises(ReplyTooLarge):
            await kernel_rpc.raw(SIZED, {"size": 100_000})
        assert clients[0].stats["reconnects"] == 0


@pytest.mark.parametrize("count", [MAX_FIELD_ERRORS, MAX_FIELD_ERRORS + 1, MAX_JSON_KEYS])
def test_field_errors_are_capped(count: int) -> None:
    body = orjson.dumps({"size": 1, **{f"field{index}": index for index in range(count)}})
    with pytest.raises(InvalidRequest) as refused:
        parse_request(SIZED, body, {}, None)
    errors = orjson.loads(refused.value.to_json())["errors"]
    assert [error["pointer"] for error in errors[:2]] == ["/field0", "/field1"]
    if count == MAX_FIELD_ERRORS:
        assert len(errors) == MAX_FIELD_ERRORS
    else:
        assert len(errors) == MAX_FIELD_ERRORS + 1
        assert errors[-1] == {"pointer": "", "detail": f"and {count - MAX_FIELD_ERRORS} more"}
    passed_on = InvalidRequest.from_json(refused.value.to_json())
    assert orjson.loads(passed_on.to_json())["errors"] == errors


def test_a_long_key_is_shortened_in_its_error() -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_request(SIZED, orjson.dumps({"size": 1, "\x01" * 1_000_000: 1}), {}, None)
    assert len(refused.value.to_json()) < 10_000
