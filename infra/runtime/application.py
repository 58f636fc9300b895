"""A service as a FastStream application: its broker, and subscribers made from the contract tables.

Every operation and every event has a subscriber, so `faststream docs gen` documents them. Nothing connects and no
setting is read before the application starts.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import Any

from faststream.middlewares import AckPolicy
from faststream.nats import JStream, NatsBroker, NatsMessage, NatsResponse, NatsRouter
from faststream.specification import AsyncAPI
from nats.aio.msg import Msg

from contracts import headers
from contracts.event import Event
from contracts.operation import AnyOperation
from contracts.registry import EVENTS, SUBSCRIPTIONS
from infra.foundation.settings import Settings
from infra.messaging.connection import RECONNECT_OPTIONS, ConnectionMonitor, server_urls, wait_until
from infra.messaging.consumer import EventConsumer
from infra.messaging.nats_client import NatsClient
from infra.messaging.rpc_server import RpcServer
from infra.messaging.topology import Consumer, consumer_config, consumers_for, stream_name
from infra.runtime.fast_path import FastPath
from infra.runtime.middlewares import IDENTITY, REQUEST_MIDDLEWARES, RPC_SERVER, to_response

EVENT_CONSUMERS = "event_consumers"
"""The name of the map from `Consumer` to `EventConsumer` in the application's context."""
MAX_WORKERS = 64
"""Concurrent requests of one operation while the fast path is off."""


class ServiceBroker(NatsBroker):
    """A NATS broker that gets its address when the service starts, and that can serve by the fast path."""

    fast_path: FastPath | None = None
    """Set before the start: replaces FastStream's subscriptions."""

    def configure(self, settings: Settings, service: str) -> None:
        """Sets the servers and the credentials for `connect`."""
        self._connection_kwargs |= {
            "servers": server_urls(settings.nats_url),
            "user": service,
            "password": settings.nats_password.get_secret_value(),
        }

    async def _connect(self) -> NatsClient:
        """Connects as FastStream does, but with the client that measures messages."""
        client = NatsClient()
        await client.connect(**self._connection_kwargs)
        self.config.connect(client)
        return client

    async def start(self) -> None:
        """Starts the subscriptions: those of the fast path, or FastStream's subscribers."""
        if self.fast_path is None:
            await super().start()
            return
        client = await self.connect()
        assert isinstance(client, NatsClient), "as `_connect` makes it"
        await self.fast_path.subscribe(client)

    async def drain(self) -> None:
        """Ends the subscriptions and returns once every message that has arrived is handed over.

        FastStream's own `stop` drops requests in flight (41 of 1,027 in a test); draining first lost none of 1,031.
        """
        if self.fast_path is not None:
            await self.fast_path.drain()
        await asyncio.gather(*(_drain_subscriber(subscriber) for subscriber in self.subscribers))

    async def stop(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> None:
        """Stops the subscribers. The connection stays open for background tasks; the lifespan closes it."""
        self._connection = None
        await super().stop(exc_type, exc_val, exc_tb)


def build_broker(service: str, operations: Iterable[AnyOperation], monitor: ConnectionMonitor) -> ServiceBroker:
    """Returns the broker of a service with its subscribers: without access log, injection and connection."""
    broker = ServiceBroker(
        name=f"souk-{service}",
        inbox_prefix=f"_INBOX_{service}",
        apply_types=False,
        logger=None,
        description=f"Requests and events of the {service} service",
        **RECONNECT_OPTIONS,
        **monitor.callbacks(),
    )
    requests, events = NatsRouter(middlewares=REQUEST_MIDDLEWARES), NatsRouter()
    for operation in operations:
        _subscribe_to_operation(requests, operation, broker)
    for consumer in consumers_for(service):
        _subscribe_to_events(events, consumer, broker)
    broker.include_routers(requests, events)
    for event in EVENTS:
        if event.service == service:
            broker.publisher(event.subject_pattern(), title=event.ce_type(), description=event.__doc__, schema=event)
    return broker


def specification(service: str) -> AsyncAPI:
    """Returns the head of the AsyncAPI document of a service."""
    return AsyncAPI(title=f"Souk {service}", version="1.0.0", description=f"The {service} service of Souk.")


def _subscribe_to_operation(router: NatsRouter, operation: AnyOperation, broker: NatsBroker) -> None:
    async def handle(message: Msg) -> NatsResponse:
        server: RpcServer = broker.context.get(RPC_SERVER)
        reply = await server.handle(message, broker.context.get_local(IDENTITY))
        return to_response(reply)

    _describe(handle, operation.name, operation.summary, operation.request)
    router.subscriber(
        operation.subject,
        queue=operation.service,
        decoder=_raw_message,
        max_workers=MAX_WORKERS,
        title=operation.subject,
        description=operation.summary,
    )(handle)


def _subscribe_to_events(router: NatsRouter, consumer: Consumer, broker: NatsBroker) -> None:
    """Makes one subscriber for the durable consumer, with one handler for each type of event."""

    async def apply(message: Msg) -> None:
        consumers: dict[Consumer, EventConsumer] = broker.context.get(EVENT_CONSUMERS)
        await consumers[consumer].process([message])

    subscriber = router.subscriber(
        queue=consumer.service,
        stream=JStream(consumer.stream, declare=False),
        config=consumer_config(consumer),
        ack_policy=AckPolicy.MANUAL,
        decoder=_raw_message,
        no_reply=True,
    )
    for event in SUBSCRIPTIONS[consumer.service]:
        if stream_name(event.service) == consumer.stream:
            subscriber(_event_handler(event, apply), filter=_has_type(event))
    subscriber(_event_handler(None, apply))


def _event_handler(
    event: type[Event] | None, apply: Callable[[Msg], Awaitable[None]]
) -> Callable[..., Awaitable[None]]:
    """Returns the handler of one type of event, or with None that of any other message, which becomes a dead letter."""

    async def handle(message: Msg) -> None:
        await apply(message)

    if event is None:
        _describe(handle, "dead_letter", "Any other message becomes a dead letter.", bytes)
    else:
        _describe(handle, event.__name__, event.__doc__, event)
    return handle


def _has_type(event: type[Event]) -> Callable[[NatsMessage], bool]:
    return lambda message: message.headers.get(headers.EVENT_TYPE) == event.ce_type()


def _describe(handler: Callable[..., Awaitable[Any]], name: str, description: str | None, payload: type[Any]) -> None:
    """Sets what FastStream documents of a handler: its name, its description and the model of its message."""
    handler.__name__, handler.__doc__ = name, description
    handler.__annotations__ = {"message": payload}


async def _raw_message(message: NatsMessage) -> Msg:
    """Decodes nothing: the contract parses headers and body once, in `RpcServer` or `EventConsumer`."""
    raw_message: Msg = message.raw_message
    return raw_message


async def _drain_subscriber(subscriber: Any) -> None:  # the attributes differ between FastStream's subscriber classes
    subscription, subscriber.subscription = subscriber.subscription, None
    if subscription is None:
        return
    await subscription.drain()
    await wait_until(lambda: _is_idle(subscriber))


def _is_idle(subscriber: Any) -> bool:
    queued = subscriber.send_stream.statistics().current_buffer_used if hasattr(subscriber, "send_stream") else 0
    return not queued and bool(subscriber.lock.empty)
