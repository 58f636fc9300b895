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
from infra.messaging.connection import Watch

PATIENCE = 2.0


class Readiness:
    """Asks NATS and the stores, each within two seconds."""

    def __init__(self, client: Client, stores: Mapping[str, Callable[[], Awaitable[None]]], watch: Watch) -> None:
        self.client = client
        self.checks = stores
        self.watch = watch
        self.is_open = False
        """Whether it takes requests: not before everything is there to take them, and not once it ends."""

    @contextmanager
    def open(self) -> Iterator[None]:
        """Inside, it takes requests."""
        self.is_open = True
        try:
            yield
        finally:
            self.is_open = False

    async def stores(self) -> dict[str, str]:
        """What became of the round trip to each store: `ok`, or the kind of trouble."""
        checks = {"nats": self._nats, **self.checks}
        found = await asyncio.gather(*(_tried(check) for check in checks.values()))
        return dict(zip(checks, found, strict=True))

    async def _nats(self) -> None:
        if self.watch.denied:
            raise PermissionError
        await self.client.rtt()


async def _tried(check: Callable[[], Awaitable[None]]) -> str:
    try:
        async with asyncio.timeout(PATIENCE):
            await check()
    except Exception as error:  # noqa: BLE001 - whatever it is, the answer is that it is not ready
        return type(error).__name__
    return "ok"


@asynccontextmanager
async def serving(settings: Settings, readiness: Readiness, metrics: Metrics) -> AsyncIterator[None]:
    """`/healthz`, `/readyz` and `/metrics` on the ops port."""
    started = time.time()

    async def healthz(_request: web.Request) -> web.Response:
        return web.json_response({"status": "ok", "uptime": round(time.time() - started, 1)})

    async def readyz(_request: web.Request) -> web.Response:
        stores = await readiness.stores()
        ready = readiness.is_open and set(stores.values()) <= {"ok"}
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
