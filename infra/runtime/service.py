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
from contracts.health import Health
from contracts.operation import AnyOperation
from contracts.registry import HEALTH, HEAR
from infra.foundation import failpoints as crash
from infra.foundation.background import Background
from infra.foundation.settings import Settings, load
from infra.foundation.telemetry import Metrics, log_to_stderr, tracer_to
from infra.messaging import connection as messaging
from infra.messaging import topology as streams
from infra.messaging.consumer import Inbox, Reaction, Reactor
from infra.messaging.idempotency import Replays
from infra.messaging.rpc import Ask, Asker
from infra.messaging.rpc_server import Actor, Handler
from infra.runtime import health as ops
from infra.runtime.redelivery_handler import Hearing

SettingsT = TypeVar("SettingsT", bound=Settings)
StoreT = TypeVar("StoreT", bound="Store")

GARBAGE = 20_000
"""New objects between two looks for cycles among them."""

log = logging.getLogger("souk.run")


class Store(Replays, Inbox, Protocol):
    """What a service's store does for its messages; infra has one for PostgreSQL and one for MongoDB."""

    busy: tuple[type[Exception], ...]
    """What it raises when others were in the way: worth another try, and no fault of the request."""

    async def ping(self) -> None: ...

    def is_away(self, error: Exception) -> bool:
        """Whether the same ask may go well a moment later."""

    def asks(self, service: str) -> Mapping[AnyOperation, Handler]:
        """What the store answers by itself."""

    def workers(self, service: str, client: Client, metrics: Metrics) -> Sequence[Background]:
        """The store's own work in the background: relaying the outbox, forgetting what is old."""


@dataclass(frozen=True)
class Kit(Generic[SettingsT, StoreT]):
    """What a service is composed from."""

    settings: SettingsT
    store: StoreT
    asker: Asker
    client: Client
    metrics: Metrics


@dataclass(frozen=True)
class Room:
    """A service as its composition root furnishes it: what its handlers get, and what they answer, hear and do."""

    deps: Any  # each service's own, passed through to its handlers
    asks: Mapping[AnyOperation, Handler]
    reactions: Mapping[type[Event], Reaction] = field(default_factory=dict)
    workers: Sequence[Background] = ()


@dataclass(frozen=True)
class Service(Generic[SettingsT, StoreT]):
    """A service's name, the settings it reads, the store it owns, and how it is composed."""

    name: str
    settings: type[SettingsT]
    connect: Callable[[SettingsT, str], AbstractAsyncContextManager[StoreT]]
    build: Callable[[Kit[SettingsT, StoreT]], Room]

    def main(self) -> None:
        """Runs the service until a signal. Exit code 1 when NATS has closed the connection for good."""
        settings = load(self.settings)
        log_to_stderr(self.name, settings.log_level)
        crash.arm(settings.crash_folder)
        os.nice(settings.niceness)
        raise SystemExit(uvloop.run(self._until_signal(settings)))

    async def _until_signal(self, settings: SettingsT) -> int:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        watch = messaging.Watch(Metrics())
        async with self.running(settings, watch):
            settle_memory()
            log.info("ready", extra={"fields": {"pid": os.getpid()}})
            ends = [asyncio.create_task(stop.wait()), asyncio.create_task(watch.closed.wait())]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for end in ends:
                end.cancel()
            log.info("stopping")
        return 0 if stop.is_set() else 1

    @asynccontextmanager
    async def running(self, settings: SettingsT, watch: messaging.Watch) -> AsyncIterator[None]:
        """The service at work, for as long as the block lasts."""
        metrics = watch.metrics
        tracer, provider = tracer_to(settings.otlp_endpoint, self.name)
        async with AsyncExitStack() as stack:
            if provider is not None:
                stack.callback(provider.shutdown)
            store = await stack.enter_async_context(self.connect(settings, self.name))
            broker = messaging.broker(settings, self.name, watch)
            client = await asyncio.wait_for(broker.connect(), messaging.START_PATIENCE)
            stack.push_async_callback(client.close)
            await streams.check(client, self.name)
            kit = Kit(settings, store, Asker(client, settings.ask_timeout), client, metrics)
            room = self.build(kit)
            health = ops.Readiness(client, {"store": store.ping}, watch)
            await stack.enter_async_context(ops.serving(settings, health, metrics))
            mailbox = Mailbox(self.name, broker, room, store, health, metrics, tracer, settings)
            await stack.enter_async_context(_working([*room.workers, *store.workers(self.name, client, metrics)]))
            await stack.enter_async_context(mailbox.open())
            await client.flush()  # the server knows of every subscription: whoever is ready is asked
            stack.enter_context(health.open())
            yield


