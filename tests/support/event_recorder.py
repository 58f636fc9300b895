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
class Heard:
    """An event with the headers it came with."""

    name: str
    event: Event
    headers: dict[str, str]


class Events:
    """Listens to `event.>` and remembers."""

    def __init__(self) -> None:
        self._heard: dict[str, list[Heard]] = defaultdict(list)

    async def listen(self, client: Client) -> None:
        await client.subscribe("event.>", cb=self._hear)

    async def _hear(self, message: Msg) -> None:
        _, _, aggregate, name = message.subject.split(".")
        header = dict(message.header or {})
        event = EVENT_BY_TYPE[header[headers.EVENT_TYPE]].model_validate_json(message.data)
        self._heard[aggregate].append(Heard(name, event, header))

    def names(self, aggregate: UUID | str) -> list[str]:
        """What has been said of it so far, in order."""
        return [heard.name for heard in self._heard[str(aggregate)]]

    async def of(self, aggregate: UUID | str, name: str) -> Heard:
        """The event of that name, once it has come."""

        def found() -> Heard | None:
            return next((heard for heard in self._heard[str(aggregate)] if heard.name == name), None)

        heard = await eventually(found)
        assert heard is not None
        return heard

    async def about(self, name: str, **fields: object) -> Heard:
        """The event of that name with those fields, whatever its aggregate."""

        def found() -> Heard | None:
            every = (heard for several in list(self._heard.values()) for heard in several if heard.name == name)
            return next((one for one in every if _has(one.event, fields)), None)

        heard = await eventually(found)
        assert heard is not None
        return heard


def _has(event: Event, fields: dict[str, object]) -> bool:
    return all(getattr(event, field, None) == value for field, value in fields.items())
