"""Every request and response passes here: it is routed, traced, answered or refused as a problem, and measured."""

import time
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Protocol

from aiohttp import web
from opentelemetry.trace import SpanKind
from prometheus_client import Histogram

from contracts.failure import Fail, InternalError, MalformedRequest, MethodNotAllowed, NotFound
from edge.chunked_responses import PagedResponse
from edge.client_ip import ClientIpResolver
from edge.cors import CorsPolicy
from edge.event_streams.order_event_stream import OrderEventStream
from edge.request_context import RequestContext, create_context, start_trace
from edge.responses import SERVER_ERROR, problem_response, set_rate_limit_headers
from edge.router import NO_ROUTE_DETAIL, NoRouteMatch, RouteMatch, Router
from edge.settings import EdgeSettings
from infra.foundation import trace
from infra.foundation.telemetry import Metrics, get_logger

UNKNOWN_ROUTE = "unknown"

log = get_logger("souk.http")


class RouteHandler(Protocol):
    """Answers the requests of one path and method."""

    @property
    def path(self) -> str: ...

    @property
    def is_write(self) -> bool: ...

    async def handle(self, context: RequestContext, path_params: Mapping[str, str]) -> web.StreamResponse: ...


class ApiGateway:
    """Handles all requests of the HTTP server."""

    def __init__(
        self,
        settings: EdgeSettings,
        handlers: Iterable[tuple[str, str, RouteHandler]],
        metrics: Metrics,
    ) -> None:
        self._router = Router(handlers)
        self._sample_rate = settings.edge_sample
        secret = settings.edge_proxy_secret.get_secret_value()
        self._client_ips = ClientIpResolver(settings.edge_trusted_proxies, secret)
        self._cors = CorsPolicy(settings.edge_cors_origins)
        self._metrics = metrics
        self._durations: dict[tuple[str, str, int], Histogram] = {}
        self.is_stopping = False

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Returns the response to a request; never raises, except when the client has gone away."""
        started_at = time.perf_counter()
        context = create_context(request, self._client_ips)
        match = self._router.match(context.method, context.path)
        handler = match.handler if isinstance(match, RouteMatch) else None
        route = handler.path if handler is not None else UNKNOWN_ROUTE
        current = start_trace(context, self._sample_rate)
        attributes = {"http.request.method": context.method, "http.route": route}  # a path may hold a guest's secret
        with trace.span(current, f"{context.method} {route}", SpanKind.SERVER, attributes):
            response = await self._respond(context, match)
            self._add_common_headers(context, response)
            if isinstance(response, PagedResponse):
                await response.send(request)
            is_write = handler is not None and handler.is_write and not context.is_rate_limited
            seconds = time.perf_counter() - started_at
            self._record(context.method, route, response.status, seconds, is_write=is_write)
            is_error = response.status >= SERVER_ERROR
            trace.annotate(
                {"http.response.status_code": response.status}, error=str(response.status) if is_error else ""
            )
        if isinstance(response, OrderEventStream):  # it may last for an hour, so it is neither measured nor a span
            await response.send(request)
        return response

    async def _respond(
        self, context: RequestContext, match: RouteMatch[RouteHandler] | NoRouteMatch
    ) -> web.StreamResponse:
        try:
            if isinstance(match, NoRouteMatch):
                return _no_route_response(context, match)
            return await match.handler.handle(context, match.path_params)
        except Fail as fail:
            return problem_response(fail, context.request_id)
        except (web.RequestPayloadError, ConnectionResetError):
            detail = "The request body ended too early. Send the request again."
            return problem_response(MalformedRequest(detail), context.request_id)
        except Exception:
            log.exception("request failed")
            return problem_response(InternalError(), context.request_id)

    def _add_common_headers(self, context: RequestContext, response: web.StreamResponse) -> None:
        response.headers["X-Request-Id"] = context.request_id
        response.headers["Server"] = "souk"
        if context.allowance is not None:
            set_rate_limit_headers(response, context.allowance)
        self._cors.add_headers(context, response.headers)
        if self.is_stopping:
            response.force_close()

    def _record(self, method: str, route: str, status: int, seconds: float, *, is_write: bool) -> None:
        """Measures every request. Logs writes and server errors, but neither 503 nor a rate-limited request: under a
        flood the log lines would cost more than the requests.
        """
        key = (method if route != UNKNOWN_ROUTE else "any", route, status)
        duration = self._durations.get(key)
        if duration is None:
            duration = self._durations[key] = self._metrics.http_duration.labels(*key)
        duration.observe(seconds)
        if (is_write or status >= SERVER_ERROR) and status != HTTPStatus.SERVICE_UNAVAILABLE:
            log.info("request handled", method=method, route=route, status=status, ms=round(seconds * 1000, 2))


def _no_route_response(context: RequestContext, match: NoRouteMatch) -> web.Response:
    """Returns 204 to OPTIONS and 405 to other methods, both with Allow. Raises NotFound for an unknown path."""
    if not match.allowed_methods:
        raise NotFound(NO_ROUTE_DETAIL)
    allow = ", ".join((*match.allowed_methods, "OPTIONS"))
    if context.method == "OPTIONS":
        return web.Response(status=HTTPStatus.NO_CONTENT, headers={"Allow": allow})
    fail = MethodNotAllowed(f"This path takes {allow}.")
    response = problem_response(fail, context.request_id)
    response.headers["Allow"] = allow
    return response
