"""A real Nginx with Souk's configuration, in front of a fake edge that records its requests."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web
from yarl import URL

from infra.ops.devstack.free_ports import LOOPBACK, PortPicker
from infra.ops.devstack.nginx_config import render_nginx_config
from infra.ops.devstack.readiness_probes import accepts_connections
from infra.ops.devstack.server_binaries import ServerFinder
from tests.support.eventually import eventually
from tests.support.http import HttpResponse


@dataclass
class FakeEdge:
    """Answers like an edge, as a test sets it."""

    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    status: int = 200
    body: bytes | None = None
    release: asyncio.Event | None = None
    drops_connections: bool = False
    breaks_off: asyncio.Event | None = None
    """When to break off a response that has begun."""

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        received = {
            "method": request.method,
            "target": request.raw_path,
            "headers": {name.lower(): value for name, value in request.headers.items()},
            "bytes": len(await request.read()),
        }
        self.requests.append(received)
        if self.drops_connections:
            assert request.transport is not None
            request.transport.abort()
        if self.release is not None:
            await self.release.wait()
        headers = {
            "Content-Type": "application/json",
            "X-Request-Id": request.headers.get("X-Request-Id", ""),
            **self.headers,
        }
        if self.breaks_off is not None:
            response = web.StreamResponse(headers=headers)
            await response.prepare(request)
            await response.write(self.body or b"")
            await self.breaks_off.wait()
            assert request.transport is not None
            request.transport.abort()
            return response
        return web.Response(body=self.body or orjson.dumps(received), status=self.status, headers=headers)


@dataclass
class NginxUnderTest:
    """A running Nginx and its fake edge."""

    url: str
    port: int
    upstream: FakeEdge
    session: aiohttp.ClientSession
    config: Path

    async def __call__(self, method: str, path: str, **how: Any) -> HttpResponse:
        target = URL(self.url + path, encoded=True)
        async with self.session.request(method, target, allow_redirects=False, **how) as response:
            return HttpResponse(response.status, response.headers, await response.read())

    async def raw(self, request: bytes) -> bytes:
        """Sends bytes and returns the response up to the end of the connection."""
        reader, writer = await asyncio.open_connection(LOOPBACK, self.port)
        try:
            writer.write(request)
            async with asyncio.timeout(5):
                return await reader.read()
        finally:
            writer.close()


OpenNginx = Callable[..., Awaitable[NginxUnderTest]]


@asynccontextmanager
async def _upstream(port: int) -> AsyncIterator[FakeEdge]:
    upstream = FakeEdge()

    def request_factory(*parts: Any) -> web.BaseRequest:
        return web.BaseRequest(*parts, asyncio.get_running_loop(), client_max_size=100 * 1024**2)

    server = web.Server(upstream.handle, request_factory=request_factory, access_log=None)
    runner = web.ServerRunner(server, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, port).start()
    try:
        yield upstream
    finally:
        await runner.cleanup()


@asynccontextmanager
async def _nginx(config: Path, port: int) -> AsyncIterator[None]:
    binary = str(ServerFinder().nginx().binary)
    arguments = ("-p", str(config.parent), "-c", str(config), "-e", "stderr")
    process = await asyncio.create_subprocess_exec(binary, *arguments, stderr=asyncio.subprocess.DEVNULL)
    try:
        await eventually(lambda: accepts_connections(port))
        yield
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


@pytest.fixture
async def open_front() -> AsyncIterator[OpenNginx]:
    """Opens an Nginx with the settings of a test; with `edge=False` no edge listens.

    `gone` is the number of further edges that do not listen; `twice` lists the fake edge under two addresses.
    """
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="souk nginx ")))
        session = await stack.enter_async_context(
            aiohttp.ClientSession(auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar())
        )

        async def opened(*, edge: bool = True, gone: int = 0, twice: bool = False, **how: Any) -> NginxUnderTest:
            ports = stack.enter_context(PortPicker())
            port, edge_port = (ports.reserve(0, "a test", "nothing") for _ in range(2))
            config = folder / "nginx.conf"
            edges = [
                f"{LOOPBACK}:{edge_port}",
                *(f"{LOOPBACK}:{ports.reserve(0, 'a test', 'nothing')}" for _ in range(gone)),
            ]
            edges += [f"localhost:{edge_port}"] if twice else []
            config.write_text(render_nginx_config(http_port=port, edges=edges, run_dir=folder, **how))
            upstream = await stack.enter_async_context(_upstream(edge_port)) if edge else FakeEdge()
            await stack.enter_async_context(_nginx(config, how["tls"].port if how.get("tls") else port))
            upstream.requests.clear()
            return NginxUnderTest(f"http://{LOOPBACK}:{port}", port, upstream, session, config)

        yield opened


@pytest.fixture
async def front(open_front: OpenNginx) -> NginxUnderTest:
    """Nginx without limits and with its cache."""
    return await open_front(limits=False)
