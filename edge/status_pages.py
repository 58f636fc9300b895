"""The pages beside the API: health, readiness, metrics and the documentation."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus

import orjson
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from contracts.failure import Fail, NotFound
from contracts.health import ServiceHealth
from contracts.operation import AnyOperation
from contracts.registry import HEALTH
from edge.client_ip import is_in_networks
from edge.request_context import RequestContext
from edge.router import NO_ROUTE_DETAIL
from edge.settings import IpNetwork
from edge.upstream.circuit_breaker import CircuitBreakers
from infra.foundation.telemetry import Metrics
from infra.messaging.rpc_client import RpcClient
from infra.runtime.health import Readiness

HEALTH_TIMEOUT_SECONDS = 2.0
NO_STORE_HEADERS = {"Cache-Control": "no-store"}

Responder = Callable[[RequestContext], Awaitable[web.Response]]


@dataclass(frozen=True)
class StatusPage:
    """A path that the edge answers without a service."""

    path: str
    respond: Responder
    is_write: bool = False

    async def handle(self, context: RequestContext, _path_params: Mapping[str, str]) -> web.Response:
        """Returns the page."""
        return await self.respond(context)


class StatusPages:
    """All pages that the edge answers itself. `documents` are the documentation's pages by path."""

    def __init__(
        self,
        rpc: RpcClient,
        circuit_breakers: CircuitBreakers,
        readiness: Readiness,
        metrics: Metrics,
        metrics_networks: tuple[IpNetwork, ...],
        documents: Mapping[str, Callable[[RequestContext], web.Response]],
    ) -> None:
        self._rpc = rpc
        self._circuit_breakers = circuit_breakers
        self._readiness = readiness
        self._metrics = metrics
        self._metrics_networks = metrics_networks
        self._documents = documents

    def handlers(self) -> Iterator[tuple[str, str, StatusPage]]:
        """Yields the method, path and handler of each page."""
        responders: dict[str, Responder] = {
            "/": _redirect_to_docs,
            "/healthz": _healthz,
            "/readyz": self._readyz,
            "/metrics": self._metrics_page,
            **{path: _document_page(render) for path, render in self._documents.items()},
        }
        for path, respond in responders.items():
            yield "GET", path, StatusPage(path, respond)

    async def _readyz(self, _context: RequestContext) -> web.Response:
        """Asks every service for its health at the same time."""
        health = await asyncio.gather(*(self._service_health(operation) for operation in HEALTH.values()))
        services = {"edge": await self._readiness.check_all(), **dict(zip(HEALTH, health, strict=True))}
        is_ready = all(state == "ok" for stores in services.values() for state in stores.values())
        status = HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE
        return _json_response({"ready": is_ready, "services": services}, status)

    async def _service_health(self, operation: AnyOperation) -> dict[str, str]:
        """Returns the state of a service's stores by name. A response closes the service's circuit."""
        breaker = self._circuit_breakers.for_service(operation.service)
        try:
            body, _ = await self._rpc.request_bytes(
                operation.subject, b"{}", {}, timeout_seconds=HEALTH_TIMEOUT_SECONDS
            )
        except Fail as fail:
            return {"service": fail.code, **({"circuit": "open"} if breaker.is_open else {})}
        breaker.on_success()
        return ServiceHealth.model_validate_json(body).stores

    async def _metrics_page(self, context: RequestContext) -> web.Response:
        """Returns the metrics. To clients outside the configured networks the page does not exist."""
        if not is_in_networks(context.client_ip, self._metrics_networks):
            raise NotFound(NO_ROUTE_DETAIL)
        body = generate_latest(self._metrics.registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST, **NO_STORE_HEADERS})


async def _healthz(_context: RequestContext) -> web.Response:
    return _json_response({"status": "ok"})


async def _redirect_to_docs(_context: RequestContext) -> web.Response:
    return web.Response(status=HTTPStatus.FOUND, headers={"Location": "/docs", **NO_STORE_HEADERS})


def _document_page(render: Callable[[RequestContext], web.Response]) -> Responder:
    async def respond(context: RequestContext) -> web.Response:
        return render(context)

    return respond


def _json_response(content: object, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    headers = {"Content-Type": "application/json", **NO_STORE_HEADERS}
    return web.Response(body=orjson.dumps(content), status=status, headers=headers)
