"""The fast path: nats-py subscriptions that hand each message straight to a task or to the queue of a consumer.

FastStream's consume pipeline costs 37 to 57 us of CPU a message, and 140 us with concurrent workers; nats-py alone
costs 9.5 us, less than a small handler. The fast path therefore bypasses the pipeline, and nothing else: connection,
application, lifespan and documentation are FastStream's. `SOUK_FAST_PATH=false` switches it off, so that FastStream's
subscribers and middlewares serve instead. See `docs/decisions/0008-faststream-is-a-thin-layer.md`.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from infra.messaging.consumer import EventConsumer
from infra.messaging.nats_client import NatsClient
from infra.messaging.rpc_server import RpcServer
from infra.messaging.topology import Consumer


class FastPath:
    """The subscriptions of one service: one for all requests, and one for each stream of events."""

    def __init__(self, service: str, rpc_server: RpcServer, consumers: Mapping[Consumer, EventConsumer]) -> None:
        self.service = service
        self.rpc_server = rpc_server
        self.consumers = consumers
        self._subscriptions: list[Any] = []  # nats-py does not type `drain`

    async def subscribe(self, client: NatsClient) -> None:
        """Subscribes. All replicas of the service share the messages as one queue group.

        A consumer has neither flow control nor heartbeats, so events need nothing of nats-py's own subscriptions.
        """
        receivers = {f"rpc.{self.service}.*": self.rpc_server.receive}
        receivers |= {consumer.deliver_subject: each.receive for consumer, each in self.consumers.items()}
        for subject, receive in receivers.items():
            self._subscriptions.append(await client.subscribe_directly(subject, receive, queue=self.service))

    async def drain(self) -> None:
        """Ends the subscriptions; messages that have already arrived are still handed over."""
        subscriptions, self._subscriptions = self._subscriptions, []
        await asyncio.gather(*(subscription.drain() for subscription in subscriptions))
