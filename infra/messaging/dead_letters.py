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
from contracts.redelivery import HearEvent
from infra.foundation.failpoints import crash_point
from infra.messaging.topology import DEAD

LONGEST_VALUE = 500
LARGEST_BODY = 512 * 1024
"""Bytes of an event's body that a letter has room for. The event itself stays where it was in its stream."""
KEPT = (
    headers.EVENT_ID,
    headers.EVENT_TYPE,
    headers.EVENT_SOURCE,
    headers.EVENT_TIME,
    headers.EVENT_SPEC,
    headers.CONTENT_TYPE,
    headers.TRACEPARENT,
    headers.REQUEST_ID,
)
"""An event's headers that go along. Whatever else it came with may be what makes it too large."""


async def bury(js: JetStreamContext, service: str, message: Msg, reason: str) -> None:
    """Keeps the event in the dead-letter stream; returns once JetStream has acknowledged it."""
    came = message.metadata
    found = message.header or {}
    header = {
        **{name: _line(found[name]) for name in KEPT if name in found},
        headers.MESSAGE_ID: f"dead-{service}-{came.stream}-{came.sequence.stream}",
        headers.DEAD_REASON: _line(reason),
        headers.DEAD_SERVICE: service,
        headers.DEAD_SUBJECT: _line(message.subject),
        headers.DEAD_STREAM: came.stream,
        headers.DEAD_SEQUENCE: str(came.sequence.stream),
        headers.DEAD_DELIVERIES: str(came.num_delivered),
    }
    body = message.data if len(message.data) <= LARGEST_BODY else b""
    await js.publish(f"dead.{service}.{came.stream}", body, stream=DEAD, headers=header)
    crash_point("deadletter.kept")


def _line(value: str) -> str:
    """Fit for a header: one line of ASCII."""
    return " ".join(value.split())[:LONGEST_VALUE].encode("ascii", "backslashreplace").decode()


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter, as it is kept under its number."""

    seq: int
    kept_at: datetime | None
    subject: str
    headers: dict[str, str]
    body: bytes

    @property
    def service(self) -> str:
        return self.headers.get(headers.DEAD_SERVICE) or self.subject.split(".")[1]

    @property
    def type(self) -> str:
        return self.headers.get(headers.EVENT_TYPE, "")

    @property
    def aggregate(self) -> str:
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

    def event(self) -> HearEvent:
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
        return HearEvent(
            id=event_id,
            type=self.type,
            data=data,
            subject=self.headers.get(headers.DEAD_SUBJECT),
            traceparent=self.headers.get(headers.TRACEPARENT),
            request_id=self.headers.get(headers.REQUEST_ID),
        )


class Letters:
    """The dead letters that are kept, as the operator sees them."""

    def __init__(self, js: JetStreamContext) -> None:
        self._js = js

    async def count(self, service: str = "") -> int:
        state = (await self._js.stream_info(DEAD, subjects_filter=_subjects(service))).state
        return sum((state.subjects or {}).values())

    async def every(self, service: str = "") -> AsyncIterator[Letter]:
        """Oldest first, up to the last that is there now. Asks the stream's leader: a copy might be behind."""
        last = (await self._js.stream_info(DEAD)).state.last_seq
        seq = 1
        while seq <= last:
            try:
                found = await self._js.get_msg(DEAD, seq, subject=_subjects(service), next=True)
            except NotFoundError:
                return
            letter = _letter(found)
            if letter.seq > last:
                return
            yield letter
            seq = letter.seq + 1

    async def get(self, seq: int) -> Letter | None:
        try:
            return _letter(await self._js.get_msg(DEAD, seq))
        except NotFoundError:
            return None

    async def drop(self, seq: int) -> bool:
        """Whether it was there. JetStream has several errors for one that is not."""
        try:
            return await self._js.delete_msg(DEAD, seq)
        except APIError:
            if await self.get(seq) is not None:
                raise
            return False


def _subjects(service: str) -> str:
    return f"dead.{service or '*'}.*"


def _letter(found: RawStreamMsg) -> Letter:
    return Letter(found.seq or 0, found.time, found.subject or "", dict(found.headers or {}), found.data or b"")
