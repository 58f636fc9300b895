"""aiohttp's low-level HTTP server, without its own texts: a request that is not valid HTTP gets a problem too."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from contracts.failure import InternalError, MalformedRequest
from edge.responses import problem_response
from infra.foundation.ids import new_id

KEEP_ALIVE_SECONDS = 75.0
"""How long an idle connection stays open; longer than Nginx keeps one, so that Nginx never writes into a closed one."""
MAX_HEADER_BYTES = 16 * 1024

# aiohttp logs the line that it could not parse, which may contain a token.
_disabled_log = logging.getLogger("souk.http.unread")
_disabled_log.disabled = True


class _Connection(RequestHandler):
    """One client's connection."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        super().handle_error(request, status, exc, message)  # closes the connection, or raises once a response began
        request_id = str(new_id())
        is_ours = status == InternalError.status
        fail = InternalError() if is_ours else MalformedRequest("The request is not valid HTTP/1.1.")
        response = problem_response(fail, request_id)
        response.headers["X-Request-Id"] = request_id
        response.headers["Server"] = "souk"
        response.force_close()
        return response


class HttpServer(web.Server):
    """Passes each request to `handle`."""

    def __init__(self, handle: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> None:
        self._options: dict[str, Any] = {
            "access_log": None,
            "logger": _disabled_log,
            "keepalive_timeout": KEEP_ALIVE_SECONDS,
            "max_line_size": MAX_HEADER_BYTES,
            "max_field_size": MAX_HEADER_BYTES,
            "auto_decompress": False,
        }
        super().__init__(handle, **self._options)

    def __call__(self) -> RequestHandler:
        return _Connection(self, loop=self._loop, **self._options)
