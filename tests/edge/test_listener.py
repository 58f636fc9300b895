"""How an edge shuts down: established connections are served, and told to close."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from edge.app import serve_edge
from edge.settings import EdgeSettings
from infra.foundation.telemetry import Metrics
from infra.messaging.connection import ConnectionMonitor
from infra.ops.devstack.stack import Stack
from tests.edge.conftest import StubServices
from tests.support.eventually import eventually

GET = b"GET /api/v1/products/brass-lamp HTTP/1.1\r\nHost: x\r\n\r\n"


class KeepAliveConnection:
    """An HTTP connection that stays open between requests."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def get(self) -> bytes:
        self.writer.write(GET)
        async with asyncio.timeout(5):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            return head + await self.reader.readexactly(length)

    async def is_closed_by_edge(self) -> bool:
        async with asyncio.timeout(5):
            return await self.reader.read() == b""


class StoppableEdge:
    """An edge that the test stops while connections are open."""

    def __init__(self) -> None:
        self.port = 0
        self.stop = asyncio.Event()
        self.running: asyncio.Task[None] | None = None
        self.connections: list[KeepAliveConnection] = []

    async def connect(self) -> KeepAliveConnection:
        self.connections.append(KeepAliveConnection(*await asyncio.open_connection("127.0.0.1", self.port)))
        return self.connections[-1]


@pytest.fixture
async def stoppable_edge(edge_nats: Stack, services: StubServices) -> AsyncIterator[StoppableEdge]:
    stoppable, serving = StoppableEdge(), asyncio.Event()

    async def run() -> None:
        settings = EdgeSettings(
            _env_file=None,
            nats_url=edge_nats.nats_url,
            nats_password=edge_nats.nats_password("edge"),
            edge_port=0,
            edge_linger=2.0,
        )
        async with serve_edge(settings, ConnectionMonitor(Metrics())) as stoppable.port:
            serving.set()
            await stoppable.stop.wait()

    stoppable.running = asyncio.create_task(run())
    await serving.wait()
    yield stoppable
    stoppable.stop.set()
    await stoppable.running
    for connection in stoppable.connections:
        connection.writer.close()
        await connection.writer.wait_closed()


@asynccontextmanager
async def when_refusing(port: int) -> AsyncIterator[None]:
    """Enters the block once the port refuses new connections."""

    async def refused() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            return True
        writer.close()
        return False

    await eventually(refused)
    yield


async def test_an_idle_connection_is_served_once_more_and_then_closed(stoppable_edge: StoppableEdge) -> None:
    connection = await stoppable_edge.connect()
    assert b"connection: close" not in (await connection.get()).lower()
    stoppable_edge.stop.set()
    async with when_refusing(stoppable_edge.port):
        last = await connection.get()
    assert last.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" in last.lower()
    assert await connection.is_closed_by_edge()


async def test_pending_connections_are_served(stoppable_edge: StoppableEdge) -> None:
    """The connections are established, but the edge has not accepted them when it is stopped."""
    assert b"200 OK" in await (await stoppable_edge.connect()).get()
    connecting = [asyncio.create_task(stoppable_edge.connect()) for _ in range(50)]
    stoppable_edge.stop.set()
    results = await asyncio.gather(*connecting, return_exceptions=True)
    connections = [result for result in results if isinstance(result, KeepAliveConnection)]
    responses = await asyncio.gather(*(connection.get() for connection in connections))
    assert all(response.startswith(b"HTTP/1.1 200 ") for response in responses)


async def test_stops_at_once_without_connections(stoppable_edge: StoppableEdge) -> None:
    assert stoppable_edge.running is not None
    stoppable_edge.stop.set()
    async with asyncio.timeout(1.5):
        await stoppable_edge.running
