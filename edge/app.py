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
from edge.auth.api_keys import ApiKeys
from edge.auth.revocations import Ended
from edge.auth.tokens import Keys, Tokens
from edge.endpoint import Desk, Endpoint
from edge.gateway import End, Gateway
from edge.listener import listening
from edge.openapi.docs_site import documents
from edge.ratelimit.limiter import Limits
from edge.ratelimit.sync import EVERY, Tally
from edge.settings import EdgeSettings
from edge.status_pages import Pages
from edge.uploads import Uploads
from edge.upstream.circuit_breaker import Circuits
from edge.upstream.client import Lines
from edge.upstream.load_shedding import Admission
from infra.foundation import failpoints as crash
from infra.foundation.background import Worker
from infra.foundation.settings import load
from infra.foundation.telemetry import Metrics, log_to_stderr, tracer_to
from infra.messaging import connection as messaging
from infra.messaging.rpc import Asker
from infra.runtime import health as ops
from infra.runtime.service import settle_memory

KEYS_TIMEOUT = 3.0

log = logging.getLogger("souk.edge")


@asynccontextmanager
async def running(settings: EdgeSettings, watch: messaging.Watch) -> AsyncIterator[int]:
    """The edge at work, and the port it listens on. At the end it finishes what it has begun."""
    metrics = watch.metrics
    tracer, provider = tracer_to(settings.otlp_endpoint, EDGE)
    async with AsyncExitStack() as stack:
        if provider is not None:
            stack.callback(provider.shutdown)
        password = settings.nats_password.get_secret_value()
        # Nothing waits for NATS to come back: a request during an outage fails at once.
        connecting = messaging.connect(settings.nats_url, EDGE, password, watch, pending_size=0)
        client = await stack.enter_async_context(connecting)
        readiness = ops.Readiness(client, {}, watch)
        await stack.enter_async_context(ops.serving(settings, readiness, metrics))
        ended = Ended(client)
        await ended.join()
        limits = Limits(settings, metrics.registry)
        await stack.enter_async_context(_tallying(client, limits))
        ends = _ends(settings, client, ended, limits, readiness, metrics)
        gateway = Gateway(settings, ends, metrics, tracer)
        port = await stack.enter_async_context(listening(settings, gateway))
        stack.enter_context(readiness.open())
        yield port


@asynccontextmanager
async def _tallying(client: Client, limits: Limits) -> AsyncIterator[None]:
    """Inside, the other edges are told what is counted here."""
    tally = Tally(client, limits)
    await tally.join()
    telling = asyncio.create_task(Worker("tally", tally.tell, every=EVERY).run())
    try:
        yield
    finally:
        telling.cancel()


def _ends(
    settings: EdgeSettings,
    client: Client,
    ended: Ended,
    limits: Limits,
    readiness: ops.Readiness,
    metrics: Metrics,
) -> Iterator[tuple[str, str, End]]:
    """Everything that can be asked for, by method and path."""
    asker = Asker(client, settings.edge_timeout)
    circuits = Circuits(settings, asker, metrics.registry)
    quick = Asker(client, KEYS_TIMEOUT)

    async def fetch_keys() -> user.Jwks:
        return await quick.ask(user.JWKS, Empty())

    admission = Admission(settings, metrics.registry)
    lines = Lines(settings, asker, circuits)
    tokens = Tokens(Keys(fetch_keys), ended=ended, of_key=ApiKeys(lines).caller)
    desk = Desk(settings, lines, admission, limits, tokens, Uploads(client))
    for path, route in routes.every():
        yield route.method, path, Endpoint(path, route, desk)
    yield from Pages(asker, circuits, readiness, metrics, settings.edge_metrics_networks, documents()).ends()


async def until_signal(settings: EdgeSettings) -> int:
    """Exit code 1 when NATS has closed the connection for good."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    watch = messaging.Watch(Metrics())
    async with running(settings, watch) as port:
        settle_memory()
        log.info("ready", extra={"fields": {"pid": os.getpid(), "port": port}})
        ends = [asyncio.create_task(stop.wait()), asyncio.create_task(watch.closed.wait())]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()
        log.info("stopping")
    return 0 if stop.is_set() else 1


def main() -> None:
    settings = load(EdgeSettings)
    log_to_stderr(EDGE, settings.log_level)
    crash.arm(settings.crash_folder)
    raise SystemExit(uvloop.run(until_signal(settings)))


if __name__ == "__main__":
    main()
