"""The end of an edge: who has connected is served, and told to go elsewhere."""

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


class Visitor:
    """A connection that is kept."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def get(self) -> bytes:
        self.writer.write(GET)
        async with asyncio.timeout(5):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            return head + await self.reader.readexactly(length)

    async def dismissed(self) -> bool:
        async with asyncio.timeout(5):
            return await self.reader.read() == b""


class Ending:
    """An edge that a test ends while it looks on."""

    def __init__(self) -> None:
        self.port = 0
        self.end = asyncio.Event()
        self.over: asyncio.Task[None] | None = None
        self.visitors: list[Visitor] = []

    async def visit(self) -> Visitor:
        self.visitors.append(Visitor(*await asyncio.open_connection("127.0.0.1", self.port)))
        return self.visitors[-1]


@pytest.fixture
async def ending(edge_nats: Stack, backs: StubServices) -> AsyncIterator[Ending]:
    found, serving = Ending(), asyncio.Event()

    async def life() -> None:
        settings = EdgeSettings(
            _env_file=None,
            nats_url=edge_nats.nats_url,
            nats_password=edge_nats.password("edge"),
            edge_port=0,
            edge_linger=2.0,
        )
        async with serve_edge(settings, ConnectionMonitor(Metrics())) as found.port:
            serving.set()
            await found.end.wait()

    found.over = asyncio.create_task(life())
    await serving.wait()
    yield found
    found.end.set()
    await found.over
    for visitor in found.visitors:
        visitor.writer.close()
        await visitor.writer.wait_closed()


@asynccontextmanager
async def refusing(port: int) -> AsyncIterator[None]:
    async def refused() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            return True
        writer.close()
        return False

    await eventually(refused)
    yield


async def test_a_kept_connection_is_served_once_more_and_closed_after_it(ending: Ending) -> None:
    visitor = await ending.visit()
    assert b"connection: close" not in (await visitor.get()).lower()
    ending.end.set()
    async with refusing(ending.port):
        last = await visitor.get()
    assert last.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" in last.lower()
    assert await visitor.dismissed()


async def test_who_waits_before_the_door_is_let_in(ending: Ending) -> None:
    """They have connected, but the edge has not looked yet when it is told to end."""
    assert b"200 OK" in await (await ending.visit()).get()
    coming = [asyncio.create_task(ending.visit()) for _ in range(50)]
    ending.end.set()
    visitors = [one for one in await asyncio.gather(*coming, return_exceptions=True) if isinstance(one, Visitor)]
    answers = await asyncio.gather(*(one.get() for one in visitors))
    assert all(one.startswith(b"HTTP/1.1 200 ") for one in answers)


async def test_ends_at_once_when_nobody_is_connected(ending: Ending) -> None:
    assert ending.over is not None
    ending.end.set()
    async with asyncio.timeout(1.5):
        await ending.over
