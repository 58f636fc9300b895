"""Every request and every answer passes here: found by path, traced, answered or refused as a problem, counted."""

import logging
import time
from collections.abc import Iterable
from http import HTTPStatus
from typing import Protocol

from aiohttp import web
from opentelemetry.trace import SpanKind, Tracer

from contracts.failure import Fail, InternalError, Malformed, MethodNotAllowed, NotFound
from edge import responses as answers
from edge.client_ip import Addresses
from edge.cors import Cors
from edge.request_context import Exchange, received, traced
from edge.router import Found, Refused, Router
from edge.settings import EdgeSettings
from infra.foundation import trace
from infra.foundation.telemetry import Metrics

log = logging.getLogger("souk.http")


class End(Protocol):
    """What answers at a path."""

    @property
    def path(self) -> str: ...

    @property
    def writes(self) -> bool: ...

    async def answer(self, exchange: Exchange, params: dict[str, str]) -> web.StreamResponse: ...


class Gateway:
    """The handler of the HTTP server."""

    def __init__(
        self, settings: EdgeSettings, ends: Iterable[tuple[str, str, End]], metrics: Metrics, tracer: Tracer | None
    ) -> None:
        self._router = Router(ends)
        self._sample = settings.edge_sample
        self._addresses = Addresses(settings.edge_trusted_proxies)
        self._cors = Cors(settings.edge_cors_origins)
        self._metrics = metrics
        self._tracer = tracer
        self.stopping = False

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        started = time.perf_counter()
        exchange = received(request, self._addresses)
        found = self._router.find(exchange.method, exchange.path)
        name = found.end.path if isinstance(found, Found) else "unknown"
        with trace.span(traced(exchange, self._sample), self._tracer, f"{exchange.method} {name}", SpanKind.SERVER):
            response = await self._answer(exchange, found)
            self._finish(exchange, response)
            writes = isinstance(found, Found) and found.end.writes and not exchange.over
            self._note(exchange.method, name, response.status, time.perf_counter() - started, writes=writes)
        return response

    async def _answer(self, exchange: Exchange, found: Found[End] | Refused) -> web.StreamResponse:
        try:
            if isinstance(found, Refused):
                return _without(exchange, found)
            return await found.end.answer(exchange, found.params)
        except Fail as fail:
            return answers.problem(fail, exchange.request_id)
        except (web.RequestPayloadError, ConnectionResetError):
            return answers.problem(Malformed("The body broke off."), exchange.request_id)
        except Exception:
            log.exception("a request failed")
            return answers.problem(InternalError(), exchange.request_id)

    def _finish(self, exchange: Exchange, response: web.StreamResponse) -> None:
        said = response.headers
        said["X-Request-Id"] = exchange.request_id
        said["Server"] = "souk"
        if exchange.allowance is not None:
            answers.say_limits(response, exchange.allowance)
        self._cors.allow(exchange, said)
        if self.stopping:
            response.force_close()

    def _note(self, method: str, route: str, status: int, seconds: float, *, writes: bool) -> None:
        """One line for each change and each trouble of ours; what is read leaves only a figure, as does a refusal
        for want of room or of a service, or of what is too much: under a flood the lines would cost more than it.
        """
        self._metrics.requests.labels(method if route != "unknown" else "any", route, status).observe(seconds)
        if (writes or status >= HTTPStatus.INTERNAL_SERVER_ERROR) and status != HTTPStatus.SERVICE_UNAVAILABLE:
            fields = {"method": method, "route": route, "status": status, "ms": round(seconds * 1000, 2)}
            log.info("answered", extra={"fields": fields})


def _without(exchange: Exchange, refused: Refused) -> web.Response:
    """Nothing answers here, or nothing does with this method."""
    if not refused.allowed:
        raise NotFound("There is nothing at this path.")
    allow = {"Allow": ", ".join((*refused.allowed, "OPTIONS"))}
    if exchange.method == "OPTIONS":
        return web.Response(status=204, headers=allow)
    response = answers.problem(MethodNotAllowed(), exchange.request_id)
    response.headers.update(allow)
    return response
