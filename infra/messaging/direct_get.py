"""Reads stored messages of a stream by direct get: from any node that has a replica, without a consumer.

A replica may lag behind the stream's leader. A reader goes forward only, and asks again for what is not there yet.
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import nats.errors
import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg

from contracts.failure import Unavailable
from infra.messaging.topology import direct_get_subject

TIMEOUT_SECONDS = 2.0
NOT_FOUND = "404"
END_OF_BATCH = "204"


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message as it lies in a stream, with its sequence number there and the time at which it was stored."""

    subject: str
    sequence: int
    stored_at: datetime
    headers: Mapping[str, str]
    body: bytes


async def get_next(client: Client, stream: str, subject: str, sequence: int) -> StoredMessage | None:
    """Returns the first message of these subjects from `sequence` on; None if there is none.

    Raises `Unavailable` if the stream cannot be read.
    """
    request = orjson.dumps({"seq": sequence, "next_by_subj": subject})
    with _translate_errors():
        reply = await client.request(direct_get_subject(stream), request, timeout=TIMEOUT_SECONDS)
        return None if _ends(reply) else _stored_message(reply)


async def get_batch(
    client: Client, stream: str, subject: str, sequence: int, *, batch_size: int, max_bytes: int = 0
) -> list[StoredMessage]:
    """Returns messages of these subjects from `sequence` on, in order: at most `batch_size`, and of `max_bytes`.

    There may be more, unless the list is empty. Raises `Unavailable` if the stream cannot be read.
    """
    request = {"seq": sequence, "next_by_subj": subject, "batch": batch_size}
    if max_bytes:
        request["max_bytes"] = max_bytes
    inbox = client.new_inbox()
    messages: list[StoredMessage] = []
    with _translate_errors():
        replies = await client.subscribe(inbox)
        try:
            await client.publish(direct_get_subject(stream), orjson.dumps(request), reply=inbox)
            async with asyncio.timeout(TIMEOUT_SECONDS):
                while not _ends(reply := await replies.next_msg(timeout=TIMEOUT_SECONDS)):
                    messages.append(_stored_message(reply))
        finally:
            await replies.unsubscribe()
    return messages


@contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except (nats.errors.Error, OSError) as error:  # TimeoutError is an OSError
        raise Unavailable(retry_after=1) from error


def _ends(reply: Msg) -> bool:
    """Whether the reply says that there are no more messages. Raises `ConnectionError` for any other status."""
    status = (reply.headers or {}).get("Status")
    if status is not None and status not in (NOT_FOUND, END_OF_BATCH):
        raise ConnectionError(status)
    return status is not None


def _stored_message(reply: Msg) -> StoredMessage:
    headers = reply.headers or {}
    return StoredMessage(
        headers["Nats-Subject"],
        int(headers["Nats-Sequence"]),
        datetime.fromisoformat(headers["Nats-Time-Stamp"]),
        headers,
        reply.data,
    )
