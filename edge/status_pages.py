"""What is at the root beside the API: whether the shop is well, its figures, and its documentation."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass

import orjson
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from contracts.failure import Fail, NotFound
from contracts.health import Health
from contracts.operation import AnyOperation
from contracts.registry import HEALTH
from edge.client_ip import within
from edge.request_context import Exchange
from edge.settings import Network
from edge.upstream.circuit_breaker import Circuits
from infra.foundation.telemetry import Metrics
from infra.messaging.rpc import Asker
from infra.runtime.health import Readiness

PATIENCE = 2.0
UNKEPT = {"Cache-Control": "no-store"}

Answer = Callable[[Exchange], Awaitable[web.Response]]


@dataclass(frozen=True)
class Page:
    """A path that the edge answers itself."""

    path: str
    reply: Answer
    writes: bool = False

    async def answer(self, exchange: Exchange, _params: dict[str, str]) -> web.Response:
        return await self.reply(exchange)


class Pages:
    """`documents` are paths of the documentation with what is there."""

    def __init__(
        self,
        asker: Asker,
        circuits: Circuits,
        readiness: Readiness,
        metrics: Metrics,
        metrics_networks: tuple[Network, ...],
        documents: Mapping[str, Callable[[], web.Response]],
    ) -> None:
        self._asker = asker
        self._circuits = circuits
        self._readiness = readiness
        self._metrics = metrics
        self._metrics_networks = metrics_networks
        self._documents = documents

    def ends(self) -> Iterator[tuple[str, str, Page]]:
        replies: dict[str, Answer] = {
            "/": _to_docs,
            "/healthz": _alive,
            "/readyz": self._ready,
            "/metrics": self._figures,
            **{path: _document(make) for path, make in self._documents.items()},
        }
        for path, reply in replies.items():
            yield "GET", path, Page(path, reply)

    async def _ready(self, _exchange: Exchange) -> web.Response:
        """Every service with its stores, asked at once."""
        found = await asyncio.gather(*(self._health(operation) for operation in HEALTH.values()))
        services = {"edge": await self._readiness.stores(), **dict(zip(HEALTH, found, strict=True))}
        ready = all(state == "ok" for stores in services.values() for state in stores.values())
        return _json({"ready": ready, "services": services}, status=200 if ready else 503)

    async def _health(self, operation: AnyOperation) -> dict[str, str]:
        """A service that answers this is asked for the rest too."""
        circuit = self._circuits.of(operation.service)
        try:
            body, _ = await self._asker.send(operation.subject, b"{}", {}, timeout=PATIENCE)
        except Fail as fail:
            return {"service": fail.code, **({"circuit": "open"} if circuit.open else {})}
        circuit.heard()
        return Health.model_validate_json(body).stores

    async def _figures(self, exchange: Exchange) -> web.Response:
        """To anybody else there is nothing here."""
        if not within(exchange.client, self._metrics_networks):
            raise NotFound("There is nothing at this path.")
        body = generate_latest(self._metrics.registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST, **UNKEPT})


async def _alive(_exchange: Exchange) -> web.Response:
    return _json({"status": "ok"})


async def _to_docs(_exchange: Exchange) -> web.Response:
    return web.Response(status=302, headers={"Location": "/docs", **UNKEPT})


def _document(make: Callable[[], web.Response]) -> Answer:
    async def reply(_exchange: Exchange) -> web.Response:
        return make()

    return reply


def _json(said: object, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(said), status=status, headers={"Content-Type": "application/json", **UNKEPT})
