"""Files in the NATS object store: uploads that come in, images that are served, and invoices.

This module reads the chunks of a file itself, by direct get. The client library's `get` creates a consumer, which a
service may not do: the creator of a consumer chooses the subject to which NATS publishes the messages.
"""

import asyncio
import hashlib
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import orjson
from nats.aio.client import Client
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.js.api import ObjectInfo
from nats.js.errors import NotFoundError

from contracts.failure import Unavailable

TIMEOUT_SECONDS = 10.0
"""For one reply of JetStream, and for all chunks of a file."""


CHUNKS_PER_REQUEST = 64
"""Chunks of 128 KiB that NATS sends for one request."""
END_STATUSES = ("204", "404")
"""The statuses that end a direct read: the end of the batch, and no message found."""


class CorruptObjectError(Exception):
    """The content of an object does not match its digest."""


class ObjectFiles:
    """The files of one bucket. Every method raises `Unavailable` while the bucket is unreachable or has no leader."""

    def __init__(self, client: Client, bucket: str) -> None:
        self.client = client
        self.js = client.jetstream(timeout=TIMEOUT_SECONDS)
        self.bucket = bucket

    async def put(self, name: str, content: bytes) -> None:
        """Stores a file, or replaces it."""
        with _unavailable_on_error():
            store = await self.js.object_store(self.bucket)
            await store.put(name, content)

    async def size(self, name: str) -> int | None:
        """The size in bytes; None when there is no such file."""
        info = await self._find_info(name)
        return None if info is None else info.size or 0

    async def get(self, name: str) -> bytes | None:
        """The content; None when there is no such file."""
        info = await self._find_info(name)
        if info is None:
            return None
        with _unavailable_on_error():
            content = await self._read_chunks(info)
        expected = urlsafe_b64decode((info.digest or "").removeprefix("SHA-256="))
        if hashlib.sha256(content).digest() != expected:
            raise CorruptObjectError(f"{self.bucket}/{name}")
        return content

    async def delete(self, name: str) -> None:
        """Deletes a file; one that does not exist is deleted already."""
        with _unavailable_on_error():
            store = await self.js.object_store(self.bucket)
            with suppress(NotFoundError):
                await store.delete(name)

    async def _read_chunks(self, info: ObjectInfo) -> bytes:
        """Reads every chunk of a file. Raises `Unavailable` while one is missing: a node may lag behind its leader."""
        chunks: list[bytes] = []
        inbox = self.client.new_inbox()
        replies = await self.client.subscribe(inbox)
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                sequence: int | None = 1
                while sequence is not None and len(chunks) < (info.chunks or 0):
                    await self._request_chunks(info, sequence, inbox)
                    sequence = await _receive_chunks(replies, chunks)
        except TimeoutError:
            raise Unavailable(retry_after=1) from None
        finally:
            await replies.unsubscribe()
        if len(chunks) < (info.chunks or 0):
            raise Unavailable(retry_after=1)
        return b"".join(chunks)

    async def _request_chunks(self, info: ObjectInfo, sequence: int, inbox: str) -> None:
        request = {
            "seq": sequence,
            "batch": CHUNKS_PER_REQUEST,
            "next_by_subj": f"$O.{self.bucket}.C.{info.nuid}",
        }
        await self.client.publish(f"$JS.API.DIRECT.GET.OBJ_{self.bucket}", orjson.dumps(request), reply=inbox)

    async def _find_info(self, name: str) -> ObjectInfo | None:
        with _unavailable_on_error():
            store = await self.js.object_store(self.bucket)
            try:
                return await store.get_info(name)
            except NotFoundError:
                return None


async def _receive_chunks(replies: Subscription, chunks: list[bytes]) -> int | None:
    """Adds the chunks of one request. Returns the sequence from which the next ones are read; None after the last."""
    sequence: int | None = None
    while True:
        message = await replies.next_msg(TIMEOUT_SECONDS)
        header = message.headers or {}
        if status := header.get("Status"):
            if status not in END_STATUSES:
                raise ConnectionError(status)
            return sequence
        chunks.append(message.data)
        sequence = int(header["Nats-Sequence"]) + 1 if int(header["Nats-Num-Pending"]) else None


@contextmanager
def _unavailable_on_error() -> Iterator[None]:
    try:
        yield
    except (NatsError, ConnectionError) as error:
        raise Unavailable(retry_after=1) from error
