"""Faults of delivery, made through NATS: duplicated events, and events in another order."""

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
from contracts.operator_redelivery import DeliveredTooEarly, RedeliverEvent
from contracts.registry import EVENT_BY_TYPE, REDELIVER, SUBSCRIPTIONS
from infra.messaging.rpc_client import RpcClient
from infra.messaging.topology import DEAD_LETTER_STREAM

MAX_EVENTS = 25
"""How many events one fault repeats."""

UNREADABLE_BODY = b"nonsense"
"""The body of the events that no service can parse."""


class DeliveryFaults:
    """What an operator can do to streams and consumers."""

    def __init__(self, client: Client, rng: random.Random) -> None:
        self.client = client
        self.js: JetStreamContext = client.jetstream(timeout=5)
        self.rpc = RpcClient(client, 5.0)
        self.random = rng

    async def duplicate_events(self, stream: str) -> int:
        """Publishes some of the newest events again with new message ids; returns how many there were."""
        last = (await self.js.stream_info(stream)).state.last_seq
        events = await self._stored(stream, max(1, last - 4 * MAX_EVENTS), last)
        for event in self.random.sample(events, min(MAX_EVENTS, len(events))):
            header = {**(event.headers or {}), headers.MESSAGE_ID: uuid4().hex}
            await self.js.publish(event.subject or "", event.data or b"", headers=header)
        return len(events)

    async def pause_consumer(self, stream: str, consumer: str, seconds: float) -> int:
        """Pauses a consumer; returns the last sequence before the pause."""
        until = datetime.now(UTC) + timedelta(seconds=seconds)
        body = orjson.dumps({"pause_until": until.isoformat()})
        reply = await self.client.request(f"$JS.API.CONSUMER.PAUSE.{stream}.{consumer}", body, timeout=5)
        response: dict[str, Any] = orjson.loads(reply.data)
        if "error" in response:
            raise ConnectionError(str(response["error"]))
        return (await self.js.stream_info(stream)).state.last_seq

    async def redeliver_shuffled(self, stream: str, service: str, after: int) -> int:
        """Redelivers the events stored since then in random order; returns how many there were."""
        last = (await self.js.stream_info(stream)).state.last_seq
        events = [event for event in await self._stored(stream, after + 1, last) if _is_consumed_by(event, service)]
        self.random.shuffle(events)
        for event in events[: 4 * MAX_EVENTS]:
            with suppress(DeliveredTooEarly):
                await self.rpc.request(REDELIVER[service], _to_redelivery(event))
        return len(events)

    async def _stored(self, stream: str, first: int, last: int) -> list[RawStreamMsg]:
        found = []
        for sequence in range(first, last + 1):
            try:
                found.append(await self.js.get_msg(stream, sequence))
            except NotFoundError:
                continue
        return found


def _is_consumed_by(event: RawStreamMsg, service: str) -> bool:
    return EVENT_BY_TYPE.get((event.headers or {}).get(headers.EVENT_TYPE, "")) in SUBSCRIPTIONS[service]


def _to_redelivery(event: RawStreamMsg) -> RedeliverEvent:
    header = event.headers or {}
    return RedeliverEvent(
        id=UUID(header[headers.EVENT_ID]),
        type=header[headers.EVENT_TYPE],
        data=(event.data or b"").decode(),
        subject=event.subject,
        traceparent=header.get(headers.TRACEPARENT),
        request_id=header.get(headers.REQUEST_ID),
    )


async def delete_unreadable_events(deliveries: DeliveryFaults) -> int:
    """Deletes the unparseable events of the failpoint scenarios and their dead letters, as an operator would."""
    removed = 0
    for sequence in range(1, (await deliveries.js.stream_info(DEAD_LETTER_STREAM)).state.last_seq + 1):
        with suppress(NotFoundError):
            dead_letter = await deliveries.js.get_msg(DEAD_LETTER_STREAM, sequence)
            header = dead_letter.headers or {}
            if dead_letter.data == UNREADABLE_BODY:
                await deliveries.js.delete_msg(DEAD_LETTER_STREAM, sequence)
                with suppress(NotFoundError):
                    await deliveries.js.delete_msg(header[headers.DEAD_STREAM], int(header[headers.DEAD_SEQUENCE]))
                removed += 1
    return removed
