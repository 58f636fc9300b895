"""The ops port of a process: whether it lives, whether it is ready, and its figures.

Live means that the loop beats. Ready means that it takes requests, a round trip to NATS and to every store, and no
subject denied.
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


class Readiness:
    """Asks NATS and the stores, each within two seconds."""

    def __init__(
        self, client: Client, store_checks: Mapping[str, Callable[[], Awaitable[None]]], monitor: ConnectionMonitor
    ) -> None:
        self.client = client
        self.store_checks = store_checks
        self.monitor = monitor
        self.is_accepting = False
        """Whether it takes requests: not before everything is there to take them, and not once it ends."""

    @contextmanager
    def accepting(self) -> Iterator[None]:
        """Inside, it takes requests."""
        self.is_accepting = True
        try:
            yield
        finally:
            self.is_accepting = False

    async def check_all(self) -> dict[str, str]:
        """What became of the round trip to each store: `ok`, or the kind of trouble."""
        checks = {"nats": self._check_nats, **self.store_checks}
        found = await asyncio.gather(*(_run_check(check) for check in checks.values()))
        return dict(zip(checks, found, strict=True))

    async def _check_nats(self) -> None:
        if self.monitor.denied_subjects:
            raise PermissionError
        await self.client.rtt()


async def _run_check(check: Callable[[], Awaitable[None]]) -> str:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_SECONDS):
            await check()
    except Exception as error:  # noqa: BLE001 - whatever it is, the answer is that it is not ready
        return type(error).__name__
    return "ok"


@asynccontextmanager
async def serve_health(settings: Settings, readiness: Readiness, metrics: Metrics) -> AsyncIterator[None]:
    """`/healthz`, `/readyz` and `/metrics` on the ops port."""
    started = time.time()

    async def healthz(_request: web.Request) -> web.Response:
        return web.json_response({"status": "ok", "uptime": round(time.time() - started, 1)})

    async def readyz(_request: web.Request) -> web.Response:
        stores = await readiness.check_all()
        ready = readiness.is_accepting and set(stores.values()) <= {"ok"}
        return web.json_response({"ready": ready, "stores": stores}, status=200 if ready else 503)

    async def figures(_request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", figures)])
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    site = web.TCPSite(runner, settings.ops_host, settings.ops_port)
    await site.start()
    try:
        yield
    finally:
        await runner.cleanup()
