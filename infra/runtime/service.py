"""How a service process lives: settings, connections, asks and events until a signal, then a full drain."""

import asyncio
import gc
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import uvloop
from faststream.middlewares import AckPolicy
from faststream.nats import JStream, NatsBroker, NatsMessage
from nats.aio.client import Client
from nats.aio.msg import Msg
from opentelemetry.trace import Tracer

from contracts.event import Event
from contracts.health import ServiceHealth
from contracts.operation import AnyOperation
from contracts.registry import HEALTH, REDELIVER
from infra.foundation import failpoints as crash
from infra.foundation.background import BackgroundTask
from infra.foundation.settings import Settings, load_settings
from infra.foundation.telemetry import Metrics, build_tracer, configure_logging
from infra.messaging import connection as messaging
from infra.messaging import topology as streams
from infra.messaging.consumer import EventConsumer, EventHandler, Inbox
from infra.messaging.idempotency import IdempotencyStore
from infra.messaging.rpc import Request, RpcClient
from infra.messaging.rpc_server import Handler, RpcServer
from infra.runtime import health as ops
from infra.runtime.redelivery_handler import RedeliveryHandler

SettingsT = TypeVar("SettingsT", bound=Settings)
StoreT = TypeVar("StoreT", bound="Store")

GC_THRESHOLD = 20_000
"""New objects between two looks for cycles among them."""

log = logging.getLogger("souk.run")


class Store(IdempotencyStore, Inbox, Protocol):
    """What a service's store does for its messages; infra has one for PostgreSQL and one for MongoDB."""

    contention_errors: tuple[type[Exception], ...]
    """What it raises when others were in the way: worth another try, and no fault of the request."""

    async def ping(self) -> None: ...

    def is_transient(self, error: Exception) -> bool:
        """Whether the same ask may go well a moment later."""

    def handlers(self, service: str) -> Mapping[AnyOperation, Handler]:
        """What the store answers by itself."""

    def workers(self, service: str, client: Client, metrics: Metrics) -> Sequence[BackgroundTask]:
        """The store's own work in the background: relaying the outbox, forgetting what is old."""


@dataclass(frozen=True)
class Resources(Generic[SettingsT, StoreT]):
    """What a service is composed from."""

    settings: SettingsT
    store: StoreT
    rpc: RpcClient
    nats: Client
    metrics: Metrics


@dataclass(frozen=True)
class ServiceParts:
    """A service as its composition root furnishes it: what its handlers get, and what they answer, hear and do."""

    deps: Any  # each service's own, passed through to its handlers
    handlers: Mapping[AnyOperation, Handler]
    event_handlers: Mapping[type[Event], EventHandler] = field(default_factory=dict)
    workers: Sequence[BackgroundTask] = ()


@dataclass(frozen=True)
class ServiceDefinition(Generic[SettingsT, StoreT]):
    """A service's name, the settings it reads, the store it owns, and how it is composed."""

    name: str
    settings: type[SettingsT]
    connect: Callable[[SettingsT, str], AbstractAsyncContextManager[StoreT]]
    build: Callable[[Resources[SettingsT, StoreT]], ServiceParts]

    def main(self) -> None:
        """Runs the service until a signal. Exit code 1 when NATS has closed the connection for good."""
        settings = load_settings(self.settings)
        configure_logging(self.name, settings.log_level)
        crash.enable(settings.crash_folder)
        os.nice(settings.niceness)
        raise SystemExit(uvloop.run(self._until_signal(settings)))

    async def _until_signal(self, settings: SettingsT) -> int:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        watch = messaging.ConnectionMonitor(Metrics())
        async with self.serve(settings, watch):
            tune_gc()
            log.info("ready", extra={"fields": {"pid": os.getpid()}})
            ends = [asyncio.create_task(stop.wait()), asyncio.create_task(watch.closed.wait())]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for end in ends:
                end.cancel()
            log.info("stopping")
        return 0 if stop.is_set() else 1

    @asynccontextmanager
    async def serve(self, settings: SettingsT, monitor: messaging.ConnectionMonitor) -> AsyncIterator[None]:
        """The service at work, for as long as the block lasts."""
        metrics = monitor.metrics
        tracer, provider = build_tracer(settings.otlp_endpoint, self.name)
        async with AsyncExitStack() as stack:
            if provider is not None:
                stack.callback(provider.shutdown)
            store = await stack.enter_async_context(self.connect(settings, self.name))
            broker = messaging.build_broker(settings, self.name, monitor)
            client = await asyncio.wait_for(broker.connect(), messaging.CONNECT_TIMEOUT_SECONDS)
            stack.push_async_callback(client.close)
            await streams.require_provisioned(client, self.name)
            kit = Resources(settings, store, RpcClient(client, settings.ask_timeout), client, metrics)
            room = self.build(kit)
            health = ops.Readiness(client, {"store": store.ping}, monitor)
            await stack.enter_async_context(ops.serve_health(settings, health, metrics))
            mailbox = Subscriptions(self.name, broker, room, store, health, metrics, tracer, settings)
            await stack.enter_async_context(_run_tasks([*room.workers, *store.workers(self.name, client, metrics)]))
            await stack.enter_async_context(mailbox.active())
            await client.flush()  # the server knows of every subscription: whoever is ready is asked
            stack.enter_context(health.accepting())
            yield


