"""One HTTP request as the edge sees it: its client, its trace, and what its headers ask for."""

import random
import re
from dataclasses import dataclass

from aiohttp import web

from contracts.order import MAX_TOKEN_LENGTH
from edge.client_ip import PROXY_SECRET_HEADER, ClientIpResolver
from edge.ratelimit.policies import Allowance
from edge.routes import ORDER_ACCESS_HEADER
from infra.foundation import trace
from infra.foundation.ids import new_id
from infra.foundation.trace import Trace

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_ORDER_TOKEN = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_TOKEN_LENGTH}}}")
_NO_TOKEN = "-"  # noqa: S105 - no secret
"""A token that opens nothing."""


@dataclass(slots=True)
class RequestContext:
    """A request. `path` and `query` are as the client sent them, still percent-encoded."""

    request: web.BaseRequest
    method: str
    path: str
    query: str
    request_id: str
    client_ip: str
    allowance: Allowance | None = None
    """What is left of the rate limit, once the request is counted."""
    is_answered_from_cache: bool = False

    @property
    def is_rate_limited(self) -> bool:
        """Whether the request was refused by a rate limit."""
        return self.allowance is not None and self.allowance.is_refused

    def header(self, name: str) -> str | None:
        """Returns a request header; None without it."""
        return self.request.headers.get(name)

    def header_lines(self, name: str) -> list[str]:
        """Returns every line of a request header that holds a list."""
        return self.request.headers.getall(name, [])


def create_context(request: web.BaseRequest, client_ips: ClientIpResolver) -> RequestContext:
    """Reads the path, the request id and the client's address. A missing or unsafe request id is replaced."""
    path, _, query = request.raw_path.partition("?")
    headers = request.headers
    request_id = headers.get("X-Request-Id", "")
    if not _REQUEST_ID.fullmatch(request_id):
        request_id = str(new_id())
    client_ip = client_ips.resolve(
        request.remote or "",
        headers.getall("X-Forwarded-For", ()),
        headers.get("X-Real-IP"),
        headers.get(PROXY_SECRET_HEADER),
    )
    return RequestContext(request, request.method, path, query, request_id, client_ip)


def start_trace(context: RequestContext, sample_rate: float) -> Trace:
    """Continues the client's trace, or starts a new one, of which `sample_rate` (0 to 1) are recorded."""
    traceparent = context.header("traceparent")
    if traceparent is not None:
        return trace.parse(traceparent, request_id=context.request_id)
    is_sampled = sample_rate > 0 and random.random() < sample_rate  # noqa: S311 - chooses a sample, hides nothing
    return trace.start(sampled=is_sampled, request_id=context.request_id)


def read_order_token(context: RequestContext) -> str | None:
    """Returns the token of a guest's order; None without one. What cannot be a token becomes one that opens nothing."""
    token = context.header(ORDER_ACCESS_HEADER)
    return token if token is None or _ORDER_TOKEN.fullmatch(token) else _NO_TOKEN
