"""The ops port: who is not open yet, or not any more, is not ready, though NATS and the store are there."""

import aiohttp
from nats.aio.client import Client

from infra.foundation.settings import Settings
from infra.foundation.telemetry import Metrics
from infra.messaging.connection import ConnectionMonitor
from infra.ops.devstack.free_ports import LOOPBACK, Ports
from infra.runtime import health as ops


async def test_who_takes_no_requests_is_not_ready(kernel_client: Client) -> None:
    port = Ports().take(0, "the ops port", "nothing")
    settings = Settings.model_construct(ops_host=LOOPBACK, ops_port=port)
    metrics = Metrics()
    readiness = ops.Readiness(kernel_client, {}, ConnectionMonitor(metrics))

    async def asked(path: str) -> int:
        async with session.get(f"http://{LOOPBACK}:{port}{path}") as answer:
            return answer.status

    async with ops.serve_health(settings, readiness, metrics), aiohttp.ClientSession() as session:
        assert (await asked("/healthz"), await asked("/readyz")) == (200, 503)
        with readiness.accepting():
            assert await asked("/readyz") == 200
        assert await asked("/readyz") == 503
