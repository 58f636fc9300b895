"""The ops port: a process that does not accept requests is live but not ready."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from nats.aio.client import Client

from infra.foundation.settings import Settings
from infra.foundation.telemetry import Metrics
from infra.messaging.connection import ConnectionMonitor
from infra.ops.devstack.free_ports import LOOPBACK, PortPicker
from infra.runtime.health import Readiness, serve_health


async def test_process_that_accepts_no_requests_is_not_ready(kernel_client: Client, ports: PortPicker) -> None:
    port = ports.reserve(0, "the ops port", "nothing")
    settings = Settings.model_construct(ops_host=LOOPBACK, ops_port=port)
    metrics = Metrics()
    readiness = Readiness(kernel_client, {}, ConnectionMonitor(metrics))

    async def get_status(path: str) -> int:
        async with session.get(f"http://{LOOPBACK}:{port}{path}") as response:
            return response.status

    async with serve_health(settings, readiness, metrics), aiohttp.ClientSession() as session:
        assert (await get_status("/healthz"), await get_status("/readyz")) == (200, 503)
        with readiness.accepting():
            assert await get_status("/readyz") == 200
        assert await get_status("/readyz") == 503


@pytest.fixture
async def ops_port(kernel_client: Client, ports: PortPicker) -> AsyncIterator[int]:
    port = ports.reserve(0, "the ops port", "nothing")
    settings = Settings.model_construct(ops_host=LOOPBACK, ops_port=port)
    metrics = Metrics()
    async with serve_health(settings, Readiness(kernel_client, {}, ConnectionMonitor(metrics)), metrics):
        yield port


async def exchange(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    writer.write(request)
    try:
        return await reader.read()
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET /metrics HTTP/1.1", b"200 OK"),
        (b"GET /healthz?from=here HTTP/1.0", b"200 OK"),
        (b"POST /metrics HTTP/1.1", b"405 Method Not Allowed"),
        (b"GET / HTTP/1.1", b"404 Not Found"),
        (b"nonsense", b"404 Not Found"),
    ],
)
async def test_the_ops_port_serves_only_its_pages(ops_port: int, request_line: bytes, status: bytes) -> None:
    response = await exchange(ops_port, request_line + b"\r\nHost: ops\r\n\r\n")
    head, _, body = response.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 " + status + b"\r\n")
    assert b"Content-Length: %d\r\n" % len(body) in head + b"\r\n"
    assert b"Connection: close" in head


async def test_the_head_of_a_page_has_its_length(ops_port: int) -> None:
    response = await exchange(ops_port, b"HEAD /healthz HTTP/1.1\r\n\r\n")
    assert b"Content-Length: 0" not in response
    assert response.endswith(b"\r\n\r\n")


async def test_an_endless_head_is_dropped(ops_port: int) -> None:
    """And a connection that sends nothing ends with the process: the fixture waits for no client."""
    _, silent = await asyncio.open_connection(LOOPBACK, ops_port)
    with pytest.raises(ConnectionError):
        await exchange(ops_port, b"GET /" + b"a" * 1_000_000)
    silent.close()
