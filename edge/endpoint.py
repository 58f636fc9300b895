"""One route at work: reads the request, asks the service, hands its answer on."""

from typing import Any

from aiohttp import web

from contracts.failure import Forbidden, Overloaded, PreconditionFailed, Unauthorized
from contracts.identity import Access
from edge import answers, bodies
from edge.conditions import wanted_version
from edge.exchange import Exchange, idempotency_key
from edge.intake import Intake
from edge.routes import Media, Route
from edge.settings import EdgeSettings
from edge.tokens import Caller, Tokens
from edge.uploads import Uploads
from infra import headers
from infra.crash import crash_point
from infra.rpc import Asker


class Desk:
    """What every endpoint works with, and how much of it is at work."""

    def __init__(self, settings: EdgeSettings, asker: Asker, tokens: Tokens, uploads: Uploads) -> None:
        self.settings = settings
        self.asker = asker
        self.tokens = tokens
        self.uploads = uploads
        self.in_flight = 0


class Endpoint:
    """Answers one route."""

    def __init__(self, path: str, route: Route, desk: Desk) -> None:
        self.path = path
        self.route = route
        self.writes = route.operation.writes
        self._conditional = PreconditionFailed in route.operation.failures
        self._desk = desk
        self._intake = Intake(route)

    async def answer(self, exchange: Exchange, params: dict[str, str]) -> web.Response:
        """What is more than can be done is refused at once, so that the rest is answered in time."""
        if self._desk.in_flight >= self._desk.settings.edge_max_in_flight:
            raise Overloaded(retry_after=1)
        self._desk.in_flight += 1
        try:
            return await self._answer(exchange, params)
        finally:
            self._desk.in_flight -= 1

    async def _answer(self, exchange: Exchange, params: dict[str, str]) -> web.Response:
        caller = await self._desk.tokens.caller(exchange.header("Authorization"))
        self._admit(caller)
        extra = self._extra(exchange, caller)
        body = await self._body(exchange.request, params, exchange.query)
        reply, found = await self._desk.asker.exchange(self.route.operation.subject, body, extra)
        if self.writes:
            crash_point("edge.asked")
        return answers.answered(
            self.route, reply, found, if_none_match=exchange.header("If-None-Match"), personal=caller is not None
        )

    def _admit(self, caller: Caller | None) -> None:
        """Refuses early, before a body is read, what the service would refuse too."""
        access = self.route.operation.access
        if access is Access.ANYONE:
            return
        if caller is None:
            raise Unauthorized
        if access is Access.ADMIN and not caller.identity.is_admin:
            raise Forbidden

    def _extra(self, exchange: Exchange, caller: Caller | None) -> dict[str, str]:
        """The headers of the ask."""
        extra = {headers.CLIENT: exchange.client}
        if caller is not None:
            extra[headers.IDENTITY] = caller.header
        required = self._desk.settings.edge_idempotency_required
        if (key := idempotency_key(exchange, self.route, required=required)) is not None:
            extra[headers.IDEMPOTENCY_KEY] = key
        if self._conditional and (version := wanted_version(exchange.header("If-Match"))) is not None:
            extra[headers.IF_MATCH] = version
        return extra

    async def _body(self, request: web.BaseRequest, params: dict[str, str], query: str) -> bytes:
        media = self.route.media
        if media is Media.NONE:
            return self._intake.of_query(params, query)
        path = self._intake.of_path(params, query)
        bodies.check(request, media)
        if media is Media.JSON:
            return self._intake.of_body(await bodies.read(request, media.value), path)
        uploads = self._desk.uploads
        fields: dict[str, Any] = await (uploads.csv(request) if media is Media.CSV else uploads.image(request))
        return self._intake.of_upload(fields, path)
