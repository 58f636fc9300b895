"""One client's stream of server-sent events: the statuses of an order, first those so far, then each as it is reached.

What is sent is always read from the stream of events, from behind the last event that was sent. A hint that there is a
new one, or a heartbeat, only says when to read. So nothing is left out and nothing is sent twice, even when a hint or
the connection with NATS is lost.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from uuid import UUID

import orjson
from aiohttp import web

from contracts.failure import Unavailable
from contracts.order import OrderStatus, OrderTimeline
from edge.event_streams.order_status_reader import OrderStatusReader, StatusChange, StreamStart
from edge.responses import NO_STORE
from edge.routes import ORDER_ACCESS_HEADER

RETRY_MILLISECONDS = 3000
STOP_RETRY_MILLISECONDS = (500, 5000)
"""From and to: the clients of an edge that stops do not come back at the same moment."""
REREAD_SECONDS = 1.0
"""After which a stream of events is read again that could not be read."""
HINT_REREAD_SECONDS = (0.02, 0.1, 0.5, 2.0)
"""Pauses of the reads after a hint: it comes before the event is stored, and a replica may lag behind."""
MAX_BUFFERED_BYTES = 64 * 1024
"""What may wait to be sent to a client that reads slowly. Beyond it, the client is cut off; it can resume."""
EVENT_STREAM = "text/event-stream"
RESPONSE_HEADERS = {
    "Content-Type": EVENT_STREAM,
    "Cache-Control": NO_STORE,
    "X-Accel-Buffering": "no",
    "Vary": f"Authorization, {ORDER_ACCESS_HEADER}",
}
LAST_STATUSES = frozenset({OrderStatus.CANCELLED, OrderStatus.REFUNDED})


@dataclass(frozen=True, slots=True)
class Follower:
    """Who follows an order, and for how long."""

    order_id: UUID
    owner: str
    """Whose streams it counts among."""
    session_id: UUID | None
    """The session or API key whose end ends the stream."""
    follows_until: float
    """When the client has to come back with a new proof of its identity, by the event loop's clock."""
    may_follow: Callable[[], Awaitable[bool]] | None
    """Asked before anything is sent, where no session says whether the client still may."""


