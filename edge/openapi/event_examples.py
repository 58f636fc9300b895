"""Examples of event streams and of the feed of events."""

from typing import Any

from contracts import order
from contracts.event_feed import EventFeedPage
from contracts.model import Model
from edge.openapi.request_examples import EXAMPLE_ID

PLACED_AT = "2026-01-31T12:00:00Z"
EVENT_STREAM_EXAMPLE = (
    "retry: 3000\n\n"
    "id: 1734\nevent: pending\n"
    f'data: {{"status":"pending","at":"{PLACED_AT}","order_version":1}}\n\n'
    ": heartbeat\n\n"
)
EVENT_STREAM_SENTENCE = (
    "Each event is named after a status, has it in `data` as `{status, at, note?, order_version}`, and an `id` to "
    "resume behind, sent as `Last-Event-ID` or as `last_event_id`. An unknown id begins again with the event `reset`. "
    "After the event `end` no other can follow, and the response to a reconnection is 204. A browser's EventSource "
    "can send no headers: request a `ticket` and put it into the query, a new one for each connection."
)
EVENT_EXAMPLES: dict[type[Model], dict[str, Any]] = {
    order.EventStreamTicket: {"ticket": "q83vEjRWeJCrze8SNFZ4kA-the-signed-ticket", "expires_at": PLACED_AT},
    EventFeedPage: {
        "items": [
            {
                "specversion": "1.0",
                "id": EXAMPLE_ID,
                "type": "souk.order.delivered",
                "source": "/souk/order",
                "subject": EXAMPLE_ID,
                "time": PLACED_AT,
                "datacontenttype": "application/json",
                "data": {
                    "order_id": EXAMPLE_ID,
                    "number": "S-6180339966",
                    "user_id": EXAMPLE_ID,
                    "total": {"amount": 3998, "currency": "USD"},
                    "order_version": 4,
                },
            }
        ],
        "next": "W3siT1JERVIiOjE3MzR9XQ",
    },
}
