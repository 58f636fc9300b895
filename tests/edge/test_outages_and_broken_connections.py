"""Services that are unavailable or late, overload, shutdown, and broken connections."""

import asyncio

import aiohttp
import orjson
import pytest

from edge.app import serve_edge
from edge.settings import EdgeSettings
from infra.foundation.ids import new_id
from infra.foundation.telemetry import Metrics
from infra.messaging.connection import ConnectionMonitor
from infra.ops.devstack.stack import Stack
from tests.edge.conftest import OpenEdge, StubServices
from tests.edge.token_signing import TokenSigner
from tests.support.eventually import eventually
from tests.support.http import HttpClient

LAMP = "/products/brass-lamp"


async def test_invalid_http_gets_a_problem_and_is_not_logged(
    open_edge: OpenEdge, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", (await open_edge()).port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization : Bearer secret\r\n\r\n")
    response = await reader.read()
    writer.close()
    assert response.split(b" ", 2)[1] == b"400"
    assert orjson.loads(response.partition(b"\r\n\r\n")[2])["code"] == "malformed"
    assert "secret" not in caplog.text


async def test_unavailable_timed_out_and_overloaded(
    open_edge: OpenEdge, services: StubServices, signer: TokenSigner
) -> None:
    http = (await open_edge(edge_timeout=0.3, edge_max_in_flight=4)).http
    response = await http.with_token(signer.token()).get("/notifications")
    assert (response.status, response.code, response.headers["Retry-After"]) == (503, "unavailable", "1")
    services.responders["rpc.catalog.get_category"] = lambda _: None
    late = [asyncio.create_task(http.get(f"/categories/{new_id()}")) for _ in range(2)]
    await eventually(lambda: len(services.requests) == 2)
    shed = await http.get(f"/categories/{new_id()}")
    assert (shed.status, shed.code, shed.headers["Retry-After"]) == (503, "overloaded", "1")
    assert {(each.status, each.code) for each in await asyncio.gather(*late)} == {(504, "timed_out")}


async def test_without_nats_a_request_fails_at_once(
    open_edge: OpenEdge, services: StubServices, edge_nats: Stack
) -> None:
    http = (await open_edge()).http
    assert (await http.get(LAMP)).status == 200
    await edge_nats.stop("nats")
    try:
        response = await asyncio.wait_for(http.get(f"{LAMP}-2"), 2)
        assert (response.status, response.code) == (503, "unavailable")
        assert "Retry-After" in response.headers
        assert (await http.get("//healthz")).status == 200
        assert (await http.get("//readyz")).status == 503
    finally:
        await edge_nats.start("nats")

    async def is_back() -> bool:
        return (await http.get(LAMP)).status == 200

    await eventually(is_back)


async def test_stops_only_after_finishing_accepted_requests(
    edge_nats: Stack, services: StubServices, open_edge: OpenEdge
) -> None:
    settings = EdgeSettings(
        _env_file=None, nats_url=edge_nats.nats_url, nats_password=edge_nats.nats_password("edge"), edge_port=0
    )
    services.responders["rpc.catalog.get_product"] = lambda _: None
    async with aiohttp.ClientSession() as session:
        async with serve_edge(settings, ConnectionMonitor(Metrics())) as port:
            pending = asyncio.create_task(HttpClient(session, f"http://127.0.0.1:{port}").get(LAMP))
            await eventually(lambda: services.requests)
            loop = asyncio.get_running_loop()
            loop.call_later(
                0.2, lambda: loop.create_task(services.client.publish(services.last_request.reply, b'{"late":1}'))
            )
        response = await pending
    assert (response.status, response.body) == (200, b'{"late":1}')


@pytest.mark.parametrize(
    "sent",
    [
        b"Content-Length: 100\r\n\r\n{",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\n{",
        b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n",
    ],
)
async def test_an_incomplete_body_causes_no_request(
    open_edge: OpenEdge, services: StubServices, caplog: pytest.LogCaptureFixture, sent: bytes
) -> None:
    opened = await open_edge()
    reader, writer = await asyncio.open_connection("127.0.0.1", opened.port)
    writer.write(b"POST /api/v1/carts HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + sent)
    await writer.drain()
    writer.write_eof()
    await asyncio.wait_for(reader.read(), 5)
    writer.close()
    assert not services.requests
    assert "Traceback" not in caplog.text
