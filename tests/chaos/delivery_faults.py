"""Faults of delivery: events that come twice, and events that come in another order, made through NATS itself."""

import random
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError

from contracts import headers
from contracts.redelivery import HeardTooSoon, HearEvent
from contracts.registry import EVENT_BY_TYPE, HEAR, HEARS
from infra.messaging.rpc import Asker

MOST = 25
"""Events that one such fault takes."""


class Deliveries:
    """What an operator can do to the streams."""

    def __init__(self, client: Client, chance: random.Random) -> None:
        self.client = client
        self.js: JetStreamContext = client.jetstream(timeout=5)
        self.asker = Asker(client, 5.0)
        self.random = chance

    async def repeat(self, stream: str) -> int:
        """Publishes some of the newest events once more, as events that JetStream has not seen; how many."""
        last = (await self.js.stream_info(stream)).state.last_seq
        events = await self._stored(stream, max(1, last - 4 * MOST), last)
        for event in self.random.sample(events, min(MOST, len(events))):
            said = {**(event.headers or {}), headers.MESSAGE_ID: uuid4().hex}
            await self.js.publish(event.subject or "", event.data or b"", headers=said)
        return len(events)

    async def pause(self, stream: str, consumer: str, seconds: float) -> int:
        """JetStream delivers nothing to it meanwhile; the last sequence number before."""
        until = datetime.now(UTC) + timedelta(seconds=seconds)
        body = orjson.dumps({"pause_until": until.isoformat()})
        reply = await self.client.request(f"$JS.API.CONSUMER.PAUSE.{stream}.{consumer}", body, timeout=5)
        answer: dict[str, Any] = orjson.loads(reply.data)
        if "error" in answer:
            raise ConnectionError(str(answer["error"]))
        return (await self.js.stream_info(stream)).state.last_seq

    async def hand_over(self, stream: str, service: str, after: int) -> int:
        """Gives the service what was stored since, in another order, before the stream does; how many events."""
        last = (await self.js.stream_info(stream)).state.last_seq
        events = [event for event in await self._stored(stream, after + 1, last) if _heard(event, service)]
        self.random.shuffle(events)
        for event in events[: 4 * MOST]:
            with suppress(HeardTooSoon):
                await self.asker.ask(HEAR[service], _handed(event))
        return len(events)

    async def _stored(self, stream: str, first: int, last: int) -> list[RawStreamMsg]:
        found = []
        for sequence in range(first, last + 1):
            try:
                found.append(await self.js.get_msg(stream, sequence))
            except NotFoundError:
                continue
        return found


def _heard(event: RawStreamMsg, service: str) -> bool:
    return EVENT_BY_TYPE.get((event.headers or {}).get(headers.EVENT_TYPE, "")) in HEARS[service]


def _handed(event: RawStreamMsg) -> HearEvent:
    said = event.headers or {}
    return HearEvent(
        id=UUID(said[headers.EVENT_ID]),
        type=said[headers.EVENT_TYPE],
        data=(event.data or b"").decode(),
        subject=event.subject,
        traceparent=said.get(headers.TRACEPARENT),
        request_id=said.get(headers.REQUEST_ID),
    )
