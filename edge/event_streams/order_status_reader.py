"""The statuses of an order, read from the stream of its events.

An event's sequence number in the stream is its id for clients. Statuses whose events the stream has dropped by age come
from the order's own history; they have no number, and the id 0 stands for all of them.
"""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from types import MappingProxyType
from uuid import UUID

import orjson
from nats.aio.client import Client

from contracts import headers, order
from contracts.event import Event
from contracts.order import OrderHistoryEntry, OrderStatus, OrderTimeline
from infra.foundation.ids import now
from infra.messaging.direct_get import StoredMessage, get_next
from infra.messaging.topology import event_subjects, stream_name

STREAM = stream_name(order.SERVICE)
DROPPED_ID = 0
"""The id of the last status whose event the stream has dropped."""
RELAY_ALLOWANCE = timedelta(minutes=1)
"""How much later than a change its event is usually stored at most. Within it, the event may still be on its way."""

STATUSES: Mapping[type[Event], OrderStatus] = MappingProxyType(
    {
        order.OrderPlaced: OrderStatus.PENDING,
        order.OrderPaid: OrderStatus.PAID,
        order.OrderShipped: OrderStatus.SHIPPED,
        order.OrderUnitsCancelled: OrderStatus.SHIPPED,
        order.OrderDelivered: OrderStatus.DELIVERED,
        order.OrderCancelled: OrderStatus.CANCELLED,
        order.OrderRefunded: OrderStatus.REFUNDED,
    }
)
"""The status that an order has after each event. Other events of an order say nothing about its status.

With `units_left`, a parcel or a cancellation of units leaves the order as it was, `paid`, which is said once more.
"""
_STATUS_BY_TYPE = {event.ce_type(): status for event, status in STATUSES.items()}
_EVENT_ID = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True)
class StatusChange:
    """A status that an order has reached, and the sequence number of its event."""

    sequence: int
    status: OrderStatus
    at: str
    note: str | None = None
    order_version: int | None = None


@dataclass(frozen=True, slots=True)
class StreamStart:
    """Where a client's stream starts: behind an event that the client has, or at the beginning."""

    sequence: int
    """The events after this one follow."""
    status: OrderStatus | None
    """The status of that event; None at the beginning."""
    dropped: Sequence[StatusChange] = ()
    """What comes first, because the stream no longer holds its events."""
    is_reset: bool = False
    """Whether the client named an event that is not one of this order, or is no longer kept."""


class OrderStatusReader:
    """Reads the statuses of orders. Every method raises `Unavailable` when the stream cannot be read."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def find_start(self, order_id: UUID, timeline: OrderTimeline, last_event_id: str | None) -> StreamStart:
        """Returns where the stream of a client starts that has received this event last, or none."""
        if last_event_id and (last := await self._find_change(order_id, timeline, last_event_id)):
            return StreamStart(last.sequence, last.status)
        dropped = await self._dropped_changes(order_id, timeline)
        return StreamStart(0, None, dropped, is_reset=bool(last_event_id))

    async def changes_after(self, order_id: UUID, sequence: int) -> AsyncIterator[StatusChange]:
        """Yields what lies in the stream after an event, in order."""
        subjects = event_subjects(order.SERVICE, order_id)
        while (message := await get_next(self._client, STREAM, subjects, sequence + 1)) is not None:
            sequence = message.sequence
            if (change := _read_change(message)) is not None:
                yield change

    async def _find_change(self, order_id: UUID, timeline: OrderTimeline, event_id: str) -> StatusChange | None:
        """Returns the change with an id; None if the id is no number, or not of an event of this order."""
        if not _EVENT_ID.fullmatch(event_id):
            return None
        if (sequence := int(event_id)) == DROPPED_ID:
            dropped = await self._dropped_changes(order_id, timeline)
            return dropped[-1] if dropped else None
        message = await get_next(self._client, STREAM, event_subjects(order.SERVICE, order_id), sequence)
        return _read_change(message) if message is not None and message.sequence == sequence else None

    async def _dropped_changes(self, order_id: UUID, timeline: OrderTimeline) -> list[StatusChange]:
        """Returns the statuses whose events the stream has dropped: those in the history before the first it holds."""
        first = await anext(self.changes_after(order_id, 0), None)
        if first is not None and first.status is OrderStatus.PENDING:
            return []
        kept_since = await self._kept_since()
        old = [_from_history(entry) for entry in _status_entries(timeline.history) if entry.at < kept_since]
        return list(takewhile(lambda change: first is None or change.status is not first.status, old))

    async def _kept_since(self) -> datetime:
        """Returns a time before which the stream holds no event."""
        oldest = await get_next(self._client, STREAM, event_subjects(order.SERVICE), 1)
        return (oldest.stored_at if oldest else now()) - RELAY_ALLOWANCE


def _read_change(message: StoredMessage) -> StatusChange | None:
    """Returns what an event says about the status; None if nothing."""
    status = _STATUS_BY_TYPE.get(message.headers.get(headers.EVENT_TYPE, ""))
    if status is None:
        return None
    body = orjson.loads(message.body)
    if body.get("units_left"):  # the order is shipped once nothing of it is left
        status = OrderStatus.PAID
    at = message.headers.get(headers.EVENT_TIME, "")
    return StatusChange(message.sequence, status, at, body.get("reason"), body.get("order_version"))


def _status_entries(history: Sequence[OrderHistoryEntry]) -> list[OrderHistoryEntry]:
    """Returns the entries by which the status changed; others note what else happened."""
    previous = [None, *(entry.status for entry in history)]
    return [entry for entry, before in zip(history, previous, strict=False) if entry.status is not before]


def _from_history(entry: OrderHistoryEntry) -> StatusChange:
    at = entry.at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return StatusChange(DROPPED_ID, entry.status, at, entry.note)
