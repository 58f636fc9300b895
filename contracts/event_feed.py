"""The feed of the shop's events, which machines read page by page. The notification service answers it."""

from http import HTTPStatus
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from contracts.failure import Fail, InvalidCursor
from contracts.identity import Access, ApiKeyScope
from contracts.model import Cursor, Model, PageParams
from contracts.operation import Operation
from contracts.text_patterns import text_format

SERVICE = "notification"
MAX_EVENT_TYPES = 20
"""Types in one filter."""

EventType = Annotated[
    str,
    text_format(r"^souk\.[a-z]+\.[a-z_]+$", "Send the `type` of an event, such as `souk.order.paid`.", max_length=64),
]


class CursorGone(Fail, status=HTTPStatus.GONE, code="cursor_gone"):
    """The events after this cursor are no longer kept; continue at the cursor `oldest`."""


def _read_types(value: object) -> object:
    """One type stands for a list of it, and null for none."""
    if value is None:
        return ()
    return tuple(value) if isinstance(value, list) else (value,) if isinstance(value, str) else value


EventTypes = Annotated[
    tuple[EventType, ...],
    Field(max_length=MAX_EVENT_TYPES, description="Only events of these types, such as `souk.order.paid`."),
    BeforeValidator(
        _read_types,
        json_schema_input_type=EventType | Annotated[tuple[EventType, ...], Field(max_length=MAX_EVENT_TYPES)] | None,
    ),
]


class ListEvents(PageParams):
    """Which events to return. Without `after` they begin with the oldest ones that are kept."""

    type: EventTypes = ()


class EventFeedPage(Model):
    """One page of the shop's events."""

    items: Annotated[
        list[dict[str, Any]],
        Field(
            description="CloudEvents 1.0 in JSON, each as it was published: `id`, `type`, `source`, `subject` (the id "
            "of what it is about), `time` and `data`. One that is too large for a page comes without its `data`."
        ),
    ]
    next: Annotated[
        Cursor,
        Field(description="Pass this as `after` to get later events, also when this page has none. Store it."),
    ]


LIST_EVENTS = Operation(
    SERVICE,
    "list_events",
    ListEvents,
    EventFeedPage,
    "Read the shop's events in order, page by page",
    Access.ADMIN,
    (InvalidCursor, CursorGone),
    api_key_scope=ApiKeyScope.EVENT_READ,
)
