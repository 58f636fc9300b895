"""Files on their way to a service: through a temporary file into the object store, under the digest of their content.

The same file twice has the same name, so that an idempotency key sees the same request, and nothing unfinished is ever
in the store.
"""

import hashlib
import tempfile
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from typing import IO, Any

from aiohttp import BodyPartReader, MultipartReader, web
from aiohttp.http import HttpProcessingError
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError

from contracts.failure import FieldError, InvalidRequest, MalformedRequest, PayloadTooLarge, Unavailable
from edge.request_parsing import unknown_field
from edge.routes import MEBIBYTE, BodyFormat
from infra.foundation.failpoints import failpoint

UPLOAD_BUCKET = "UPLOADS"
CHUNK_BYTES = 64 * 1024
MAX_TEXT_BYTES = 4096
FILE_FIELDS = frozenset({"image", "file"})


class UploadStore:
    """Puts uploads into the object store."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def store_csv(self, request: web.BaseRequest) -> dict[str, Any]:
        """The fields of the ask that stand for the file."""
        return {"upload": await self._kept(request.content.iter_chunked(CHUNK_BYTES), BodyFormat.CSV)}

    async def store_image_form(self, request: web.BaseRequest) -> dict[str, Any]:
        """The picture and the text fields of a form."""
        said: dict[str, Any] = {}
        if not request.body_exists:
            raise _without_picture()
        try:
            form = await request.multipart()
            while (part := await form.next()) is not None:
                await self._take(part, said)
        except (ValueError, RuntimeError, AssertionError, HttpProcessingError):
            raise MalformedRequest("The form cannot be read.") from None
        if "upload" not in said:
            raise _without_picture()
        return said

    async def _take(self, part: BodyPartReader | MultipartReader, said: dict[str, Any]) -> None:
        if isinstance(part, MultipartReader) or not part.name or not part.name.isprintable():
            raise MalformedRequest("The form has a part without a name that can be read.")
        name = "upload" if part.name in FILE_FIELDS else part.name
        if name in said or part.name == "upload":
            raise InvalidRequest(errors=[unknown_field(part.name)])
        said[name] = await self._kept(_chunks(part), BodyFormat.IMAGE) if name == "upload" else await _text(part)

    async def _kept(self, source: AsyncIterable[bytes], media: BodyFormat) -> str:
        async with _spooled(source, media) as (name, content):
            try:
                await self._put(name, content)
            except (NatsError, OSError) as error:
                raise Unavailable("The upload cannot be kept just now", retry_after=1) from error
            failpoint("edge.uploaded")
        return name

    async def _put(self, name: str, content: IO[bytes]) -> None:
        store = await self._client.jetstream(timeout=5).object_store(UPLOAD_BUCKET)
        try:
            await store.get_info(name)
        except NotFoundError:
            await store.put(name, content)  # type: ignore[arg-type]  # reads it with readinto, as its code says


@asynccontextmanager
async def _spooled(source: AsyncIterable[bytes], media: BodyFormat) -> AsyncIterator[tuple[str, IO[bytes]]]:
    """The content from its beginning, and the digest it is called by."""
    digest, size = hashlib.sha256(), 0
    with tempfile.SpooledTemporaryFile(max_size=MEBIBYTE) as content:
        async for chunk in source:
            size += len(chunk)
            if size > media.value:
                raise PayloadTooLarge
            digest.update(chunk)
            content.write(chunk)
        content.seek(0)
        yield digest.hexdigest(), content


def _without_picture() -> InvalidRequest:
    return InvalidRequest(errors=[FieldError(pointer="/image", detail="Field required")])


async def _chunks(part: BodyPartReader) -> AsyncIterator[bytes]:
    while not part.at_eof():
        yield await part.read_chunk(CHUNK_BYTES)


async def _text(part: BodyPartReader) -> str:
    found = b""
    async for chunk in _chunks(part):
        found += chunk
        if len(found) > MAX_TEXT_BYTES:
            raise PayloadTooLarge
    return found.decode()
