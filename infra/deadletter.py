"""Dead letters: events that could not be handled, kept with the reason, the service and the trace."""

from nats.aio.msg import Msg
from nats.js import JetStreamContext

from infra import headers
from infra.crash import crash_point
from infra.streams import DEAD

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
    return " ".join(value.split())[:LONGEST_VALUE]
