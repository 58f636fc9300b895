"""An order whose events a test publishes, as the order service and its outbox do."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from nats.aio.client import Client

from contracts import headers, order
from contracts.event import Event
from contracts.failure import Fail
from infra.foundation.ids import new_id, now
from tests.edge.conftest import StubServices

TYPES: dict[str, type[Event]] = {event.name: event for event in order.EVENTS}


@dataclass
class PublishedOrder:
    """Publishes the events of one order, and replies to requests to follow it."""

    services: StubServices
    id: UUID = field(default_factory=new_id)
    sequences: list[int] = field(default_factory=list)

    @property
    def path(self) -> str:
        return f"/orders/{self.id}/events"

    @property
    def client(self) -> Client:
        return self.services.client

    async def publish(self, *names: str, **body: Any) -> None:
        """Publishes events by their names; `body` has fields of the last one."""
        for name in names:
            kind = TYPES[name]
            sent = {
                headers.EVENT_ID: str(new_id()),
                headers.EVENT_TYPE: kind.ce_type(),
                headers.EVENT_TIME: datetime.now(UTC).isoformat(),
            }
            content = {"order_version": len(self.sequences) + 1, **(body if name == names[-1] else {})}
            subject = f"event.order.{self.id}.{name}"
            ack = await self.client.jetstream().publish(subject, orjson.dumps(content), headers=sent, stream="ORDER")
            self.sequences.append(ack.seq)

    def reply(self, *statuses: str, is_final: bool = False, age: timedelta = timedelta()) -> None:
        """Sets the history that the order service replies with; its entries are of this age."""
        at = (now() - age).isoformat()
        history = [{"status": status, "at": at, "note": None} for status in statuses]
        body = {"status": statuses[-1], "history": history, "is_final": is_final}
        self.services.respond("order.follow", orjson.dumps(body))

    def refuse(self, kind: type[Fail]) -> None:
        """Sets the failure by which the order service refuses a caller who asks to follow the order."""
        status = str(int(kind.status))
        self.services.respond(
            "order.follow", kind().to_json(), Nats_Service_Error=kind.code, Nats_Service_Error_Code=status
        )
