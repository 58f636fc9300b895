"""An ask that gets no answer: asked again where that does no harm, and not at all of a silent service."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from nats.aio.msg import Msg

from contracts import headers
from contracts.failure import IdempotencyInProgress
from infra.ops.devstack.stack import Stack
from tests.edge.conftest import RunningEdge, StubReply, StubServices
from tests.edge.token_signing import TokenSigner
from tests.support.eventually import eventually
from tests.support.http import HttpClient

LAMP = "/products/brass-lamp"
CART = "/carts/0190aa00-0000-7000-8000-000000000000"
OpenEdge = Callable[..., Any]


class Losing:
    """Loses the first `lost` asks, answers the others: with `first`, and then well."""

    def __init__(self, lost: int = 1, *first: StubReply) -> None:
        self.lost = lost
        self.first = list(first)
        self.heard = 0

    def __call__(self, _message: Msg) -> StubReply | None:
        self.heard += 1
        if self.heard <= self.lost:
            return None
        return self.first.pop(0) if self.first else (b'{"id":"7"}', {})


def at_work() -> StubReply:
    fail = IdempotencyInProgress()
    return fail.to_json(), {headers.ERROR: fail.code, headers.ERROR_CODE: str(int(fail.status))}


async def test_what_reads_is_asked_again(open_edge: OpenEdge, backs: StubServices) -> None:
    http: HttpClient = (await open_edge(edge_try_timeout=0.2)).http
    losing = backs.responders["rpc.catalog.get_product"] = Losing()
    assert (await http.get(LAMP)).status == 200
    assert losing.heard == 2


async def test_what_has_a_key_is_asked_again_until_its_own_first_ask_is_done(
    open_edge: OpenEdge, backs: StubServices, signer: TokenSigner
) -> None:
    http = (await open_edge(edge_try_timeout=0.2)).http.as_(signer.token())
    losing = backs.responders["rpc.order.cancel"] = Losing(1, at_work(), at_work())
    answered = await http.post("/orders/0190aa00-0000-7000-8000-000000000000/cancel", key="k-1")
    assert answered.status == 200
    assert losing.heard == 4


async def test_what_has_no_key_is_asked_once(open_edge: OpenEdge, backs: StubServices, signer: TokenSigner) -> None:
    http = (await open_edge(edge_try_timeout=0.1, edge_timeout=0.5)).http.as_(signer.token())
    losing = backs.responders["rpc.order.cancel"] = Losing()
    answered = await http.post("/orders/0190aa00-0000-7000-8000-000000000000/cancel")
    assert (answered.status, answered.code, losing.heard) == (504, "timed_out", 1)


async def test_when_all_fails_few_are_asked_again(open_edge: OpenEdge, backs: StubServices) -> None:
    http: HttpClient = (await open_edge(edge_try_timeout=0.1, edge_timeout=0.3, edge_silence=60)).http
    losing = backs.responders["rpc.catalog.get_product"] = Losing(10_000)
    for _ in range(3):
        assert {one.status for one in await asyncio.gather(*(http.get(LAMP) for _ in range(30)))} == {504}
    assert losing.heard <= 90 + 20 + 9 + 1


async def test_nobody_waits_for_a_silent_service(open_edge: OpenEdge, backs: StubServices) -> None:
    opened: RunningEdge = await open_edge(edge_silence=0.2, edge_silent_asks=3, edge_probe_pause=0.3, edge_timeout=1.0)
    http = opened.http
    losing = backs.responders["rpc.catalog.get_product"] = Losing(10_000)
    for service in ("user", "cart", "order"):
        backs.respond(f"{service}.health", b'{"stores":{}}')
    backs.responders["rpc.catalog.health"] = lambda _: None if losing.lost else (b'{"stores":{}}', {})
    first = [asyncio.create_task(http.get(LAMP)) for _ in range(3)]
    await eventually(lambda: losing.heard >= 3)

    async def refused_at_once() -> bool:
        began = time.monotonic()
        answered = await http.get(LAMP)
        return answered.status == 503 and answered.headers["Retry-After"] == "1" and time.monotonic() - began < 0.1

    await eventually(refused_at_once)
    assert (await http.get(CART)).status == 200, "another service's routes go on"
    assert 'souk_circuit_open{service="catalog"} 1.0' in (await http.get("//metrics")).body.decode()
    assert (await http.get("//readyz")).json["services"]["catalog"]["circuit"] == "open"
    assert {one.status for one in await asyncio.gather(*first)} == {504}

    losing.lost = 0

    async def back() -> bool:
        return (await http.get(LAMP)).status == 200

    await eventually(back)
    assert 'souk_circuit_open{service="catalog"} 0.0' in (await http.get("//metrics")).body.decode()


async def test_while_nats_is_frozen_everybody_is_told_in_time(
    open_edge: OpenEdge, backs: StubServices, edge_nats: Stack
) -> None:
    http: HttpClient = (await open_edge(edge_timeout=0.5, edge_silence=0.3, edge_silent_asks=2)).http
    edge_nats.pause("nats")
    try:
        began = time.monotonic()
        answers = await asyncio.gather(*(http.get(LAMP) for _ in range(4)))
        assert {one.status for one in answers} == {504}
        assert time.monotonic() - began < 2
        assert (await http.get(LAMP)).status in {503, 504}
    finally:
        edge_nats.resume("nats")

    async def back() -> bool:
        return (await http.get(LAMP)).status == 200

    await eventually(back)
