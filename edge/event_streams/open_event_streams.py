"""The event streams that this edge has open: what wakes them, ends them and limits them.

One subscription of core NATS tells all of them when an order has a new event, for as long as there are any streams.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from uuid import UUID

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from prometheus_client import CollectorRegistry, Gauge

from contracts import order
from contracts.failure import Overloaded, TooManyRequests, Unavailable
from edge.auth.revocations import RevokedSessions
from edge.event_streams.order_event_stream import OrderEventStream
from infra.foundation.background import end_tasks
from infra.messaging.nats_client import CANCEL_AGAIN_SECONDS, NatsClient
from infra.messaging.topology import event_subjects

MAX_STREAMS = 2000
"""Of one edge; each takes some 25 KiB."""
MAX_STREAMS_OF_OWNER = 20
"""Of one customer, of one guest's order or of one API key, on one edge."""
CHECK_SECONDS = 0.5
"""Between two checks whether clients have gone away and their sessions have ended."""
OVERLOAD_RETRY_SECONDS = 5.0


class OpenEventStreams:
    """All open streams of an edge, by order."""

    def __init__(self, client: Client, revoked_sessions: RevokedSessions, registry: CollectorRegistry) -> None:
        assert isinstance(client, NatsClient), "every connection of this project"
        self._client = client
        self._revoked_sessions = revoked_sessions
        self._by_order: dict[UUID, set[OrderEventStream]] = {}
        self._counts: Counter[str] = Counter()
        self._subscription: Subscription | None = None
        self._subscribing = asyncio.Lock()
        self._checking: asyncio.Task[None] | None = None
        self._is_stopping = False
        Gauge("souk_edge_event_streams", "Open streams of server-sent events.", registry=registry).set_function(
            self._counts.total
        )

    async def add(self, stream: OrderEventStream) -> None:
        """Adds a stream, which is woken from now on; it removes itself. Raises a `Fail` if there are too many."""
        owner = stream.follower.owner
        if self._counts[owner] >= MAX_STREAMS_OF_OWNER:
            detail = f"Close one of your event streams first: at most {MAX_STREAMS_OF_OWNER} may be open."
            raise TooManyRequests(detail, retry_after=OVERLOAD_RETRY_SECONDS)
        if self._counts.total() >= MAX_STREAMS:
            raise Overloaded(retry_after=OVERLOAD_RETRY_SECONDS)
        self._counts[owner] += 1
        self._by_order.setdefault(stream.follower.order_id, set()).add(stream)
        if self._is_stopping:
            stream.stop()
        try:
            await self._subscribe()
        except BaseException:
            self.remove(stream)
            raise

    def remove(self, stream: OrderEventStream) -> None:
        """Forgets a stream that has ended; harmless if it is forgotten already."""
        order_id, owner = stream.follower.order_id, stream.follower.owner
        streams = self._by_order.get(order_id, set())
        if stream not in streams:
            return
        streams.remove(stream)
        if not streams:
            del self._by_order[order_id]
        self._counts[owner] -= 1
        if not self._counts[owner]:
            del self._counts[owner]

    def stop(self) -> None:
        """Sends all clients to other edges, and those that come from now on, once they have what there is."""
        self._is_stopping = True
        for stream in self._all():
            stream.stop()

    async def close(self) -> None:
        """Ends the background check."""
        if self._checking is not None:
            await end_tasks([self._checking], cancel_again_seconds=CANCEL_AGAIN_SECONDS)

    def _all(self) -> Iterator[OrderEventStream]:
        for streams in list(self._by_order.values()):
            yield from list(streams)

    async def _subscribe(self) -> None:
        """Subscribes to the events of all orders, unless it is done. It is done before a stream first reads."""
        async with self._subscribing:
            if self._subscription is not None:
                return
            try:
                self._subscription = await self._client.subscribe_directly(event_subjects(order.SERVICE), self._hint)
            except (nats.errors.Error, OSError) as error:
                raise Unavailable(retry_after=1) from error
            self._checking = asyncio.create_task(self._check_while_open())

    def _hint(self, message: Msg) -> None:
        """Wakes the streams of an order. A forged message can do no more than that."""
        with suppress(ValueError):
            for stream in self._by_order.get(UUID(message.subject.split(".")[2]), ()):
                stream.wake()

    async def _check_while_open(self) -> None:
        """Checks the streams again and again. Ends itself, and the subscription, with the last stream."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            async with self._subscribing:
                if not self._by_order and self._subscription is not None:
                    subscription, self._subscription = self._subscription, None
                    with suppress(nats.errors.Error):
                        await subscription.unsubscribe()
                    return
            await self._check()

    async def _check(self) -> None:
        """Ends streams whose client has gone away or whose session has ended."""
        if not self._revoked_sessions.is_current:
            with suppress(Unavailable):
                await self._revoked_sessions.refresh()
        for stream in self._all():
            if stream.is_lost or stream.follower.session_id in self._revoked_sessions:
                stream.cut()
