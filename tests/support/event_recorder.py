"""Everything that is said on NATS while the tests run, by aggregate."""

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
    """An event with the headers it came with."""

    name: str
    event: Event
    headers: dict[str, str]


class EventRecorder:
    """Listens to `event.>` and remembers."""

    def __init__(self) -> None:
        self._recorded: dict[str, list[RecordedEvent]] = defaultdict(list)

    async def start(self, client: Client) -> None:
        await client.subscribe("event.>", cb=self._record)

    async def _record(self, message: Msg) -> None:
        _, _, aggregate, name = message.subject.split(".")
        header = dict(message.header or {})
        event = EVENT_BY_TYPE[header[headers.EVENT_TYPE]].model_validate_json(message.data)
        self._recorded[aggregate].append(RecordedEvent(name, event, header))

    def event_names(self, aggregate: UUID | str) -> list[str]:
        """What has been said of it so far, in order."""
        return [heard.name for heard in self._recorded[str(aggregate)]]

    async def wait_for(self, aggregate: UUID | str, name: str) -> RecordedEvent:
        """The event of that name, once it has come."""

        def found() -> RecordedEvent | None:
            return next((heard for heard in self._recorded[str(aggregate)] if heard.name == name), None)

        heard = await eventually(found)
        assert heard is not None
        return heard

    async def wait_for_fields(self, name: str, **fields: object) -> RecordedEvent:
        """The event of that name with those fields, whatever its aggregate."""

        def found() -> RecordedEvent | None:
            every = (heard for several in list(self._recorded.values()) for heard in several if heard.name == name)
            return next((one for one in every if _has(one.event, fields)), None)

        heard = await eventually(found)
        assert heard is not None
        return heard


def _has(event: Event, fields: dict[str, object]) -> bool:
    return all(getattr(event, field, None) == value for field, value in fields.items())
