"""Files in the NATS object store: uploads that come in, and images that are served.

This module reads the chunks of a file itself. The client library's `get` needs a permission that a service does not
have (to look up streams by any subject), and copies everything received so far with each chunk.
"""

import asyncio
import hashlib
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from contextlib import contextmanager

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import ObjectInfo
from nats.js.errors import NotFoundError

from contracts.failure import Unavailable

UPLOADS = "UPLOADS"
IMAGES = "IMAGES"
TIMEOUT_SECONDS = 10.0
"""For one reply of JetStream, and for all chunks of a file."""


class CorruptObjectError(Exception):
    """The content of an object does not match its digest."""


class ObjectFiles:
    """The files of one bucket. Every method raises `Unavailable` while the bucket is unreachable or has no leader."""

    def __init__(self, client: Client, bucket: str) -> None:
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

    async def _read_chunks(self, info: ObjectInfo) -> bytes:
        chunks: list[bytes] = []
        missing = info.size or 0
        subject = f"$O.{self.bucket}.C.{info.nuid}"
        sub = await self.js.subscribe(subject, stream=f"OBJ_{self.bucket}", ordered_consumer=True)
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                while missing > 0:
                    chunks.append((await sub.next_msg(TIMEOUT_SECONDS)).data)
                    missing -= len(chunks[-1])
        finally:
            await sub.unsubscribe()
        return b"".join(chunks)

    async def _find_info(self, name: str) -> ObjectInfo | None:
        with _unavailable_on_error():
            store = await self.js.object_store(self.bucket)
            try:
                return await store.get_info(name)
            except NotFoundError:
                return None


@contextmanager
def _unavailable_on_error() -> Iterator[None]:
    try:
        yield
    except NatsError as error:
        raise Unavailable(retry_after=1) from error
