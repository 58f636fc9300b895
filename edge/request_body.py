"""Bodies: the media type a route takes, and never more bytes than it takes."""

from aiohttp import web

from contracts.failure import PayloadTooLarge, UnsupportedMediaType
from edge.routes import BodyFormat

FORM_OVERHEAD_BYTES = 64 * 1024
"""Bytes that a form's own lines may have around what it carries."""
_TYPES = {BodyFormat.JSON: "application/json", BodyFormat.CSV: "text/csv", BodyFormat.IMAGE: "multipart/form-data"}


def check_body_headers(request: web.BaseRequest, media: BodyFormat) -> None:
    """Refuses by the headers alone, before anything is read. No body needs no type."""
    if not request.body_exists:
        return
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("The body is taken as it is, not compressed.")
    if request.content_type != _TYPES[media] or (request.charset or "utf-8").lower() not in ("utf-8", "utf8"):
        raise UnsupportedMediaType(f"This route takes {_TYPES[media]} in UTF-8.")
    if (request.content_length or 0) > media.value + (FORM_OVERHEAD_BYTES if media is BodyFormat.IMAGE else 0):
        raise PayloadTooLarge


async def read_body(request: web.BaseRequest, limit: int) -> bytes:
    """The whole body; one without a length is measured as it comes."""
    if not request.body_exists:
        return b""
    body = bytearray()
    while chunk := await request.content.readany():
        body += chunk
        if len(body) > limit:
            raise PayloadTooLarge
    return bytes(body)
