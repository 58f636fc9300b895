"""The ops port: a process that does not accept requests is live but not ready."""

import aiohttp
from nats.aio.client import Client

from infra.foundation.settings import Settings
from infra.foundation.telemetry import Metrics
from infra.messaging.connection import ConnectionMonitor
from infra.ops.devstack.free_ports import LOOPBACK, PortPicker
from infra.runtime.health import Readiness, serve_health


async def test_process_that_accepts_no_requests_is_not_ready(kernel_client: Client) -> None:
    port = PortPicker().reserve(0, "the ops port", "nothing")
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
