"""The ops port of a process: liveness, readiness and metrics.

A process is live if its event loop runs. It is ready if it accepts requests, NATS and every store answer a round trip,
and NATS has denied it no subject.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager

from aiohttp import web
from nats.aio.client import Client
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from infra.foundation.settings import Settings
from infra.foundation.telemetry import Metrics
from infra.messaging.connection import ConnectionMonitor

CHECK_TIMEOUT_SECONDS = 2.0
"""Seconds that NATS and each store have to answer a check."""


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


@asynccontextmanager
async def serve_health(settings: Settings, readiness: Readiness, metrics: Metrics) -> AsyncIterator[None]:
    """Serves `/healthz`, `/readyz` and `/metrics` on the ops port while the block is open."""
    started_at = time.monotonic()

    async def healthz(_request: web.Request) -> web.Response:
        return web.json_response({"status": "ok", "uptime": round(time.monotonic() - started_at, 1)})

    async def readyz(_request: web.Request) -> web.Response:
        stores = await readiness.check_all()
        ready = readiness.is_accepting and set(stores.values()) <= {"ok"}
        return web.json_response({"ready": ready, "stores": stores}, status=200 if ready else 503)

    async def show_metrics(_request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", show_metrics)])
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    site = web.TCPSite(runner, settings.ops_host, settings.ops_port)
    await site.start()
    try:
        yield
    finally:
        await runner.cleanup()
