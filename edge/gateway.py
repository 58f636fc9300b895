"""Every request and every answer passes here: found by path, traced, answered or refused as a problem, counted."""

import logging
import time
from collections.abc import Iterable
from http import HTTPStatus
from typing import Protocol

from aiohttp import web
from opentelemetry.trace import SpanKind, Tracer

from contracts.failure import Fail, InternalError, MalformedRequest, MethodNotAllowed, NotFound
from edge import responses as answers
from edge.client_ip import ClientIpResolver
from edge.cors import CorsPolicy
from edge.request_context import RequestContext, create_context, start_trace
from edge.router import NoRouteMatch, RouteMatch, Router
from edge.settings import EdgeSettings
from infra.foundation import trace
from infra.foundation.telemetry import Metrics

log = logging.getLogger("souk.http")


class RouteHandler(Protocol):
    """What answers at a path."""

    @property
    def path(self) -> str: ...

    @property
    def is_write(self) -> bool: ...

    async def handle(self, exchange: RequestContext, params: dict[str, str]) -> web.StreamResponse: ...


class ApiGateway:
    """The handler of the HTTP server."""

    def __init__(
        self,
        settings: EdgeSettings,
        ends: Iterable[tuple[str, str, RouteHandler]],
        metrics: Metrics,
        tracer: Tracer | None,
    ) -> None:
        self._router = Router(ends)
        self._sample = settings.edge_sample
        self._addresses = ClientIpResolver(settings.edge_trusted_proxies)
        self._cors = CorsPolicy(settings.edge_cors_origins)
        self._metrics = metrics
        self._tracer = tracer
        self.is_stopping = False

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        started = time.perf_counter()
        exchange = create_context(request, self._addresses)
        found = self._router.match(exchange.method, exchange.path)
        name = found.handler.path if isinstance(found, RouteMatch) else "unknown"
        with trace.span(
            start_trace(exchange, self._sample), self._tracer, f"{exchange.method} {name}", SpanKind.SERVER
        ):
            response = await self._answer(exchange, found)
            self._finish(exchange, response)
            writes = isinstance(found, RouteMatch) and found.handler.is_write and not exchange.is_rate_limited
            self._note(exchange.method, name, response.status, time.perf_counter() - started, writes=writes)
        return response

    async def _answer(
        self, exchange: RequestContext, found: RouteMatch[RouteHandler] | NoRouteMatch
    ) -> web.StreamResponse:
        try:
            if isinstance(found, NoRouteMatch):
                return _without(exchange, found)
            return await found.handler.handle(exchange, found.path_params)
        except Fail as fail:
            return answers.problem_response(fail, exchange.request_id)
        except (web.RequestPayloadError, ConnectionResetError):
            return answers.problem_response(MalformedRequest("The body broke off."), exchange.request_id)
        except Exception:
            log.exception("a request failed")
            return answers.problem_response(InternalError(), exchange.request_id)

    def _finish(self, exchange: RequestContext, response: web.StreamResponse) -> None:
        said = response.headers
        said["X-Request-Id"] = exchange.request_id
        said["Server"] = "souk"
        if exchange.allowance is not None:
            answers.set_rate_limit_headers(response, exchange.allowance)
        self._cors.add_headers(exchange, said)
        if self.is_stopping:
            response.force_close()

    def _note(self, method: str, route: str, status: int, seconds: float, *, writes: bool) -> None:
        """One line for each change and each trouble of ours; what is read leaves only a figure, as does a refusal
        for want of room or of a service, or of what is too much: under a flood the lines would cost more than it.
        """
        self._metrics.http_duration.labels(method if route != "unknown" else "any", route, status).observe(seconds)
        if (writes or status >= HTTPStatus.INTERNAL_SERVER_ERROR) and status != HTTPStatus.SERVICE_UNAVAILABLE:
            fields = {"method": method, "route": route, "status": status, "ms": round(seconds * 1000, 2)}
            log.info("answered", extra={"fields": fields})


def _without(exchange: RequestContext, refused: NoRouteMatch) -> web.Response:
    """Nothing answers here, or nothing does with this method."""
    if not refused.allowed_methods:
        raise NotFound("There is nothing at this path.")
    allow = {"Allow": ", ".join((*refused.allowed_methods, "OPTIONS"))}
    if exchange.method == "OPTIONS":
        return web.Response(status=204, headers=allow)
    response = answers.problem_response(MethodNotAllowed(), exchange.request_id)
    response.headers.update(allow)
    return response
