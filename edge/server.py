"""The HTTP server: aiohttp's own, without its words. What cannot be read as HTTP is refused as a problem too."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from contracts.failure import InternalError, MalformedRequest
from edge.responses import problem_response
from infra.foundation.ids import new_id

KEEP_ALIVE_SECONDS = 75.0
"""Seconds an idle connection stays; longer than Nginx keeps one, so that it never writes into a closed one."""
MAX_HEADER_BYTES = 16 * 1024

# aiohttp logs the line it could not read, which may be somebody's token.
_silent = logging.getLogger("souk.http.unread")
_silent.disabled = True


class _Connection(RequestHandler):
    """One client's connection."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        super().handle_error(request, status, exc, message)  # closes the connection, or raises when it is too late
        request_id = str(new_id())
        fail = InternalError() if status == InternalError.status else MalformedRequest("This is not an HTTP request.")
        response = problem_response(fail, request_id)
        response.headers["X-Request-Id"] = request_id
        response.headers["Server"] = "souk"
        response.force_close()
        return response


class HttpServer(web.Server):
    """Hands each request to `handle`."""

    def __init__(self, handle: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> None:
        self._options: dict[str, Any] = {
            "access_log": None,
            "logger": _silent,
            "keepalive_timeout": KEEP_ALIVE_SECONDS,
            "max_line_size": MAX_HEADER_BYTES,
            "max_field_size": MAX_HEADER_BYTES,
            "auto_decompress": False,
        }
        super().__init__(handle, **self._options)

    def __call__(self) -> RequestHandler:
        return _Connection(self, loop=self._loop, **self._options)
