"""Reads files that the edge has put into the object store for a request."""

from contracts.failure import FieldError, InvalidRequest, PayloadTooLarge
from services.catalog.deps import CatalogDeps

MAX_IMAGE_UPLOAD_BYTES = 10 * 1024 * 1024
MAX_CSV_UPLOAD_BYTES = 50 * 1024 * 1024


async def read_upload(deps: CatalogDeps, name: str, max_bytes: int) -> bytes:
    """The content of an uploaded file; raises `PayloadTooLarge` before it reads a file that is too large."""
    size = await deps.uploads.size(name)
    if size is not None and size > max_bytes:
        raise PayloadTooLarge
    content = await deps.uploads.get(name)
    if content is None:
        raise InvalidRequest(errors=[FieldError(pointer="/upload", detail="There is no upload with this name.")])
    return content
