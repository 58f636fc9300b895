"""The fast path: nats-py subscriptions that hand each message straight to a task or to the queue of a consumer.

FastStream's consume pipeline costs 37 to 57 us of CPU a message, and 140 us with concurrent workers; nats-py alone
costs 9.5 us, less than a small handler. The fast path therefore bypasses the pipeline, and nothing else: connection,
application, lifespan and documentation are FastStream's. `SOUK_FAST_PATH=false` switches it off, so that FastStream's
subscribers and middlewares serve instead. See `docs/decisions/0008-faststream-is-a-thin-layer.md`.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from infra.messaging.consumer import EventConsumer
from infra.messaging.rpc_server import RpcServer
from infra.messaging.topology import Consumer, consumer_config


class FastPath:
    """The subscriptions of one service: one for all requests, and one for each stream of events."""

    def __init__(self, service: str, rpc_server: RpcServer, consumers: Mapping[Consumer, EventConsumer]) -> None:
        self.service = service
        self.rpc_server = rpc_server
        self.consumers = consumers
        self._subscriptions: list[Any] = []  # nats-py does not type the `drain` of push subscriptions

    async def subscribe(self, client: Client) -> None:
        """Subscribes. All replicas of the service share the messages as one queue group."""

        async def receive_request(message: Msg) -> None:
            self.rpc_server.receive(message)

        js = client.jetstream()
        self._subscriptions.append(
            await client.subscribe(f"rpc.{self.service}.*", queue=self.service, cb=receive_request)
        )
        for consumer, event_consumer in self.consumers.items():
            self._subscriptions.append(await _subscribe_to_stream(js, consumer, event_consumer))

    async def drain(self) -> None:
        """Ends the subscriptions; messages that have already arrived are still handed over."""
        subscriptions, self._subscriptions = self._subscriptions, []
        await asyncio.gather(*(subscription.drain() for subscription in subscriptions))


async def _subscribe_to_stream(
    js: JetStreamContext, consumer: Consumer, event_consumer: EventConsumer
) -> JetStreamContext.PushSubscription:
    async def receive_event(message: Msg) -> None:
        event_consumer.receive(message)

    return await js.subscribe_bind(
        consumer.stream, consumer_config(consumer), consumer.service, cb=receive_event, manual_ack=True
    )
