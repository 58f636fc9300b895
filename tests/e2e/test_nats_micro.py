"""Every service answers NATS micro requests (ADR-32), as `nats micro` sends them."""

import asyncio
import json
from collections.abc import AsyncIterator
from importlib.metadata import version
from typing import Any

import pytest
from nats.aio.client import Client
from nats.errors import TimeoutError as NatsTimeoutError

from contracts import cart
from contracts.failure import Fail
from contracts.registry import OPERATIONS, SERVICES
from infra.foundation.ids import new_id
from infra.messaging import connection
from infra.ops.devstack.stack import Stack
from tests.support.rpc import RpcCaller

OPERATIONS_OF = {service: {one.subject for one in OPERATIONS if one.service == service} for service in SERVICES}


@pytest.fixture(scope="module")
async def client(stack: Stack) -> AsyncIterator[Client]:
    async with connection.connect(stack.nats_url, "operator", stack.nats_password("operator")) as client:
        yield client


async def replies_to(client: Client, subject: str, replies: int) -> list[dict[str, Any]]:
    """Sends a request and returns so many replies."""
    inbox = client.new_inbox()
    subscription = await client.subscribe(inbox)
    await client.publish(subject, b"", reply=inbox)
    try:
        return [json.loads((await subscription.next_msg(timeout=10)).data) for _ in range(replies)]
    finally:
        await subscription.unsubscribe()


async def test_every_service_describes_its_operations(client: Client) -> None:
    infos = await replies_to(client, "$SRV.INFO", len(SERVICES))
    assert {info["name"] for info in infos} == set(SERVICES)
    for info in infos:
        assert info["type"] == "io.nats.micro.v1.info_response"
        assert info["version"] == version("souk")
        assert {one["subject"] for one in info["endpoints"]} == OPERATIONS_OF[info["name"]]
        assert {one["queue_group"] for one in info["endpoints"]} == {info["name"]}
    (ping,) = await replies_to(client, "$SRV.PING.order", 1)
    assert (ping["type"], ping["name"]) == ("io.nats.micro.v1.ping_response", "order")
    (again,) = await replies_to(client, f"$SRV.PING.order.{ping['id']}", 1)
    assert again == ping


async def test_another_id_gets_no_reply(client: Client) -> None:
    with pytest.raises(NatsTimeoutError):
        await client.request(f"$SRV.PING.order.{new_id()}", b"", timeout=0.3)


async def test_requests_and_errors_are_counted(client: Client) -> None:
    async def get_stats() -> dict[str, Any]:
        (stats,) = await replies_to(client, "$SRV.STATS.cart", 1)
        assert stats["type"] == "io.nats.micro.v1.stats_response"
        assert stats["started"].endswith("Z")
        found: dict[str, Any] = next(one for one in stats["endpoints"] if one["subject"] == cart.GET.subject)
        return found

    before = await get_stats()
    with pytest.raises(Fail):
        await RpcCaller(client).raw(cart.GET, {"id": str(new_id())})
    await asyncio.sleep(0)
    after = await get_stats()
    assert after["num_requests"] == before["num_requests"] + 1
    assert after["num_errors"] == before["num_errors"] + 1
    assert after["last_error"]
    assert after["processing_time"] > before["processing_time"]
    assert 0 < after["average_processing_time"] <= after["processing_time"]


async def test_a_reply_to_another_subject_is_refused(client: Client) -> None:
    """The reply subject is the sender's choice, so it must be an inbox."""
    received = await client.subscribe("wake.order")
    await client.publish("$SRV.PING.order", b"", reply="wake.order")
    await replies_to(client, "$SRV.PING.order", 1)
    await client.flush()
    seen = [(await received.next_msg(timeout=1)).data for _ in range(received.pending_msgs)]
    assert not any(b"ping_response" in data for data in seen)
