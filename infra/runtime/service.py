"""The definition of a service, and how it runs: store, connection, handlers and workers, with a drain at the end."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import nats.errors
from faststream import FastStream
from nats.aio.client import Client

from contracts.event import Event
from contracts.health import ServiceHealth
from contracts.operation import AnyOperation
from contracts.registry import HEALTH, OPERATIONS, REDELIVER
from infra.foundation.background import BackgroundTask, PeriodicTask, end_tasks
from infra.foundation.settings import Settings
from infra.foundation.telemetry import Metrics, exporting_spans, get_logger
from infra.messaging.connection import ConnectionMonitor, finish_connecting, wait_until
from infra.messaging.consumer import EventConsumer, EventHandler, Inbox
from infra.messaging.idempotency import IdempotencyStore
from infra.messaging.lag_metrics import MEASURE_SECONDS, LagMetrics
from infra.messaging.rpc_client import Request, RpcClient
from infra.messaging.rpc_server import Handler, ReplyCompleter, RpcServer
from infra.messaging.topology import Consumer, consumers_for, require_provisioned
from infra.runtime import process_lifecycle
from infra.runtime.application import EVENT_CONSUMERS, ServiceBroker, build_broker, specification
from infra.runtime.fast_path import FastPath
from infra.runtime.health import Readiness, serve_health
from infra.runtime.micro import MicroResponder
from infra.runtime.middlewares import RPC_SERVER
from infra.runtime.operator_redelivery import RedeliveryHandler

SettingsT = TypeVar("SettingsT", bound=Settings)
StoreT = TypeVar("StoreT", bound="Store")

CANCEL_AGAIN_SECONDS = 10.0
"""Longer than a worker that is cancelled takes to finish what it has begun."""

log = get_logger("souk.service")


class Store(IdempotencyStore, Inbox, Protocol):
    """What a service needs of its store. PostgreSQL and MongoDB have one implementation each."""

    contention_errors: tuple[type[Exception], ...]
    """Errors that mean another transaction was in the way: a retry may succeed, and the request is not at fault."""

    async def ping(self) -> None:
        """Raises if the store does not answer."""

    def is_transient(self, error: Exception) -> bool:
        """Whether the same request may succeed a moment later."""

    def handlers(self, service: str) -> Mapping[AnyOperation, Handler]:
        """Returns the handlers of the operations that the store serves itself."""

    def workers(self, service: str, client: Client, metrics: Metrics) -> Sequence[BackgroundTask]:
        """Returns the background tasks of the store, such as relaying the outbox and deleting expired rows."""


@dataclass(frozen=True)
class Resources(Generic[SettingsT, StoreT]):
    """What `build` may use to build the dependencies and workers of a service."""

    settings: SettingsT
    store: StoreT
    rpc: RpcClient
    nats: Client
    metrics: Metrics


@dataclass(frozen=True)
class ServiceParts:
    """The parts of a running service: the dependencies of its handlers, and its workers."""

    deps: Any  # each service's own, passed through to its handlers
    workers: Sequence[BackgroundTask] = ()


@dataclass(frozen=True)
class ServiceDefinition(Generic[SettingsT, StoreT]):
    """A service: its name, settings and store, how its parts are built, and the handlers of its contract."""

    name: str
    settings: type[SettingsT]
    connect: Callable[[SettingsT, str], AbstractAsyncContextManager[StoreT]]
    build: Callable[[Resources[SettingsT, StoreT]], ServiceParts]
    handlers: Mapping[AnyOperation, Handler]
    event_handlers: Mapping[type[Event], EventHandler] = field(default_factory=dict)
    reply_completers: Mapping[AnyOperation, ReplyCompleter] = field(default_factory=dict)
    """Add to replies what is never stored with them."""

    def main(self) -> None:
        """Runs the service until a signal. Exits with 1 if NATS has closed the connection for good."""
        process_lifecycle.run_process(self.name, self.settings, self.serve)

    @asynccontextmanager
    async def serve(self, settings: SettingsT, monitor: ConnectionMonitor) -> AsyncIterator[None]:
        """Runs the service in this process while the block is open."""
        app = self.application(settings, monitor)
        async with app.lifespan_context(), app:
            yield

    def application(self, settings: SettingsT | None = None, monitor: ConnectionMonitor | None = None) -> FastStream:
        """Returns the service as a FastStream application. Without settings, it reads them when it starts."""
        monitor = monitor or ConnectionMonitor(Metrics())
        contract = [operation for operation in OPERATIONS if operation.service == self.name]
        broker = build_broker(self.name, {**dict.fromkeys(contract), **self.handlers}, monitor)
        run = _ServiceRun(self, broker, monitor, settings)
        return FastStream(
            broker,
            logger=None,
            lifespan=run.lifespan,
            after_startup=[run.accept],
            on_shutdown=[run.drain],
            specification=specification(self.name),
        )


class _ServiceRun(Generic[SettingsT, StoreT]):
    """One run of a service, in the hooks of its FastStream application.

    The lifespan sets the attributes below; the other hooks run only while it is open.
    """

    client: Client
    readiness: Readiness
    rpc_server: RpcServer
    micro: MicroResponder
    consumers: Mapping[Consumer, EventConsumer]
    drain_timeout: float

    def __init__(
        self,
        definition: ServiceDefinition[SettingsT, StoreT],
        broker: ServiceBroker,
        monitor: ConnectionMonitor,
        settings: SettingsT | None,
    ) -> None:
        self.definition = definition
        self.broker = broker
        self.monitor = monitor
        self.settings = settings
        self.is_standalone = settings is None
        """Whether `faststream run` runs the service, and no `run_process` prepares the process."""
        self.has_failed = False

    @asynccontextmanager
    async def lifespan(self, **_options: Any) -> AsyncIterator[None]:
        """Connects store and NATS, and runs the workers; at the end closes them in reverse order.

        `faststream run` passes its command line options, which a service does not use.
        """
        settings = self.settings
        if settings is None:
            settings = process_lifecycle.prepare_process(self.definition.name, self.definition.settings)
        async with AsyncExitStack() as stack:
            await self._start(settings, stack)
            if self.is_standalone:
                await stack.enter_async_context(running_tasks([("exit on close", self._exit_on_close())]))
            yield
        if self.has_failed and self.is_standalone:
            raise SystemExit(1)

    async def _start(self, settings: SettingsT, stack: AsyncExitStack) -> None:
        """Opens everything that the service needs; the stack closes it."""
        name, metrics = self.definition.name, self.monitor.metrics
        stack.enter_context(exporting_spans(settings.otlp_endpoint, name))
        store = await stack.enter_async_context(self.definition.connect(settings, name))
        self.broker.configure(settings, name)
        client = await finish_connecting(self.broker.connect())
        stack.push_async_callback(client.close)
        await require_provisioned(client, name)
        rpc = RpcClient(client, settings.ask_timeout)
        parts = self.definition.build(Resources(settings, store, rpc, client, metrics))
        self.readiness = Readiness(client, {"store": store.ping}, self.monitor)
        await stack.enter_async_context(serve_health(settings, self.readiness, metrics))
        await self._serve_messages(settings, stack, store, parts.deps, client)
        workers = [*parts.workers, *store.workers(name, client, metrics)]
        if consumers := consumers_for(name):
            lag = LagMetrics(name, consumers, client.jetstream(), metrics)
            workers.append(PeriodicTask("lag metrics", lag.measure, interval_seconds=MEASURE_SECONDS))
        await stack.enter_async_context(running_tasks([(worker.name, worker.run()) for worker in workers]))

    async def _serve_messages(
        self,
        settings: SettingsT,
        stack: AsyncExitStack,
        store: StoreT,
        deps: Any,
        client: Client,
    ) -> None:
        """Makes the request server and the event consumers, which the application's start subscribes."""
        name, metrics = self.definition.name, self.monitor.metrics
        self.drain_timeout = settings.drain_timeout
        self.client = client
        self.rpc_server = RpcServer(
            deps,
            self._handlers(store),
            store,
            store.is_transient,
            metrics,
            max_in_flight=settings.max_in_flight,
            reply_completers=self.definition.reply_completers,
        )
        js = client.jetstream()
        self.consumers = {
            consumer: EventConsumer(consumer, deps, self.definition.event_handlers, store, js, metrics, settings.pace)
            for consumer in consumers_for(name)
        }
        self.micro = MicroResponder(name, self.rpc_server.endpoints)
        self.rpc_server.arrival_clock.start()
        stack.callback(self.rpc_server.arrival_clock.stop)
        if settings.fast_path:
            self.broker.fast_path = FastPath(name, self.rpc_server, self.consumers)
            runs = [(f"consume {consumer.stream}", each.run()) for consumer, each in self.consumers.items()]
            await stack.enter_async_context(running_tasks(runs))
        self.broker.context.set_global(RPC_SERVER, self.rpc_server)
        self.broker.context.set_global(EVENT_CONSUMERS, self.consumers)

    def _handlers(self, store: StoreT) -> dict[AnyOperation, Handler]:
        """Returns the handlers of the service, and those of operations that every service has."""
        name = self.definition.name

        async def report_health(_deps: object, _request: Request[Any]) -> ServiceHealth:
            return ServiceHealth(stores=await self.readiness.check_all())

        handlers = {**self.definition.handlers, **store.handlers(name), HEALTH[name]: report_health}
        if name in REDELIVER:
            redelivery = RedeliveryHandler(name, self.definition.event_handlers, store)
            handlers[REDELIVER[name]] = redelivery.redeliver
        return handlers

    async def accept(self) -> None:
        """Reports the service as ready, once the server knows every subscription."""
        await self.micro.subscribe(self.client)
        await self.client.flush()
        self.readiness.is_accepting = True
        if self.is_standalone:
            process_lifecycle.report_ready()

    async def drain(self) -> None:
        """Takes no new messages, and finishes those that have arrived."""
        self.has_failed = self.monitor.closed.is_set()
        self.readiness.is_accepting = False
        try:
            async with asyncio.timeout(self.drain_timeout):
                await self.micro.unsubscribe()
                await self.broker.drain()
                await wait_until(
                    lambda: self.rpc_server.is_idle and all(one.is_idle for one in self.consumers.values())
                )
        except (TimeoutError, nats.errors.Error):
            log.warning("stopped with unfinished work; JetStream redelivers events that were not acknowledged")
        if self.client.is_connected:
            await self.client.flush()

    async def _exit_on_close(self) -> None:
        """Stops `faststream run` once NATS has closed the connection for good."""
        await self.monitor.closed.wait()
        app: FastStream = self.broker.context.get("app")
        app.exit()


@asynccontextmanager
async def running_tasks(coroutines: Sequence[tuple[str, Coroutine[Any, Any, None]]]) -> AsyncIterator[None]:
    """Runs named coroutines as tasks while the block is open, then cancels them."""
    tasks = [asyncio.create_task(coroutine, name=name) for name, coroutine in coroutines]
    try:
        yield
    finally:
        await end_tasks(tasks, cancel_again_seconds=CANCEL_AGAIN_SECONDS)
