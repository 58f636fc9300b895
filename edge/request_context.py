"""One HTTP request as the edge sees it: who it is from, which trace it belongs to, what its headers ask for."""

import random
import re
from dataclasses import dataclass

from aiohttp import web

from contracts.failure import IdempotencyKeyRequired, InvalidIdempotencyKey
from edge.client_ip import ClientIpResolver
from edge.ratelimit.policies import Allowance
from edge.routes import Route
from infra.foundation import trace
from infra.foundation.ids import new_id
from infra.foundation.trace import Trace

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_KEY = re.compile(r"[\x20-\x7e]{1,255}")


@dataclass(slots=True)
class RequestContext:
    """`path` and `query` are as they came, still escaped."""

    request: web.BaseRequest
    method: str
    path: str
    query: str
    request_id: str
    client_ip: str
    route: str = "unknown"
    writes: bool = False
    allowance: Allowance | None = None
    """What is left to whoever asks, once they were counted."""

    @property
    def is_rate_limited(self) -> bool:
        """Whether it was one too many."""
        return self.allowance is not None and self.allowance.wait_seconds > 0

    def header(self, name: str) -> str | None:
        return self.request.headers.get(name)


def create_context(request: web.BaseRequest, addresses: ClientIpResolver) -> RequestContext:
    path, _, query = request.raw_path.partition("?")
    said = request.headers
    request_id = said.get("X-Request-Id", "")
    if not _REQUEST_ID.fullmatch(request_id):
        request_id = str(new_id())
    client = addresses.resolve(request.remote or "", said.get("X-Forwarded-For"), said.get("X-Real-IP"))
    return RequestContext(request, request.method, path, query, request_id, client)


def start_trace(exchange: RequestContext, sample_rate: float) -> Trace:
    """The trace that the client began, or a new one, of which a share is recorded."""
    traceparent = exchange.header("traceparent")
    if traceparent is not None:
        return trace.parse(traceparent, request_id=exchange.request_id)
    return trace.start(sampled=sample_rate > 0 and random.random() < sample_rate, request_id=exchange.request_id)  # noqa: S311


def read_idempotency_key(exchange: RequestContext, route: Route, *, required: bool) -> str | None:
    """The key of a POST."""
    if exchange.method != "POST":
        return None
    key = exchange.header("Idempotency-Key")
    if key is None:
        if required and route.moves_money:
            raise IdempotencyKeyRequired
        return None
    if not _KEY.fullmatch(key):
        raise InvalidIdempotencyKey
    return key