def tune_gc() -> None:
    """Takes what was made at the start out of the garbage collector's rounds, and lets it go round less often.

    A service makes many short-lived objects and few cycles. By default, looking for them took a seventh of all CPU in a
    profile of the shop under load.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 50)


class Subscriptions:
    """The subscriptions of a service, and what stands behind them."""

    def __init__(
        self,
        service: str,
        broker: NatsBroker,
        parts: ServiceParts,
        store: Store,
        health: "ops.Readiness",
        metrics: Metrics,
        tracer: Tracer | None,
        settings: Settings,
    ) -> None:
        self.service = service
        self.broker = broker
        self.drain_timeout = settings.drain_timeout

        async def answer_health(_deps: object, _ask: Request[Any]) -> ServiceHealth:
            return ServiceHealth(stores=await health.check_all())

        self.rpc_server = RpcServer(
            parts.deps,
            {
                **parts.handlers,
                **store.handlers(service),
                HEALTH[service]: answer_health,
                **_redelivery_handlers(service, parts, store, tracer),
            },
            store,
            store.is_transient,
            metrics,
            max_in_flight=settings.max_in_flight,
            tracer=tracer,
        )
        js = broker.config.connection_state.stream
        self.consumers = {
            consumer: EventConsumer(
                service, parts.deps, parts.event_handlers, store, js, metrics, tracer, settings.pace
            )
            for consumer in streams.consumers_for(service)
        }

    @asynccontextmanager
    async def active(self) -> AsyncIterator[None]:
        """Answers and hears; at the end takes nothing new and finishes what it has."""
        self._subscribe()
        tasks = [asyncio.create_task(reactor.run()) for reactor in self.consumers.values()]
        self.rpc_server.arrival_clock.start()
        try:
            await self.broker.start()
            yield
        finally:
            await self._drain()
            self.rpc_server.arrival_clock.stop()
            for task in tasks:
                task.cancel()

    def _subscribe(self) -> None:
        async def take_ask(message: Msg) -> None:
            self.rpc_server.receive(message)

        self.broker.subscriber(f"rpc.{self.service}.*", queue=self.service, decoder=_raw_message, no_reply=True)(
            take_ask
        )
        for consumer, reactor in self.consumers.items():
            self._subscribe_to(consumer, reactor)

    def _subscribe_to(self, consumer: streams.Consumer, reactor: EventConsumer) -> None:
        async def take_event(message: Msg) -> None:
            reactor.receive(message)

        self.broker.subscriber(
            consumer.subjects[0],
            queue=self.service,
            stream=JStream(consumer.stream, declare=False),
            config=streams.consumer_config(consumer),
            ack_policy=AckPolicy.MANUAL,
            decoder=_raw_message,
            no_reply=True,
        )(take_event)

    async def _drain(self) -> None:
        """Every subscription first, then what is at work: FastStream's own stop would drop asks in flight."""
        try:
            async with asyncio.timeout(self.drain_timeout):
                await asyncio.gather(*(_drain_subscriber(subscriber) for subscriber in self.broker.subscribers))
                await messaging.wait_until(
                    lambda: self.rpc_server.is_idle and all(one.is_idle for one in self.consumers.values())
                )
        except TimeoutError:
            log.warning("stopped with work unfinished; what was not acknowledged comes again")
        if self.broker.config.connection_state.connection.is_connected:
            await self.broker.config.connection_state.connection.flush()


def _redelivery_handlers(
    service: str, room: ServiceParts, store: Store, tracer: Tracer | None
) -> dict[AnyOperation, Handler]:
    """Events that the operator hands over, where the service hears any."""
    return (
        {REDELIVER[service]: RedeliveryHandler(service, room.event_handlers, store, tracer).redeliver}
        if service in REDELIVER
        else {}
    )


async def _drain_subscriber(subscriber: Any) -> None:  # FastStream does not type what it keeps
    subscription, subscriber.subscription = subscriber.subscription, None
    if subscription is not None:
        await subscription.drain()


async def _raw_message(message: NatsMessage) -> Msg:
    """What NATS brought, as it is: headers and body are read once, by the contract."""
    return message.raw_message


@asynccontextmanager
async def _run_tasks(workers: Sequence[BackgroundTask]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(worker.run(), name=worker.name) for worker in workers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
