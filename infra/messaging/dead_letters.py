"""Dead letters: events that could not be handled, stored with the reason, the service and the trace.

A dead letter is deleted after its event was redelivered successfully, or when an operator drops it.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg
from nats.js.errors import APIError, NotFoundError

from contracts import headers
from contracts.operator_redelivery import RedeliverEvent
from contracts.size_limits import MAX_EVENT_BYTES
from infra.foundation.failpoints import failpoint
from infra.messaging.topology import DEAD_LETTER_STREAM

MAX_HEADER_LENGTH = 500
COPIED_HEADERS = (
    headers.EVENT_ID,
    headers.EVENT_TYPE,
    headers.EVENT_SOURCE,
    headers.EVENT_SUBJECT,
    headers.EVENT_TIME,
    headers.EVENT_SPEC_VERSION,
    headers.CONTENT_TYPE,
    headers.TRACEPARENT,
    headers.REQUEST_ID,
)
"""The event headers that a dead letter copies. Other headers could make it too large to publish."""


async def store_dead_letter(js: JetStreamContext, service: str, message: Msg, reason: str) -> None:
    """Publishes a dead letter for an event and returns once JetStream has acknowledged it.

    The body of an event that is larger than an event may be is left out; it stays in its stream.
    """
    metadata = message.metadata
    event_headers = message.header or {}
    header = {
        **{name: _header_value(event_headers[name]) for name in COPIED_HEADERS if name in event_headers},
        headers.MESSAGE_ID: f"dead-{service}-{metadata.stream}-{metadata.sequence.stream}",
        headers.DEAD_REASON: _header_value(reason),
        headers.DEAD_SERVICE: service,
        headers.DEAD_SUBJECT: _header_value(message.subject),
        headers.DEAD_STREAM: metadata.stream,
        headers.DEAD_SEQUENCE: str(metadata.sequence.stream),
        headers.DEAD_DELIVERIES: str(metadata.num_delivered),
    }
    body = message.data if len(message.data) <= MAX_EVENT_BYTES else b""
    await js.publish(f"dead.{service}.{metadata.stream}", body, stream=DEAD_LETTER_STREAM, headers=header)
    failpoint("dead_letters.stored")


def _header_value(value: str) -> str:
    """Returns the text as one short line of ASCII, as NATS headers need it."""
    return " ".join(value.split())[:MAX_HEADER_LENGTH].encode("ascii", "backslashreplace").decode()


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead letter as the stream stores it, under its sequence number."""

    seq: int
    stored_at: datetime | None
    subject: str
    headers: dict[str, str]
    body: bytes

    @property
    def service(self) -> str:
        """The service that could not handle the event."""
        return self.headers.get(headers.DEAD_SERVICE) or self.subject.split(".")[1]

    @property
    def event_type(self) -> str:
        """The `ce-type` of the event."""
        return self.headers.get(headers.EVENT_TYPE, "")

    @property
    def aggregate_id(self) -> str:
        """The id in the event's subject: the order, payment or hold that the event is about."""
        parts = self.headers.get(headers.DEAD_SUBJECT, "").split(".")
        return parts[2] if len(parts) == 4 else ""  # noqa: PLR2004 - event.<service>.<aggregate>.<name>

    @property
    def reason(self) -> str:
        """Why the event could not be handled."""
        return self.headers.get(headers.DEAD_REASON, "")

    @property
    def deliveries(self) -> str:
        """How often JetStream had delivered the event, as text."""
        return self.headers.get(headers.DEAD_DELIVERIES, "")

    @property
    def trace_id(self) -> str:
        """The trace id of the event, or an empty string."""
        parts = self.headers.get(headers.TRACEPARENT, "").split("-")
        return parts[1] if len(parts) == 4 else ""  # noqa: PLR2004 - the four parts of a W3C traceparent

    def to_redelivery(self) -> RedeliverEvent:
        """Returns the event for redelivery. Raises `ValueError` with the reason if it cannot be redelivered."""
        try:
            event_id = UUID(self.headers.get(headers.EVENT_ID, ""))
            data = self.body.decode()
        except UnicodeDecodeError:
            message = "its body is not text, so it cannot be redelivered; drop it if its data is not needed"
            raise ValueError(message) from None
        except ValueError:
            message = (
                "it has no valid id, so its service could not recognize a duplicate; drop it if its data is not needed"
            )
            raise ValueError(message) from None
        return RedeliverEvent(
            id=event_id,
            type=self.event_type,
            data=data,
            subject=self.headers.get(headers.DEAD_SUBJECT),
            traceparent=self.headers.get(headers.TRACEPARENT),
            request_id=self.headers.get(headers.REQUEST_ID),
        )


class DeadLetterQueue:
    """The stored dead letters, as the operator works with them."""

    def __init__(self, js: JetStreamContext) -> None:
        self._js = js

    async def count(self, service: str = "") -> int:
        """Returns the number of dead letters of one service, or of all."""
        state = (await self._js.stream_info(DEAD_LETTER_STREAM, subjects_filter=_subject_filter(service))).state
        return sum((state.subjects or {}).values())

    async def iterate(self, service: str = "") -> AsyncIterator[DeadLetter]:
        """Yields dead letters, oldest first, up to the last one present now.

        Reads from the leader of the stream, since a replica may lag.
        """
        last = (await self._js.stream_info(DEAD_LETTER_STREAM)).state.last_seq
        seq = 1
        while seq <= last:
            try:
                message = await self._js.get_msg(DEAD_LETTER_STREAM, seq, subject=_subject_filter(service), next=True)
            except NotFoundError:
                return
            dead_letter = _from_message(message)
            if dead_letter.seq > last:
                return
            yield dead_letter
            seq = dead_letter.seq + 1

    async def get(self, seq: int) -> DeadLetter | None:
        """Returns a dead letter by its sequence number, or None."""
        try:
            return _from_message(await self._js.get_msg(DEAD_LETTER_STREAM, seq))
        except NotFoundError:
            return None

    async def delete(self, seq: int) -> bool:
        """Deletes a dead letter and returns whether it existed. JetStream reports a missing message in several ways."""
        try:
            return await self._js.delete_msg(DEAD_LETTER_STREAM, seq)
        except APIError:
            if await self.get(seq) is not None:
                raise
            return False


def _subject_filter(service: str) -> str:
    return f"dead.{service or '*'}.*"


def _from_message(found: RawStreamMsg) -> DeadLetter:
    return DeadLetter(found.seq or 0, found.time, found.subject or "", dict(found.headers or {}), found.data or b"")
