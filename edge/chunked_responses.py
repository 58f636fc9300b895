"""Responses that are too large for one reply: the edge asks for one page after another and writes each as a chunk.

Only one page is in memory, and the next one is asked for when the client has read most of it. When a page fails, the
connection is broken off, so that the client cannot take the beginning for the whole.
"""

from collections.abc import Awaitable, Callable, Mapping

import orjson
from aiohttp import web

from contracts import headers
from contracts.failure import Fail
from edge.request_parsing import PAGE_START_FIELD
from edge.upstream.product_batches import RawReply
from infra.foundation.telemetry import get_logger

log = get_logger("souk.http")


class PagedResponse(web.StreamResponse):
    """Sends the first page, and then those that `request_page` returns for the same payload with a position."""

    def __init__(
        self,
        first: RawReply,
        payload: bytes,
        request_page: Callable[[bytes], Awaitable[RawReply]],
        *,
        response_headers: Mapping[str, str],
    ) -> None:
        super().__init__(headers=response_headers)
        self._first = first
        self._payload = orjson.loads(payload)
        self._request_page = request_page

    async def send(self, request: web.BaseRequest) -> None:
        """Sends the headers and all pages. Stops when the client has gone away."""
        await self.prepare(request)
        if request.method == "HEAD":
            return
        page: RawReply | None = self._first
        try:
            while page is not None:
                await self.write(page[0])
                page = await self._next_page(page)
        except ConnectionError:
            return
        except Fail as fail:
            log.warning("response broken off", path=request.path, code=fail.code)
            if request.transport is not None:
                request.transport.abort()

    async def _next_page(self, page: RawReply) -> RawReply | None:
        position = page[1].get(headers.NEXT)
        if position is None:
            return None
        reply = await self._request_page(orjson.dumps({**self._payload, PAGE_START_FIELD: position}))
        if headers.ERROR_CODE in reply[1]:
            raise Fail.from_json(reply[0])
        return reply
