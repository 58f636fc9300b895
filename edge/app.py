"""The edge: HTTP in, asks out. Run as `python -m edge.app`."""

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import uvloop
from nats.aio.client import Client

from contracts import user
from contracts.model import Empty
from contracts.operation import EDGE
from edge import routes
from edge.auth.api_keys import ApiKeyAuthenticator
from edge.auth.revocations import RevokedSessions
from edge.auth.tokens import Authenticator, JwksCache
from edge.endpoint import Endpoint, EndpointDeps
from edge.gateway import ApiGateway, RouteHandler
from edge.listener import serve_http
from edge.openapi.docs_site import documentation_pages
from edge.ratelimit.limiter import RateLimiter
from edge.ratelimit.sync import SYNC_INTERVAL_SECONDS, CounterSync
from edge.settings import EdgeSettings
from edge.status_pages import StatusPages
from edge.uploads import UploadStore
from edge.upstream.circuit_breaker import CircuitBreakers
from edge.upstream.client import UpstreamClient
from edge.upstream.load_shedding import LoadShedder
from infra.foundation import failpoints as crash
from infra.foundation.background import PeriodicTask
from infra.foundation.settings import load_settings
from infra.foundation.telemetry import Metrics, build_tracer, configure_logging
from infra.messaging import connection as messaging
from infra.messaging.rpc import RpcClient
from infra.runtime import health as ops
from infra.runtime.service import tune_gc

JWKS_TIMEOUT_SECONDS = 3.0

log = logging.getLogger("souk.edge")


@asynccontextmanager
async def serve_edge(settings: EdgeSettings, monitor: messaging.ConnectionMonitor) -> AsyncIterator[int]:
    """The edge at work, and the port it listens on. At the end it finishes what it has begun."""
    metrics = monitor.metrics
    tracer, provider = build_tracer(settings.otlp_endpoint, EDGE)
    async with AsyncExitStack() as stack:
        if provider is not None:
            stack.callback(provider.shutdown)
        password = settings.nats_password.get_secret_value()
        # Nothing waits for NATS to come back: a request during an outage fails at once.
        connecting = messaging.connect(settings.nats_url, EDGE, password, monitor, pending_size=0)
        client = await stack.enter_async_context(connecting)
        readiness = ops.Readiness(client, {}, monitor)
        await stack.enter_async_context(ops.serve_health(settings, readiness, metrics))
        ended = RevokedSessions(client)
        await ended.subscribe()
        limits = RateLimiter(settings, metrics.registry)
        await stack.enter_async_context(_tallying(client, limits))
        ends = _ends(settings, client, ended, limits, readiness, metrics)
        gateway = ApiGateway(settings, ends, metrics, tracer)
        port = await stack.enter_async_context(serve_http(settings, gateway))
        stack.enter_context(readiness.accepting())
        yield port


@asynccontextmanager
async def _tallying(client: Client, limits: RateLimiter) -> AsyncIterator[None]:
    """Inside, the other edges are told what is counted here."""
    tally = CounterSync(client, limits)
    await tally.subscribe()
    telling = asyncio.create_task(PeriodicTask("tally", tally.publish, interval_seconds=SYNC_INTERVAL_SECONDS).run())
    try:
        yield
    finally:
        telling.cancel()


def _ends(
    settings: EdgeSettings,
    client: Client,
    ended: RevokedSessions,
    limits: RateLimiter,
    readiness: ops.Readiness,
    metrics: Metrics,
) -> Iterator[tuple[str, str, RouteHandler]]:
    """Everything that can be asked for, by method and path."""
    asker = RpcClient(client, settings.edge_timeout)
    circuits = CircuitBreakers(settings, asker, metrics.registry)
    quick = RpcClient(client, JWKS_TIMEOUT_SECONDS)

    async def fetch_keys() -> user.Jwks:
        return await quick.request(user.JWKS, Empty())

    admission = LoadShedder(settings, metrics.registry)
    lines = UpstreamClient(settings, asker, circuits)
    tokens = Authenticator(
        JwksCache(fetch_keys), revoked_sessions=ended, authenticate_api_key=ApiKeyAuthenticator(lines).authenticate
    )
    desk = EndpointDeps(settings, lines, admission, limits, tokens, UploadStore(client))
    for path, route in routes.all_routes():
        yield route.method, path, Endpoint(path, route, desk)
    yield from StatusPages(
        asker, circuits, readiness, metrics, settings.edge_metrics_networks, documentation_pages()
    ).handlers()


async def run_until_signal(settings: EdgeSettings) -> int:
    """Exit code 1 when NATS has closed the connection for good."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    watch = messaging.ConnectionMonitor(Metrics())
    async with serve_edge(settings, watch) as port:
        tune_gc()
        log.info("ready", extra={"fields": {"pid": os.getpid(), "port": port}})
        ends = [asyncio.create_task(stop.wait()), asyncio.create_task(watch.closed.wait())]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()
        log.info("stopping")
    return 0 if stop.is_set() else 1


def main() -> None:
    settings = load_settings(EdgeSettings)
    configure_logging(EDGE, settings.log_level)
    crash.enable(settings.crash_folder)
    raise SystemExit(uvloop.run(run_until_signal(settings)))


if __name__ == "__main__":
    main()
