"""Files in the NATS object store: uploads on their way in, pictures on their way out.

They are read chunk by chunk here, because the client library's own `get` needs a right that a service does not have
(to look up streams by any subject), and copies everything it has got with every chunk that comes.
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


class CorruptObjectError(Exception):
    """An object is not what was put."""


class ObjectBucket:
    """The objects of one bucket. While it cannot be reached, or has no leader, everything raises `Unavailable`."""

    def __init__(self, client: Client, bucket: str) -> None:
        self.js = client.jetstream(timeout=TIMEOUT_SECONDS)
        self.bucket = bucket

    async def put(self, name: str, content: bytes) -> None:
        with _reached():
            store = await self.js.object_store(self.bucket)
            await store.put(name, content)

    async def size(self, name: str) -> int | None:
        """None when there is no such object."""
        info = await self._info(name)
        return None if info is None else info.size or 0

    async def get(self, name: str) -> bytes | None:
        info = await self._info(name)
        if info is None:
            return None
        with _reached():
            content = await self._content(info)
        expected = urlsafe_b64decode((info.digest or "").removeprefix("SHA-256="))
        if hashlib.sha256(content).digest() != expected:
            raise CorruptObjectError(f"{self.bucket}/{name}")
        return content

    async def _content(self, info: ObjectInfo) -> bytes:
        chunks: list[bytes] = []
        missing = info.size or 0
        chunks_of = f"$O.{self.bucket}.C.{info.nuid}"
        sub = await self.js.subscribe(chunks_of, stream=f"OBJ_{self.bucket}", ordered_consumer=True)
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                while missing > 0:
                    chunks.append((await sub.next_msg(TIMEOUT_SECONDS)).data)
                    missing -= len(chunks[-1])
        finally:
            await sub.unsubscribe()
        return b"".join(chunks)

    async def _info(self, name: str) -> ObjectInfo | None:
        with _reached():
            store = await self.js.object_store(self.bucket)
            try:
                return await store.get_info(name)
            except NotFoundError:
                return None


@contextmanager
def _reached() -> Iterator[None]:
    try:
        yield
    except NatsError as error:
        raise Unavailable(retry_after=1) from error
