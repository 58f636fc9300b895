"""Reads events from NATS messages; the subject proves who published them."""

from dataclasses import dataclass
from uuid import UUID

from nats.aio.msg import Msg

from contracts import headers
from contracts.event import Event
from contracts.registry import EVENT_BY_TYPE
from infra.foundation import trace


@dataclass(frozen=True, slots=True)
class ReceivedEvent:
    """An event with its id and its trace."""

    event_id: UUID
    event: Event
    trace_context: trace.Trace


@dataclass(frozen=True, slots=True)
class StreamedEvent(ReceivedEvent):
    """An event from a stream, with the message to acknowledge."""

    message: Msg


def parse_event_message(message: Msg) -> StreamedEvent:
    """Parses an event message. Raises `ValueError` if it is malformed or was published by the wrong service.

    NATS lets a service publish only below its own name. The subject, not a header, therefore proves the publisher.
    """
    header = message.header or {}
    event = parse_event(header.get(headers.EVENT_TYPE, ""), message.data)
    if message.subject != event.subject:
        error = f"its subject should be {event.subject}"
        raise ValueError(error)
    context = trace.parse(header.get(headers.TRACEPARENT), request_id=header.get(headers.REQUEST_ID, ""))
    try:
        event_id = UUID(header.get(headers.EVENT_ID, ""))
    except ValueError:
        error = f"it has no valid {headers.EVENT_ID} header, so a redelivery could not be recognized"
        raise ValueError(error) from None
    return StreamedEvent(event_id, event, context, message)


def parse_event(ce_type: str, body: bytes | str) -> Event:
    """Parses the body of an event of the given type. Raises `ValueError` if the type is unknown or the body invalid."""
    event_class = EVENT_BY_TYPE.get(ce_type)
    if event_class is None:
        error = f"unknown event type {ce_type[:100]!r}"
        raise ValueError(error)
    return event_class.model_validate_json(body, extra="ignore")  # the publisher may be a newer release
