"""Nginx itself, as configured, in front of a small upstream that says what reached it."""

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

from infra.ops.devstack.free_ports import LOOPBACK, Ports
from infra.ops.devstack.nginx_config import render
from infra.ops.devstack.readiness_probes import listens
from infra.ops.devstack.server_binaries import Search
from tests.support.eventually import eventually
from tests.support.http import HttpResponse


@dataclass
class Upstream:
    """Answers like an edge; a test sets how."""

    seen: list[dict[str, Any]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    status: int = 200
    body: bytes | None = None
    hold: asyncio.Event | None = None
    dies: bool = False

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        said = {
            "method": request.method,
            "target": request.raw_path,
            "headers": {name.lower(): value for name, value in request.headers.items()},
            "bytes": len(await request.read()),
        }
        self.seen.append(said)
        if self.dies:
            assert request.transport is not None
            request.transport.abort()
        if self.hold is not None:
            await self.hold.wait()
        headers = {
            "Content-Type": "application/json",
            "X-Request-Id": request.headers.get("X-Request-Id", ""),
            **self.headers,
        }
        return web.Response(body=self.body or orjson.dumps(said), status=self.status, headers=headers)


@dataclass
class Front:
    """Nginx, and what stands behind it."""

    url: str
    port: int
    upstream: Upstream
    session: aiohttp.ClientSession
    config: Path

    async def __call__(self, method: str, path: str, **how: Any) -> HttpResponse:
        target = URL(self.url + path, encoded=True)
        async with self.session.request(method, target, allow_redirects=False, **how) as response:
            return HttpResponse(response.status, response.headers, await response.read())

    async def raw(self, request: bytes) -> bytes:
        """What comes back for these bytes, up to the end of the connection."""
        reader, writer = await asyncio.open_connection(LOOPBACK, self.port)
        try:
            writer.write(request)
            async with asyncio.timeout(5):
                return await reader.read()
        finally:
            writer.close()


Open = Callable[..., Awaitable[Front]]


@asynccontextmanager
async def _upstream(port: int) -> AsyncIterator[Upstream]:
    upstream = Upstream()

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
    binary = str(Search().nginx().binary)
    arguments = ("-p", str(config.parent), "-c", str(config), "-e", "stderr")
    process = await asyncio.create_subprocess_exec(binary, *arguments, stderr=asyncio.subprocess.DEVNULL)
    try:
        await eventually(lambda: listens(port))
        yield
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


@pytest.fixture
async def open_front() -> AsyncIterator[Open]:
    """Opens an Nginx rendered with what a test says; `edge=False` leaves nothing behind it.

    `gone` edges do not listen; `twice` names the one that does by two addresses.
    """
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="souk nginx ")))
        session = await stack.enter_async_context(
            aiohttp.ClientSession(auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar())
        )

        async def opened(*, edge: bool = True, gone: int = 0, twice: bool = False, **how: Any) -> Front:
            ports = Ports()
            port, behind = (ports.take(0, "a test", "nothing") for _ in range(2))
            config = folder / "nginx.conf"
            edges = [f"{LOOPBACK}:{behind}", *(f"{LOOPBACK}:{ports.take(0, 'a test', 'nothing')}" for _ in range(gone))]
            edges += [f"localhost:{behind}"] if twice else []
            config.write_text(render(http_port=port, edges=edges, run_dir=folder, **how))
            upstream = await stack.enter_async_context(_upstream(behind)) if edge else Upstream()
            await stack.enter_async_context(_nginx(config, how["tls"].port if how.get("tls") else port))
            upstream.seen.clear()
            return Front(f"http://{LOOPBACK}:{port}", port, upstream, session, config)

        yield opened


@pytest.fixture
async def front(open_front: Open) -> Front:
    """Without limits, with its cache."""
    return await open_front(limits=False)
