"""Dead letters: events that could not be handled, kept with the reason, the service and the trace.

A letter goes when its event has been heard after all, or when a person drops it.
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
from contracts.redelivery import RedeliverEvent
from infra.foundation.failpoints import failpoint
from infra.messaging.topology import DEAD_LETTER_STREAM

MAX_HEADER_LENGTH = 500
MAX_BODY_BYTES = 512 * 1024
"""Bytes of an event's body that a letter has room for. The event itself stays where it was in its stream."""
COPIED_HEADERS = (
    headers.EVENT_ID,
    headers.EVENT_TYPE,
    headers.EVENT_SOURCE,
    headers.EVENT_TIME,
    headers.EVENT_SPEC_VERSION,
    headers.CONTENT_TYPE,
    headers.TRACEPARENT,
    headers.REQUEST_ID,
)
"""An event's headers that go along. Whatever else it came with may be what makes it too large."""


async def store_dead_letter(js: JetStreamContext, service: str, message: Msg, reason: str) -> None:
    """Keeps the event in the dead-letter stream; returns once JetStream has acknowledged it."""
    came = message.metadata
    found = message.header or {}
    header = {
        **{name: _header_value(found[name]) for name in COPIED_HEADERS if name in found},
        headers.MESSAGE_ID: f"dead-{service}-{came.stream}-{came.sequence.stream}",
        headers.DEAD_REASON: _header_value(reason),
        headers.DEAD_SERVICE: service,
        headers.DEAD_SUBJECT: _header_value(message.subject),
        headers.DEAD_STREAM: came.stream,
        headers.DEAD_SEQUENCE: str(came.sequence.stream),
        headers.DEAD_DELIVERIES: str(came.num_delivered),
    }
    body = message.data if len(message.data) <= MAX_BODY_BYTES else b""
    await js.publish(f"dead.{service}.{came.stream}", body, stream=DEAD_LETTER_STREAM, headers=header)
    failpoint("deadletter.kept")


def _header_value(value: str) -> str:
    """Fit for a header: one line of ASCII."""
    return " ".join(value.split())[:MAX_HEADER_LENGTH].encode("ascii", "backslashreplace").decode()


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead letter, as it is kept under its number."""

    seq: int
    stored_at: datetime | None
    subject: str
    headers: dict[str, str]
    body: bytes

    @property
    def service(self) -> str:
        return self.headers.get(headers.DEAD_SERVICE) or self.subject.split(".")[1]

    @property
    def event_type(self) -> str:
        return self.headers.get(headers.EVENT_TYPE, "")

    @property
    def aggregate_id(self) -> str:
        """What the event is about: the order, payment or hold in its subject."""
        parts = self.headers.get(headers.DEAD_SUBJECT, "").split(".")
        return parts[2] if len(parts) == 4 else ""  # noqa: PLR2004 - event.<service>.<aggregate>.<name>

    @property
    def reason(self) -> str:
        return self.headers.get(headers.DEAD_REASON, "")

    @property
    def deliveries(self) -> str:
        return self.headers.get(headers.DEAD_DELIVERIES, "")

    @property
    def trace_id(self) -> str:
        parts = self.headers.get(headers.TRACEPARENT, "").split("-")
        return parts[1] if len(parts) == 4 else ""  # noqa: PLR2004 - as W3C Trace Context says

    def to_redelivery(self) -> RedeliverEvent:
        """What is handed over to its service; raises ValueError, with what to do, where that cannot be."""
        try:
            event_id = UUID(self.headers.get(headers.EVENT_ID, ""))
            data = self.body.decode()
        except UnicodeDecodeError:
            message = "its body is no text and cannot be handed over; if nothing is to be saved, drop it"
            raise ValueError(message) from None
        except ValueError:
            message = "it has no id by which its service could know it again; if nothing is to be saved, drop it"
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
    """The dead letters that are kept, as the operator sees them."""

    def __init__(self, js: JetStreamContext) -> None:
        self._js = js

    async def count(self, service: str = "") -> int:
        state = (await self._js.stream_info(DEAD_LETTER_STREAM, subjects_filter=_subject_filter(service))).state
        return sum((state.subjects or {}).values())

    async def iterate(self, service: str = "") -> AsyncIterator[DeadLetter]:
        """Oldest first, up to the last that is there now. Asks the stream's leader: a copy might be behind."""
        last = (await self._js.stream_info(DEAD_LETTER_STREAM)).state.last_seq
        seq = 1
        while seq <= last:
            try:
                found = await self._js.get_msg(DEAD_LETTER_STREAM, seq, subject=_subject_filter(service), next=True)
            except NotFoundError:
                return
            letter = _from_message(found)
            if letter.seq > last:
                return
            yield letter
            seq = letter.seq + 1

    async def get(self, seq: int) -> DeadLetter | None:
        try:
            return _from_message(await self._js.get_msg(DEAD_LETTER_STREAM, seq))
        except NotFoundError:
            return None

    async def delete(self, seq: int) -> bool:
        """Whether it was there. JetStream has several errors for one that is not."""
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