class OrderEventStream(web.StreamResponse):
    """The response with the stream. `on_close` is called once it has ended, also with an error."""

    def __init__(
        self,
        follower: Follower,
        timeline: OrderTimeline,
        reader: OrderStatusReader,
        *,
        heartbeat_seconds: float,
        on_close: Callable[["OrderEventStream"], None],
    ) -> None:
        super().__init__(headers=RESPONSE_HEADERS)
        self.force_close()  # so that a stopping edge need not wait for the connection
        self.follower = follower
        self._timeline = timeline
        self._reader = reader
        self._heartbeat_seconds = heartbeat_seconds
        self._on_close = on_close
        self._beginning = StreamStart(0, None)
        self._last_sequence = 0
        self._last_status: OrderStatus | None = None
        self._transport: asyncio.Transport | None = None
        self._wake = asyncio.Event()
        self._reread_pauses: Iterator[float] = iter(())
        self._is_cut = self._is_stopping = False

    async def find_start(self, last_event_id: str | None) -> bool:
        """Finds where the client's stream starts. Returns False if the client has everything that will ever come."""
        self._beginning = await self._reader.find_start(self.follower.order_id, self._timeline, last_event_id)
        self._last_sequence, self._last_status = self._beginning.sequence, self._beginning.status
        if not self._is_complete:
            return True
        following = self._reader.changes_after(self.follower.order_id, self._last_sequence)
        return await anext(following, None) is not None

    @property
    def is_lost(self) -> bool:
        """Whether the client has gone away."""
        return self._transport is not None and self._transport.is_closing()

    def wake(self) -> None:
        """Has the stream look for new events, because there is one, or will be in a moment."""
        self._reread_pauses = iter(HINT_REREAD_SECONDS)
        self._wake.set()

    def cut(self) -> None:
        """Ends the stream at once."""
        self._is_cut = True
        self._wake.set()

    def stop(self) -> None:
        """Ends the stream and has the client come back, to another edge."""
        self._is_stopping = True
        self._wake.set()

    def close(self) -> None:
        """Gives up a stream that is not going to be sent."""
        self._on_close(self)

    async def send(self, request: web.BaseRequest) -> None:
        """Sends events until there can be no more, the client goes away, or the stream is cut or stopped."""
        self._transport = request.transport
        try:
            if self._transport is None:
                return
            await self.prepare(request)
            if request.method != "HEAD":
                await self._send_events()
        except ConnectionError:
            if self._transport is not None:
                self._transport.abort()
        finally:
            self._on_close(self)

    async def _send_events(self) -> None:
        assert self._transport is not None, "the connection was open when the request came"
        # Writing never waits for the client: long before this limit, `_send` cuts the client off.
        self._transport.set_write_buffer_limits(high=16 * MAX_BUFFERED_BYTES)
        await self._send(_opening(self._beginning))
        if self._beginning.dropped:
            self._last_status = self._beginning.dropped[-1].status
        while True:
            self._wake.clear()  # first, so that the next round notices what comes from here on
            if not await self._may_follow():
                return
            is_read = await self._send_changes()
            if self._is_complete:
                await self._send(_frame("end", {"status": self._last_status}, self._last_sequence))
                return
            if self._is_stopping or asyncio.get_running_loop().time() >= self.follower.follows_until:
                retry = random.randint(*STOP_RETRY_MILLISECONDS)  # noqa: S311 - spreads the clients, hides nothing
                await self._send(b"retry: %d\n\n" % retry)
                return
            reread_seconds = next(self._reread_pauses, None) if is_read else REREAD_SECONDS
            if not await self._is_woken(reread_seconds or self._heartbeat_seconds) and reread_seconds is None:
                await self._send(b": heartbeat\n\n")

    async def _may_follow(self) -> bool:
        if self._is_cut:
            return False
        return self.follower.may_follow is None or await self.follower.may_follow()

    async def _send_changes(self) -> bool:
        """Sends what lies behind the last event. Returns False if that cannot be read now."""
        try:
            async for change in self._reader.changes_after(self.follower.order_id, self._last_sequence):
                if self._is_cut:
                    break
                await self._send(_change_frame(change))
                self._last_sequence, self._last_status = change.sequence, change.status
        except Unavailable:
            return False
        return True

    @property
    def _is_complete(self) -> bool:
        """Whether the last event is the last that can ever be."""
        is_last = self._timeline.is_final and self._last_status is self._timeline.status
        return is_last or self._last_status in LAST_STATUSES

    async def _is_woken(self, timeout_seconds: float) -> bool:
        try:
            async with asyncio.timeout(timeout_seconds):
                return await self._wake.wait()
        except TimeoutError:
            return False

    async def _send(self, data: bytes) -> None:
        """Writes to the client. Raises `ConnectionError` if it has gone away or does not read."""
        if self._transport is None or self._transport.get_write_buffer_size() > MAX_BUFFERED_BYTES:
            raise ConnectionAbortedError
        await self.write(data)


def _opening(start: StreamStart) -> bytes:
    """Returns the beginning of a stream: what the stream of events no longer holds.

    Only the last of it has an id, so that a client resumes behind all of it, or at the beginning.
    """
    frames = [b"retry: %d\n\n" % RETRY_MILLISECONDS]
    if start.is_reset:
        frames.append(_frame("reset", {}))
    frames += [_frame(change.status, _data_of(change)) for change in start.dropped[:-1]]
    frames += [_change_frame(change) for change in start.dropped[-1:]]
    return b"".join(frames)


def _change_frame(change: StatusChange) -> bytes:
    return _frame(change.status, _data_of(change), change.sequence)


def _data_of(change: StatusChange) -> dict[str, object]:
    note = {"note": change.note} if change.note else {}
    return {"status": change.status, "at": change.at, **note, "order_version": change.order_version}


def _frame(event: str, data: object, event_id: int | None = None) -> bytes:
    """Returns one event. A client dispatches none without data."""
    numbered = b"" if event_id is None else b"id: %d\n" % event_id
    return b"%bevent: %b\ndata: %b\n\n" % (numbered, event.encode(), orjson.dumps(data))
