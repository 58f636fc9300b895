"""The feed of the shop's events, for machines that poll."""

from contracts.event_feed import EventFeedPage, ListEvents
from contracts.failure import FieldError, InvalidRequest
from contracts.registry import EVENT_BY_TYPE
from contracts.size_limits import MAX_PAGE_BYTES
from infra.messaging.rpc_client import Request
from infra.messaging.topology import event_stream_names, stream_name
from services.notification.deps import NotificationDeps
from services.notification.domain.event_feed import FeedEvent
from services.notification.store.event_feed_reader import EventFeedReader, decode_positions, encode_positions

MAX_READ_EVENTS = 2000
"""Events of all types that one request looks at."""
ATTRIBUTE_BYTES = 1024
"""More than the attributes of an event take in JSON."""


async def list_events(deps: NotificationDeps, request: Request[ListEvents]) -> EventFeedPage:
    """Returns the events after the cursor, merged by time. The cursor has a position in each stream.

    A page may be empty although there are more events, if none of those looked at is of the requested types.
    """
    types = _known_types(request.body.type)
    streams = {stream_name(EVENT_BY_TYPE[name].service) for name in types} or event_stream_names()
    reader = EventFeedReader(deps.nats, decode_positions(request.body.after), streams)
    page: list[FeedEvent] = []
    page_bytes = 0
    for _ in range(MAX_READ_EVENTS):
        if len(page) == request.body.limit or page_bytes > MAX_PAGE_BYTES // 2:
            break
        if (event := await reader.next_event()) is None:
            break
        if not types or event.type in types:
            page.append(event)
            page_bytes += event.size + ATTRIBUTE_BYTES
    return EventFeedPage(
        items=[event.to_cloud_event(MAX_PAGE_BYTES // 2) for event in page], next=encode_positions(reader.positions)
    )


def _known_types(types: tuple[str, ...]) -> frozenset[str]:
    """Returns the types. Raises `InvalidRequest` for one that the shop does not publish."""
    unknown = [name for name in types if name not in EVENT_BY_TYPE]
    if unknown:
        errors = [FieldError(pointer="/type", detail=f"The shop publishes no events of the type {unknown[0]}.")]
        raise InvalidRequest(errors=errors)
    return frozenset(types)
