"""The ops port of a process: liveness, readiness and metrics.

A process is live if its event loop runs. It is ready if it accepts requests, NATS and every store answer a round trip,
and NATS has denied it no subject.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from http import HTTPStatus

import orjson
from nats.aio.client import Client
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from infra.foundation.settings import Settings
from infra.foundation.telemetry import Metrics
from infra.messaging.connection import ConnectionMonitor

CHECK_TIMEOUT_SECONDS = 2.0
"""Seconds that NATS and each store have to answer a check."""
CLIENT_TIMEOUT_SECONDS = 10.0
"""Seconds that a client of the ops port has to send its request and read the response."""


class Readiness:
    """Checks whether a process is ready, by a round trip to NATS and to each store."""

    def __init__(
        self, client: Client, store_checks: Mapping[str, Callable[[], Awaitable[None]]], monitor: ConnectionMonitor
    ) -> None:
        self.client = client
        self.store_checks = store_checks
        self.monitor = monitor
        self.is_accepting = False
        """Whether the process accepts requests: from the end of its start until its shutdown begins."""

    @contextmanager
    def accepting(self) -> Iterator[None]:
        """Marks the process as accepting requests while the block is open."""
        self.is_accepting = True
        try:
            yield
        finally:
            self.is_accepting = False

    async def check_all(self) -> dict[str, str]:
        """Returns the result of each check: `ok`, or the name of the error."""
        checks = {"nats": self._check_nats, **self.store_checks}
        results = await asyncio.gather(*(_run_check(check) for check in checks.values()))
        return dict(zip(checks, results, strict=True))

    async def _check_nats(self) -> None:
        if self.monitor.denied_subjects:
            raise PermissionError
        await self.client.rtt()


async def _run_check(check: Callable[[], Awaitable[None]]) -> str:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_SECONDS):
            await check()
    except Exception as error:  # noqa: BLE001 - any error means not ready
        return type(error).__name__
    return "ok"


@dataclass(frozen=True)
class OpsResponse:
    """A response of the ops port."""

    body: bytes
    status: HTTPStatus = HTTPStatus.OK
    content_type: str = "application/json; charset=utf-8"

    def encode(self, *, with_body: bool) -> bytes:
        """Returns the response as HTTP/1.1. The connection ends with it."""
        head = (
            f"HTTP/1.1 {self.status.value} {self.status.phrase}\r\n"
            f"Content-Type: {self.content_type}\r\n"
            f"Content-Length: {len(self.body)}\r\n"
            "Connection: close\r\n\r\n"
        )
        return head.encode() + (self.body if with_body else b"")


OpsPage = Callable[[], Awaitable[OpsResponse]]


@asynccontextmanager
async def serve_health(settings: Settings, readiness: Readiness, metrics: Metrics) -> AsyncIterator[None]:
    """Serves `/healthz`, `/readyz` and `/metrics` on the ops port while the block is open.

    It writes these few responses by hand: aiohttp costs a process 0.1 s and 10 MB, and a service needs it for nothing
    else.
    """
    started_at = time.monotonic()

    async def healthz() -> OpsResponse:
        return OpsResponse(orjson.dumps({"status": "ok", "uptime": round(time.monotonic() - started_at, 1)}))

    async def readyz() -> OpsResponse:
        stores = await readiness.check_all()
        ready = readiness.is_accepting and set(stores.values()) <= {"ok"}
        body = orjson.dumps({"ready": ready, "stores": stores})
        return OpsResponse(body, HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE)

    async def show_metrics() -> OpsResponse:
        return OpsResponse(generate_latest(metrics.registry), content_type=CONTENT_TYPE_LATEST)

    pages = {"/healthz": healthz, "/readyz": readyz, "/metrics": show_metrics}
    async with _serving(pages, settings.ops_host, settings.ops_port):
        yield


@asynccontextmanager
async def _serving(pages: Mapping[str, OpsPage], host: str, port: int) -> AsyncIterator[None]:
    """Listens while the block is open; at its end, drops the connections that are left."""
    connections: set[asyncio.Task[None]] = set()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(CLIENT_TIMEOUT_SECONDS):
                writer.write(await _respond(pages, await reader.readuntil(b"\r\n\r\n")))
                await writer.drain()
        except (OSError, EOFError, asyncio.LimitOverrunError):  # a timeout is an OSError too
            writer.transport.abort()
        finally:
            writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(converse(reader, writer))
        connections.add(task)
        task.add_done_callback(connections.discard)

    server = await asyncio.start_server(accept, host, port)
    try:
        yield
    finally:
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


async def _respond(pages: Mapping[str, OpsPage], head: bytes) -> bytes:
    """Returns the response to the head of a request."""
    method, _, rest = head.decode("latin-1").partition(" ")
    page = pages.get(rest.split(" ", 1)[0].partition("?")[0])
    if page is None:
        return OpsResponse(b"", HTTPStatus.NOT_FOUND).encode(with_body=True)
    if method not in {"GET", "HEAD"}:
        return OpsResponse(b"", HTTPStatus.METHOD_NOT_ALLOWED).encode(with_body=True)
    return (await page()).encode(with_body=method == "GET")
