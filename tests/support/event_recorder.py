"""Records every event that is published while the tests run."""

from collections import defaultdict
from dataclasses import dataclass
from uuid import UUID

from nats.aio.client import Client
from nats.aio.msg import Msg

from contracts import headers
from contracts.event import Event
from contracts.registry import EVENT_BY_TYPE
from tests.support.eventually import eventually


@dataclass(frozen=True)
class RecordedEvent:
    """An event with its headers."""

    name: str
    event: Event
    headers: dict[str, str]


class EventRecorder:
    """Subscribes to `event.>` and keeps every event, by aggregate."""

    def __init__(self) -> None:
        self._recorded: dict[str, list[RecordedEvent]] = defaultdict(list)

    async def start(self, client: Client) -> None:
        """Subscribes; call it before the events of interest."""
        await client.subscribe("event.>", cb=self._record)

    async def _record(self, message: Msg) -> None:
        _, _, aggregate, name = message.subject.split(".")
        header = dict(message.header or {})
        event = EVENT_BY_TYPE[header[headers.EVENT_TYPE]].model_validate_json(message.data)
        self._recorded[aggregate].append(RecordedEvent(name, event, header))

    def event_names(self, aggregate: UUID | str) -> list[str]:
        """The names of an aggregate's events so far, in order."""
        return [recorded.name for recorded in self._recorded[str(aggregate)]]

    async def wait_for(self, aggregate: UUID | str, name: str) -> RecordedEvent:
        """Waits for an aggregate's event with this name."""

        def found() -> RecordedEvent | None:
            return next((recorded for recorded in self._recorded[str(aggregate)] if recorded.name == name), None)

        recorded = await eventually(found)
        assert recorded is not None
        return recorded

    async def wait_for_fields(self, name: str, **fields: object) -> RecordedEvent:
        """Waits for an event with this name and these fields, of any aggregate."""

        def found() -> RecordedEvent | None:
            named = (one for events in list(self._recorded.values()) for one in events if one.name == name)
            return next((one for one in named if _has(one.event, fields)), None)

        recorded = await eventually(found)
        assert recorded is not None
        return recorded


def _has(event: Event, fields: dict[str, object]) -> bool:
    return all(getattr(event, field, None) == value for field, value in fields.items())
