"""Reads the event streams of the shop as one feed, from a position in each, without a consumer."""

from collections import deque
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import orjson
from nats.aio.client import Client

from contracts import headers
from contracts.event_feed import CursorGone
from contracts.size_limits import MAX_PAGE_BYTES
from infra.foundation.pagination import decode_cursor, encode_cursor
from infra.messaging.direct_get import StoredMessage, get_batch, get_next
from infra.messaging.topology import event_stream_names, event_subjects
from services.notification.domain.event_feed import FeedEvent, earliest

BATCH_SIZE = 200
MAX_SEQUENCE = 2**63 - 1
_ATTRIBUTES = {
    "specversion": headers.EVENT_SPEC_VERSION,
    "id": headers.EVENT_ID,
    "type": headers.EVENT_TYPE,
    "source": headers.EVENT_SOURCE,
    "subject": headers.EVENT_SUBJECT,
    "time": headers.EVENT_TIME,
}

Positions = dict[str, int]
"""The sequence number of the last event that was read, by stream; 0 before the oldest one."""


def encode_positions(positions: Mapping[str, int]) -> str:
    """Returns the cursor of a position in each stream."""
    return encode_cursor(dict(positions))


def decode_positions(cursor: str | None) -> Positions:
    """Returns the position in each stream. Raises `InvalidCursor`. Streams that the cursor does not name start at 0."""
    known = decode_cursor(cursor, _parse_positions)[0] if cursor else {}
    return {stream: known.get(stream, 0) for stream in event_stream_names()}


def _parse_positions(value: Any) -> Positions:
    positions = {str(stream): int(sequence) for stream, sequence in value.items()}
    if not all(0 <= sequence <= MAX_SEQUENCE for sequence in positions.values()):
        raise ValueError
    return positions


class EventFeedReader:
    """Reads on from `positions` in these streams, and keeps the positions."""

    def __init__(self, client: Client, positions: Positions, streams: Iterable[str]) -> None:
        self.positions = positions
        self._client = client
        self._waiting: dict[str, deque[FeedEvent]] = {stream: deque() for stream in streams}
        self._ended: set[str] = set()

    async def next_event(self) -> FeedEvent | None:
        """Returns the next event of the feed; None at its end. Raises `CursorGone` if events before it are gone."""
        for stream, waiting in self._waiting.items():
            if not waiting and stream not in self._ended:
                await self._read_batch(stream)
        event = earliest(waiting[0] for waiting in self._waiting.values() if waiting)
        if event is not None:
            self._waiting[event.stream].popleft()
            self.positions[event.stream] = event.sequence
        return event

    async def _read_batch(self, stream: str) -> None:
        subjects, last = event_subjects(stream.lower()), self.positions[stream]
        messages = await get_batch(
            self._client, stream, subjects, last + 1, batch_size=BATCH_SIZE, max_bytes=MAX_PAGE_BYTES
        )
        if not messages:
            self._ended.add(stream)
            return
        if last and messages[0].sequence > last + 1:
            await self._require_kept(stream, subjects, messages[0].sequence)
        self._waiting[stream].extend(_feed_event(stream, message) for message in messages)

    async def _require_kept(self, stream: str, subjects: str, sequence: int) -> None:
        """Raises `CursorGone` if there is nothing before this event: what was there has been dropped by age.

        Single events that an operator deleted leave a gap with events before it.
        """
        oldest = await get_next(self._client, stream, subjects, 1)
        if oldest is not None and oldest.sequence >= sequence:
            self.positions[stream] = oldest.sequence - 1
            raise CursorGone(oldest=encode_positions(self.positions))


def _feed_event(stream: str, message: StoredMessage) -> FeedEvent:
    attributes = {name: message.headers[header] for name, header in _ATTRIBUTES.items() if header in message.headers}
    return FeedEvent(
        stream,
        message.sequence,
        attributes.get("type", ""),
        datetime.fromisoformat(attributes["time"]) if "time" in attributes else message.stored_at,
        {**attributes, "datacontenttype": "application/json"},
        orjson.loads(message.body),
        len(message.body),
    )
