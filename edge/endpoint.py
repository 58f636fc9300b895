"""One route at work: reads the request, asks the service, hands its answer on."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from aiohttp import web

from contracts import headers
from contracts.access import admit
from contracts.failure import Fail, InvalidToken, PreconditionFailed, TooManyRequests
from edge import request_body as bodies
from edge import responses as answers
from edge.auth.tokens import Caller, Tokens
from edge.etags import wanted_version
from edge.ratelimit.limiter import Limits
from edge.request_context import Exchange, idempotency_key
from edge.request_parsing import Intake
from edge.routes import Media, Route
from edge.settings import EdgeSettings
from edge.uploads import Uploads
from edge.upstream.client import Lines
from edge.upstream.load_shedding import Admission
from infra.foundation.failpoints import crash_point

FINISHING = frozenset({"order", "payment"})
"""Services whose writes finish what somebody has begun."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What every endpoint works with."""

    settings: EdgeSettings
    lines: Lines
    admission: Admission
    limits: Limits
    tokens: Tokens
    uploads: Uploads


class Endpoint:
    """Answers one route."""

    def __init__(self, path: str, route: Route, desk: Desk) -> None:
        self.path = path
        self.route = route
        self.writes = route.operation.writes
        self._conditional = PreconditionFailed in route.operation.failures
        self._urgent = self.writes and route.operation.service in FINISHING
        # Passwords take their time on purpose, and files take their sender's: neither says how busy the shop is.
        self._telling = not route.operation.confidential and route.media in {Media.NONE, Media.JSON}
        self._desk = desk
        self._intake = Intake(route)

    async def answer(self, exchange: Exchange, params: dict[str, str]) -> web.Response:
        """What is more than can be done is refused before anything of it is read, so that the rest is done in time."""
        admission, service = self._desk.admission, self.route.operation.service
        ticket = admission.enter(service, urgent=self._urgent, aside=self.route.limit.hashes)
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR
        try:
            response = await self._answer(exchange, params)
            status = response.status
        except Fail as fail:
            status = fail.status
            raise
        finally:
            answered = status < HTTPStatus.INTERNAL_SERVER_ERROR
            telling = self._telling and not exchange.over and (answered or status == HTTPStatus.GATEWAY_TIMEOUT)
            admission.leave(ticket, service, answered=answered, telling=telling)
        return response

    async def _answer(self, exchange: Exchange, params: dict[str, str]) -> web.Response:
        caller = await self._caller(exchange)
        self._admit(caller)
        extra = self._extra(exchange, caller)
        body = await self._body(exchange.request, params, exchange.query)
        reply, found = await self._desk.lines.ask(self.route.operation, body, extra)
        if self.writes:
            crash_point("edge.asked")
        return answers.answered(
            self.route, reply, found, if_none_match=exchange.header("If-None-Match"), personal=caller is not None
        )

    async def _caller(self, exchange: Exchange) -> Caller | None:
        """Who is asking, counted. Whoever brings a token that is not good is counted by address."""
        limits, policy = self._desk.limits, self.route.limit
        try:
            caller = await self._desk.tokens.caller(exchange.header("Authorization"), exchange.client)
        except (InvalidToken, TooManyRequests):
            limits.count(exchange, policy, None)
            raise
        limits.count(exchange, policy, caller)
        return caller

    def _admit(self, caller: Caller | None) -> None:
        """Refuses early, before a body is read, what the service would refuse too."""
        admit(self.route.operation, caller.identity if caller is not None else None)

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