def settle_memory() -> None:
    """Takes what was made at the start out of the garbage collector's rounds, and lets it go round less often.

    A service makes many short-lived objects and few cycles. By default, looking for them took a seventh of all CPU in a
    profile of the shop under load.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE, 20, 50)


class Mailbox:
    """The subscriptions of a service, and what stands behind them."""

    def __init__(
        self,
        service: str,
        broker: NatsBroker,
        room: Room,
        store: Store,
        health: "ops.Readiness",
        metrics: Metrics,
        tracer: Tracer | None,
        settings: Settings,
    ) -> None:
        self.service = service
        self.broker = broker
        self.drain_timeout = settings.drain_timeout

        async def answer_health(_deps: object, _ask: Ask[Any]) -> Health:
            return Health(stores=await health.stores())

        self.actor = Actor(
            room.deps,
            {
                **room.asks,
                **store.asks(service),
                HEALTH[service]: answer_health,
                **_hearing(service, room, store, tracer),
            },
            store,
            store.is_away,
            metrics,
            max_in_flight=settings.max_in_flight,
            tracer=tracer,
        )
        js = broker.config.connection_state.stream
        self.reactors = {
            consumer: Reactor(service, room.deps, room.reactions, store, js, metrics, tracer, settings.pace)
            for consumer in streams.consumers_of(service)
        }

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Answers and hears; at the end takes nothing new and finishes what it has."""
        self._subscribe()
        tasks = [asyncio.create_task(reactor.run()) for reactor in self.reactors.values()]
        self.actor.heart.start()
        try:
            await self.broker.start()
            yield
        finally:
            await self._drain()
            self.actor.heart.stop()
            for task in tasks:
                task.cancel()

    def _subscribe(self) -> None:
        async def take_ask(message: Msg) -> None:
            self.actor.receive(message)

        self.broker.subscriber(f"rpc.{self.service}.*", queue=self.service, decoder=_raw, no_reply=True)(take_ask)
        for consumer, reactor in self.reactors.items():
            self._subscribe_to(consumer, reactor)

    def _subscribe_to(self, consumer: streams.Consumer, reactor: Reactor) -> None:
        async def take_event(message: Msg) -> None:
            reactor.hear(message)

        self.broker.subscriber(
            consumer.subjects[0],
            queue=self.service,
            stream=JStream(consumer.stream, declare=False),
            config=streams.consumer_config(consumer),
            ack_policy=AckPolicy.MANUAL,
            decoder=_raw,
            no_reply=True,
        )(take_event)

    async def _drain(self) -> None:
        """Every subscription first, then what is at work: FastStream's own stop would drop asks in flight."""
        try:
            async with asyncio.timeout(self.drain_timeout):
                await asyncio.gather(*(_drained(subscriber) for subscriber in self.broker.subscribers))
                await messaging.until(lambda: self.actor.idle and all(one.idle for one in self.reactors.values()))
        except TimeoutError:
            log.warning("stopped with work unfinished; what was not acknowledged comes again")
        if self.broker.config.connection_state.connection.is_connected:
            await self.broker.config.connection_state.connection.flush()


def _hearing(service: str, room: Room, store: Store, tracer: Tracer | None) -> dict[AnyOperation, Handler]:
    """Events that the operator hands over, where the service hears any."""
    return {HEAR[service]: Hearing(service, room.reactions, store, tracer).hear} if service in HEAR else {}


async def _drained(subscriber: Any) -> None:  # FastStream does not type what it keeps
    subscription, subscriber.subscription = subscriber.subscription, None
    if subscription is not None:
        await subscription.drain()


async def _raw(message: NatsMessage) -> Msg:
    """What NATS brought, as it is: headers and body are read once, by the contract."""
    return message.raw_message


@asynccontextmanager
async def _working(workers: Sequence[Background]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(worker.run(), name=worker.name) for worker in workers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
