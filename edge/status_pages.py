"""What is at the root beside the API: whether the shop is well, its figures, and its documentation."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass

import orjson
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from contracts.failure import Fail, NotFound
from contracts.health import ServiceHealth
from contracts.operation import AnyOperation
from contracts.registry import HEALTH
from edge.client_ip import is_in_networks
from edge.request_context import RequestContext
from edge.settings import IpNetwork
from edge.upstream.circuit_breaker import CircuitBreakers
from infra.foundation.telemetry import Metrics
from infra.messaging.rpc import RpcClient
from infra.runtime.health import Readiness

HEALTH_TIMEOUT_SECONDS = 2.0
NO_STORE_HEADERS = {"Cache-Control": "no-store"}

Responder = Callable[[RequestContext], Awaitable[web.Response]]


@dataclass(frozen=True)
class StatusPage:
    """A path that the edge answers itself."""

    path: str
    respond: Responder
    is_write: bool = False

    async def handle(self, exchange: RequestContext, _params: dict[str, str]) -> web.Response:
        return await self.respond(exchange)


class StatusPages:
    """`documents` are paths of the documentation with what is there."""

    def __init__(
        self,
        asker: RpcClient,
        circuits: CircuitBreakers,
        readiness: Readiness,
        metrics: Metrics,
        metrics_networks: tuple[IpNetwork, ...],
        documents: Mapping[str, Callable[[], web.Response]],
    ) -> None:
        self._asker = asker
        self._circuits = circuits
        self._readiness = readiness
        self._metrics = metrics
        self._metrics_networks = metrics_networks
        self._documents = documents

    def handlers(self) -> Iterator[tuple[str, str, StatusPage]]:
        replies: dict[str, Responder] = {
            "/": _to_docs,
            "/healthz": _alive,
            "/readyz": self._ready,
            "/metrics": self._figures,
            **{path: _document(make) for path, make in self._documents.items()},
        }
        for path, reply in replies.items():
            yield "GET", path, StatusPage(path, reply)

    async def _ready(self, _exchange: RequestContext) -> web.Response:
        """Every service with its stores, asked at once."""
        found = await asyncio.gather(*(self._health(operation) for operation in HEALTH.values()))
        services = {"edge": await self._readiness.check_all(), **dict(zip(HEALTH, found, strict=True))}
        ready = all(state == "ok" for stores in services.values() for state in stores.values())
        return _json({"ready": ready, "services": services}, status=200 if ready else 503)

    async def _health(self, operation: AnyOperation) -> dict[str, str]:
        """A service that answers this is asked for the rest too."""
        circuit = self._circuits.for_service(operation.service)
        try:
            body, _ = await self._asker.request_bytes(
                operation.subject, b"{}", {}, timeout_seconds=HEALTH_TIMEOUT_SECONDS
            )
        except Fail as fail:
            return {"service": fail.code, **({"circuit": "open"} if circuit.is_open else {})}
        circuit.on_success()
        return ServiceHealth.model_validate_json(body).stores

    async def _figures(self, exchange: RequestContext) -> web.Response:
        """To anybody else there is nothing here."""
        if not is_in_networks(exchange.client_ip, self._metrics_networks):
            raise NotFound("There is nothing at this path.")
        body = generate_latest(self._metrics.registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST, **NO_STORE_HEADERS})


async def _alive(_exchange: RequestContext) -> web.Response:
    return _json({"status": "ok"})


async def _to_docs(_exchange: RequestContext) -> web.Response:
    return web.Response(status=302, headers={"Location": "/docs", **NO_STORE_HEADERS})


def _document(make: Callable[[], web.Response]) -> Responder:
    async def reply(_exchange: RequestContext) -> web.Response:
        return make()

    return reply


def _json(said: object, status: int = 200) -> web.Response:
    return web.Response(
        body=orjson.dumps(said), status=status, headers={"Content-Type": "application/json", **NO_STORE_HEADERS}
    )
