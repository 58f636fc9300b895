"""Requests that get no reply: retried where that is safe, and refused at once while a service is silent."""

import asyncio
import time

from nats.aio.msg import Msg

from contracts import headers
from contracts.failure import IdempotencyInProgress
from infra.foundation.ids import new_id
from infra.ops.devstack.stack import Stack
from tests.edge.conftest import OpenEdge, StubReply, StubServices
from tests.edge.token_signing import TokenSigner
from tests.support.eventually import eventually

LAMP = "/products/brass-lamp"
CART = "/carts/0190aa00-0000-7000-8000-000000000000"


def category() -> str:
    """The path of a category that no other request reads, so that the request is a call of its own."""
    return f"/categories/{new_id()}"


class LossyResponder:
    """Does not reply to the first `lost` requests, then sends the `first_replies`, then succeeds."""

    def __init__(self, lost: int = 1, *first_replies: StubReply) -> None:
        self.lost = lost
        self.first_replies = list(first_replies)
        self.received = 0

    def __call__(self, _message: Msg) -> StubReply | None:
        self.received += 1
        if self.received <= self.lost:
            return None
        return self.first_replies.pop(0) if self.first_replies else (b'{"id":"7"}', {})


def in_progress() -> StubReply:
    fail = IdempotencyInProgress()
    return fail.to_json(), {headers.ERROR: fail.code, headers.ERROR_CODE: str(int(fail.status))}


async def test_a_read_is_retried(open_edge: OpenEdge, services: StubServices) -> None:
    http = (await open_edge(edge_try_timeout=0.2)).http
    responder = services.responders["rpc.catalog.get_product"] = LossyResponder()
    assert (await http.get(LAMP)).status == 200
    assert responder.received == 2


async def test_a_write_with_a_key_is_retried_until_its_first_attempt_is_done(
    open_edge: OpenEdge, services: StubServices, signer: TokenSigner
) -> None:
    http = (await open_edge(edge_try_timeout=0.2)).http.with_token(signer.token())
    responder = services.responders["rpc.order.cancel"] = LossyResponder(1, in_progress(), in_progress())
    response = await http.post("/orders/0190aa00-0000-7000-8000-000000000000/cancel", key="k-1")
    assert response.status == 200
    assert responder.received == 4


async def test_a_write_without_a_key_is_not_retried(
    open_edge: OpenEdge, services: StubServices, signer: TokenSigner
) -> None:
    http = (await open_edge(edge_try_timeout=0.1, edge_timeout=0.5)).http.with_token(signer.token())
    responder = services.responders["rpc.order.cancel"] = LossyResponder()
    response = await http.post("/orders/0190aa00-0000-7000-8000-000000000000/cancel")
    assert (response.status, response.code, responder.received) == (504, "timed_out", 1)


async def test_the_retry_budget_limits_retries_when_everything_fails(
    open_edge: OpenEdge, services: StubServices
) -> None:
    http = (await open_edge(edge_try_timeout=0.1, edge_timeout=0.3, edge_silence=60)).http
    responder = services.responders["rpc.catalog.get_category"] = LossyResponder(10_000)
    for _ in range(3):
        assert {each.status for each in await asyncio.gather(*(http.get(category()) for _ in range(30)))} == {504}
    assert responder.received <= 90 + 20 + 9 + 1


async def test_no_client_waits_for_a_silent_service(open_edge: OpenEdge, services: StubServices) -> None:
    opened = await open_edge(edge_silence=0.2, edge_silent_asks=3, edge_probe_pause=0.3, edge_timeout=1.0)
    http = opened.http
    responder = services.responders["rpc.catalog.get_category"] = LossyResponder(10_000)
    for service in ("user", "cart", "order"):
        services.respond(f"{service}.health", b'{"stores":{}}')
    services.responders["rpc.catalog.health"] = lambda _: None if responder.lost else (b'{"stores":{}}', {})
    first = [asyncio.create_task(http.get(category())) for _ in range(3)]
    await eventually(lambda: responder.received >= 3)

    async def refused_at_once() -> bool:
        started_at = time.monotonic()
        response = await http.get(category())
        return response.status == 503 and response.headers["Retry-After"] == "1" and time.monotonic() - started_at < 0.1

    await eventually(refused_at_once)
    assert (await http.get(CART)).status == 200, "other services are not affected"
    assert 'souk_circuit_open{service="catalog"} 1.0' in (await http.get("//metrics")).body.decode()
    assert (await http.get("//readyz")).json["services"]["catalog"]["circuit"] == "open"
    assert {each.status for each in await asyncio.gather(*first)} == {504}

    responder.lost = 0

    async def is_back() -> bool:
        return (await http.get(category())).status == 200

    await eventually(is_back)
    assert 'souk_circuit_open{service="catalog"} 0.0' in (await http.get("//metrics")).body.decode()


async def test_every_client_gets_a_response_in_time_while_nats_is_frozen(
    open_edge: OpenEdge, services: StubServices, edge_nats: Stack
) -> None:
    http = (await open_edge(edge_timeout=0.5, edge_silence=0.3, edge_silent_asks=2)).http
    edge_nats.pause("nats")
    try:
        started_at = time.monotonic()
        responses = await asyncio.gather(*(http.get(category()) for _ in range(4)))
        assert {each.status for each in responses} == {504}
        assert time.monotonic() - started_at < 2
        assert (await http.get(category())).status in {503, 504}
    finally:
        edge_nats.resume("nats")

    async def is_back() -> bool:
        return (await http.get(category())).status == 200

    await eventually(is_back)
