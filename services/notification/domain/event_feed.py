"""Events of several streams as one feed, in the order of their times."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class FeedEvent:
    """An event, with its place in its stream. `size` is that of its data in bytes."""

    stream: str
    sequence: int
    type: str
    published_at: datetime
    attributes: Mapping[str, str]
    """The attributes of the CloudEvent: `id`, `type`, `source`, `subject`, `time` and so on."""
    data: Any
    size: int

    def to_cloud_event(self, max_bytes: int) -> dict[str, Any]:
        """Returns the CloudEvent in its JSON form, without its data if these are larger than `max_bytes`."""
        return {**self.attributes, **({"data": self.data} if self.size <= max_bytes else {})}


def earliest(heads: Iterable[FeedEvent]) -> FeedEvent | None:
    """Returns the earliest of the next events of all streams.

    Only this one is ever taken, so events of one stream, and so of one aggregate, keep their order.
    """
    return min(heads, key=lambda event: (event.published_at, event.stream), default=None)
