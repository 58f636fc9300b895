"""Stores uploaded files in the object store, through a temporary file, under the digest of their content.

The same file always has the same name, so that a repeated request has the same payload under its idempotency key. A
file is stored only after it has arrived completely.
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
from edge.request_parsing import UPLOAD_FIELD, body_too_large, unknown_field
from edge.routes import MEBIBYTE, BodyFormat
from infra.foundation.failpoints import failpoint

UPLOAD_BUCKET = "UPLOADS"
CHUNK_BYTES = 64 * 1024
MAX_TEXT_BYTES = 4096
"""The size of a text field in a form."""
FILE_FIELDS = frozenset({"image", "file"})


class UploadStore:
    """Stores uploads and returns the payload fields that stand for them."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def store_csv(self, request: web.BaseRequest) -> dict[str, Any]:
        """Stores a body that is the file itself."""
        return {UPLOAD_FIELD: await self._store(request.content.iter_chunked(CHUNK_BYTES), BodyFormat.CSV)}

    async def store_image_form(self, request: web.BaseRequest) -> dict[str, Any]:
        """Stores the image of a form. Returns its name with the form's text fields."""
        fields: dict[str, Any] = {}
        if not request.body_exists:
            raise _image_missing()
        try:
            form = await request.multipart()
            while (part := await form.next()) is not None:
                await self._read_part(part, fields)
        except (ValueError, RuntimeError, AssertionError, HttpProcessingError):
            raise MalformedRequest("The form cannot be read. Send it as `multipart/form-data`.") from None
        if UPLOAD_FIELD not in fields:
            raise _image_missing()
        return fields

    async def _read_part(self, part: BodyPartReader | MultipartReader, fields: dict[str, Any]) -> None:
        if isinstance(part, MultipartReader) or not part.name or not part.name.isprintable():
            raise MalformedRequest("Give every part of the form a name of printable characters.")
        name = UPLOAD_FIELD if part.name in FILE_FIELDS else part.name
        if name in fields or part.name == UPLOAD_FIELD:
            raise InvalidRequest(errors=[unknown_field(part.name)])
        is_file = name == UPLOAD_FIELD
        fields[name] = await self._store(_chunks(part), BodyFormat.IMAGE) if is_file else await _read_text(part)

    async def _store(self, chunks: AsyncIterable[bytes], body_format: BodyFormat) -> str:
        async with _spooled(chunks, body_format) as (name, content):
            try:
                await self._put(name, content)
            except (NatsError, OSError) as error:
                detail = "The upload cannot be stored at the moment. Try again shortly."
                raise Unavailable(detail, retry_after=1) from error
            failpoint("edge.uploaded")
        return name

    async def _put(self, name: str, content: IO[bytes]) -> None:
        store = await self._client.jetstream(timeout=5).object_store(UPLOAD_BUCKET)
        try:
            await store.get_info(name)
        except NotFoundError:
            await store.put(name, content)  # type: ignore[arg-type]  # nats-py only calls its readinto()


@asynccontextmanager
async def _spooled(chunks: AsyncIterable[bytes], body_format: BodyFormat) -> AsyncIterator[tuple[str, IO[bytes]]]:
    """Yields the content's digest, and the content in a temporary file at its beginning."""
    digest, size = hashlib.sha256(), 0
    with tempfile.SpooledTemporaryFile(max_size=MEBIBYTE) as content:
        async for chunk in chunks:
            size += len(chunk)
            if size > body_format.max_bytes:
                raise body_too_large(body_format)
            digest.update(chunk)
            content.write(chunk)
        content.seek(0)
        yield digest.hexdigest(), content


def _image_missing() -> InvalidRequest:
    return InvalidRequest(errors=[FieldError(pointer="/image", detail="Send an image file in the form field `image`.")])


async def _chunks(part: BodyPartReader) -> AsyncIterator[bytes]:
    while not part.at_eof():
        yield await part.read_chunk(CHUNK_BYTES)


async def _read_text(part: BodyPartReader) -> str:
    text = b""
    async for chunk in _chunks(part):
        text += chunk
        if len(text) > MAX_TEXT_BYTES:
            raise PayloadTooLarge(f"A text field of the form may have at most {MAX_TEXT_BYTES} bytes.")
    return text.decode()
