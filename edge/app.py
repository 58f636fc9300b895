"""The edge: turns HTTP requests into requests to the services over NATS. Run it as `python -m edge.app`."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

from nats.aio.client import Client

from contracts import order, user
from contracts.model import Empty
from contracts.operation import EDGE
from edge.auth.api_keys import ApiKeyAuthenticator
from edge.auth.authenticator import Authenticator, JwksCache
from edge.auth.revocations import RevokedSessions
from edge.event_stream_route_handler import EventStreamEndpoint
from edge.event_streams.open_event_streams import OpenEventStreams
from edge.event_streams.order_status_reader import OrderStatusReader
from edge.gateway import ApiGateway, RouteHandler
from edge.listener import serve_http
from edge.openapi.docs_site import documentation_pages
from edge.ratelimit.limiter import RateLimiter
from edge.ratelimit.sync import CounterSync
from edge.route_handler import Endpoint, EndpointDeps
from edge.routes import all_routes
from edge.settings import EdgeSettings
from edge.status_pages import StatusPages
from edge.uploads import UploadStore
from edge.upstream.circuit_breaker import CircuitBreakers
from edge.upstream.client import UpstreamClient
from edge.upstream.load_shedding import LoadShedder
from edge.upstream.reply_cache import ReplyCache
from infra.foundation.telemetry import Metrics, exporting_spans
from infra.messaging.connection import ConnectionMonitor, connect
from infra.messaging.rpc_client import RpcClient
from infra.runtime.health import Readiness, serve_health
from infra.runtime.process_lifecycle import run_process

JWKS_TIMEOUT_SECONDS = 3.0


@asynccontextmanager
async def serve_edge(settings: EdgeSettings, monitor: ConnectionMonitor) -> AsyncIterator[int]:
    """Runs the edge within the block and yields its port. At the end it finishes the requests it has accepted."""
    metrics = monitor.metrics
    async with AsyncExitStack() as stack:
        stack.enter_context(exporting_spans(settings.otlp_endpoint, EDGE))
        password = settings.nats_password.get_secret_value()
        # No buffer for the time without a connection: a request during an outage of NATS fails at once.
        connecting = connect(settings.nats_url, EDGE, password, monitor, pending_size=0)
        client = await stack.enter_async_context(connecting)
        readiness = Readiness(client, {}, monitor)
        await stack.enter_async_context(serve_health(settings, readiness, metrics))
        revoked_sessions = RevokedSessions(client)
        await revoked_sessions.subscribe()
        rate_limiter = RateLimiter(settings, metrics.registry)
        await stack.enter_async_context(_sharing_counts(client, rate_limiter, password))
        streams = OpenEventStreams(client, revoked_sessions, metrics.registry)
        stack.push_async_callback(streams.close)
        handlers = _handlers(settings, client, revoked_sessions, rate_limiter, streams, readiness, metrics)
        gateway = ApiGateway(settings, handlers, metrics)
        port = await stack.enter_async_context(serve_http(settings, gateway))
        stack.callback(streams.stop)  # before the server waits for its connections to close
        stack.enter_context(readiness.accepting())
        yield port


@asynccontextmanager
async def _sharing_counts(client: Client, rate_limiter: RateLimiter, password: str) -> AsyncIterator[None]:
    """Shares rate limit counts with the other edges within the block."""
    sync = CounterSync(client, rate_limiter, password)
    await sync.subscribe()
    publishing = asyncio.create_task(sync.run())
    try:
        yield
    finally:
        publishing.cancel()


def _handlers(
    settings: EdgeSettings,
    client: Client,
    revoked_sessions: RevokedSessions,
    rate_limiter: RateLimiter,
    streams: OpenEventStreams,
    readiness: Readiness,
    metrics: Metrics,
) -> Iterator[tuple[str, str, RouteHandler]]:
    """Yields the method, path and handler of every route and page."""
    rpc = RpcClient(client, settings.edge_timeout)
    circuit_breakers = CircuitBreakers(settings, rpc, metrics.registry)
    upstream = UpstreamClient(settings, rpc, circuit_breakers)
    authenticator = Authenticator(
        JwksCache(_jwks_fetcher(client)),
        revoked_sessions=revoked_sessions,
        authenticate_api_key=ApiKeyAuthenticator(upstream).authenticate,
    )
    load_shedder = LoadShedder(settings, metrics.registry)
    cache = ReplyCache(settings, metrics.registry)
    deps = EndpointDeps(settings, upstream, cache, load_shedder, rate_limiter, authenticator, UploadStore(client))
    for path, route in all_routes():
        if route.operation is order.FOLLOW:
            yield route.method, path, EventStreamEndpoint(path, route, deps, streams, OrderStatusReader(client))
        else:
            yield route.method, path, Endpoint(path, route, deps)
    networks, documents = settings.edge_metrics_networks, documentation_pages()
    yield from StatusPages(rpc, circuit_breakers, readiness, metrics, networks, documents).handlers()


def _jwks_fetcher(client: Client) -> Callable[[], Awaitable[user.Jwks]]:
    rpc = RpcClient(client, JWKS_TIMEOUT_SECONDS)

    async def fetch() -> user.Jwks:
        return await rpc.request(user.JWKS, Empty())

    return fetch


def main() -> None:
    """Runs the edge."""
    run_process(EDGE, EdgeSettings, serve_edge)


if __name__ == "__main__":
    main()
