"""One route at work: reads the request, asks the service, hands its answer on."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from aiohttp import web

from contracts import headers
from contracts.access import authorize
from contracts.failure import Fail, InvalidToken, PreconditionFailed, TooManyRequests
from edge import request_body as bodies
from edge import responses as answers
from edge.auth.tokens import Authenticator, Caller
from edge.etags import parse_if_match
from edge.ratelimit.limiter import RateLimiter
from edge.request_context import RequestContext, read_idempotency_key
from edge.request_parsing import RequestParser
from edge.routes import BodyFormat, Route
from edge.settings import EdgeSettings
from edge.uploads import UploadStore
from edge.upstream.client import UpstreamClient
from edge.upstream.load_shedding import LoadShedder
from infra.foundation.failpoints import failpoint

PRIORITY_SERVICES = frozenset({"order", "payment"})
"""Services whose writes finish what somebody has begun."""


@dataclass(frozen=True, slots=True)
class EndpointDeps:
    """What every endpoint works with."""

    settings: EdgeSettings
    upstream: UpstreamClient
    load_shedder: LoadShedder
    rate_limiter: RateLimiter
    authenticator: Authenticator
    uploads: UploadStore


class Endpoint:
    """Answers one route."""

    def __init__(self, path: str, route: Route, desk: EndpointDeps) -> None:
        self.path = path
        self.route = route
        self.is_write = route.operation.writes
        self._conditional = PreconditionFailed in route.operation.failures
        self._urgent = self.is_write and route.operation.service in PRIORITY_SERVICES
        # Passwords take their time on purpose, and files take their sender's: neither says how busy the shop is.
        self._telling = not route.operation.confidential and route.body_format in {BodyFormat.NONE, BodyFormat.JSON}
        self._desk = desk
        self._intake = RequestParser(route)

    async def handle(self, exchange: RequestContext, params: dict[str, str]) -> web.Response:
        """What is more than can be done is refused before anything of it is read, so that the rest is done in time."""
        admission, service = self._desk.load_shedder, self.route.operation.service
        ticket = admission.acquire(
            service, has_priority=self._urgent, is_isolated=self.route.rate_limit.hashes_password
        )
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR
        try:
            response = await self._answer(exchange, params)
            status = response.status
        except Fail as fail:
            status = fail.status
            raise
        finally:
            answered = status < HTTPStatus.INTERNAL_SERVER_ERROR
            telling = (
                self._telling and not exchange.is_rate_limited and (answered or status == HTTPStatus.GATEWAY_TIMEOUT)
            )
            admission.release(ticket, service, has_responded=answered, is_latency_sample=telling)
        return response

    async def _answer(self, exchange: RequestContext, params: dict[str, str]) -> web.Response:
        caller = await self._caller(exchange)
        self._admit(caller)
        extra = self._extra(exchange, caller)
        body = await self._body(exchange.request, params, exchange.query)
        reply, found = await self._desk.upstream.request(self.route.operation, body, extra)
        if self.is_write:
            failpoint("edge.asked")
        return answers.build_response(
            self.route, reply, found, if_none_match=exchange.header("If-None-Match"), is_personal=caller is not None
        )

    async def _caller(self, exchange: RequestContext) -> Caller | None:
        """Who is asking, counted. Whoever brings a token that is not good is counted by address."""
        limits, policy = self._desk.rate_limiter, self.route.rate_limit
        try:
            caller = await self._desk.authenticator.authenticate(exchange.header("Authorization"), exchange.client_ip)
        except (InvalidToken, TooManyRequests):
            limits.take(exchange, policy, None)
            raise
        limits.take(exchange, policy, caller)
        return caller

    def _admit(self, caller: Caller | None) -> None:
        """Refuses early, before a body is read, what the service would refuse too."""
        authorize(self.route.operation, caller.identity if caller is not None else None)

    def _extra(self, exchange: RequestContext, caller: Caller | None) -> dict[str, str]:
        """The headers of the ask."""
        extra = {headers.CLIENT_IP: exchange.client_ip}
        if caller is not None:
            extra[headers.IDENTITY] = caller.identity_header
        required = self._desk.settings.edge_idempotency_required
        if (key := read_idempotency_key(exchange, self.route, required=required)) is not None:
            extra[headers.IDEMPOTENCY_KEY] = key
        if self._conditional and (version := parse_if_match(exchange.header("If-Match"))) is not None:
            extra[headers.IF_MATCH] = version
        return extra

    async def _body(self, request: web.BaseRequest, params: dict[str, str], query: str) -> bytes:
        media = self.route.body_format
        if media is BodyFormat.NONE:
            return self._intake.parse_query(params, query)
        path = self._intake.parse_path(params, query)
        bodies.check_body_headers(request, media)
        if media is BodyFormat.JSON:
            return self._intake.parse_body(await bodies.read_body(request, media.value), path)
        uploads = self._desk.uploads
        fields: dict[str, Any] = await (
            uploads.store_csv(request) if media is BodyFormat.CSV else uploads.store_image_form(request)
        )
        return self._intake.merge_fields(fields, path)
