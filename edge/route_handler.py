"""One route at work: reads the request, calls the service, returns its reply."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from http import HTTPStatus
from typing import Any

from aiohttp import web

from contracts import headers, order
from contracts.access import authorize
from contracts.failure import Fail, PreconditionFailed, TooManyRequests
from contracts.identity import Role
from edge.auth.authenticator import Authenticator
from edge.caller import Caller
from edge.chunked_responses import PagedResponse
from edge.etags import parse_if_match
from edge.idempotency_keys import read_idempotency_key
from edge.ratelimit.limiter import RateLimiter
from edge.request_context import RequestContext, read_order_token
from edge.request_parsing import check_body_headers, read_body, refuse_body, request_parser
from edge.responses import SERVER_ERROR, build_response, forbid_storing
from edge.routes import BodyFormat, Route
from edge.settings import EdgeSettings
from edge.uploads import UploadStore
from edge.upstream.client import UpstreamClient
from edge.upstream.load_shedding import LoadShedder
from edge.upstream.reply_cache import STALE_SECONDS, ReplyCache
from infra.foundation.failpoints import failpoint

PRIORITY_SERVICES = frozenset({"order", "payment"})
"""Services whose writes finish what a customer has begun."""
MAX_PARSED_QUERIES, MAX_PARSED_LENGTH = 2048, 256
"""Public requests that a route remembers parsed, and the length of the longest path and query among them."""


@dataclass(frozen=True, slots=True)
class EndpointDeps:
    """What every endpoint works with."""

    settings: EdgeSettings
    upstream: UpstreamClient
    cache: ReplyCache
    load_shedder: LoadShedder
    rate_limiter: RateLimiter
    authenticator: Authenticator
    uploads: UploadStore


class Endpoint:
    """Handles the requests of one route."""

    def __init__(self, path: str, route: Route, deps: EndpointDeps) -> None:
        self.path = path
        self.route = route
        self.is_write = route.operation.writes
        self._takes_if_match = PreconditionFailed in route.operation.failures
        self._concerns_guest_orders = route.operation is order.PLACE or route.operation.open_to_order_tokens
        self._has_priority = self.is_write and route.operation.service in PRIORITY_SERVICES
        # Hashing a password is slow by design, and an upload is as slow as its sender: neither says how busy the shop
        # is.
        self._is_latency_sample = not route.operation.confidential and route.body_format in {
            BodyFormat.NONE,
            BodyFormat.JSON,
        }
        self._max_age = route.max_age
        self._deps = deps
        self._parser = request_parser(route)
        self._parse_remembered = lru_cache(MAX_PARSED_QUERIES)(
            lambda path_params, query: self._parser.parse_query(dict(path_params), query)
        )

    async def handle(self, context: RequestContext, path_params: Mapping[str, str]) -> web.StreamResponse:
        """Sheds load before anything of the request is read, so that accepted requests are answered in time."""
        load_shedder, service = self._deps.load_shedder, self.route.operation.service
        is_isolated = self.route.rate_limit.hashes_password
        ticket = load_shedder.acquire(service, has_priority=self._has_priority, is_isolated=is_isolated)
        status = SERVER_ERROR
        try:
            response = await self._respond(context, path_params)
            status = response.status
        except Fail as fail:
            status = fail.status
            raise
        finally:
            # A reply from the cache says nothing about the service and how busy it is.
            has_responded = status < SERVER_ERROR and not context.is_answered_from_cache
            has_finished = has_responded or status == HTTPStatus.GATEWAY_TIMEOUT
            is_latency_sample = self._is_latency_sample and not context.is_rate_limited and has_finished
            load_shedder.release(ticket, service, has_responded=has_responded, is_latency_sample=is_latency_sample)
        return response

    async def _respond(self, context: RequestContext, path_params: Mapping[str, str]) -> web.StreamResponse:
        caller = await self._authenticate(context)
        order_token = read_order_token(context) if self.route.operation.open_to_order_tokens else None
        identity = caller.identity if caller is not None else None
        authorize(self.route.operation, identity, has_order_token=order_token is not None)
        if self._max_age and (identity is None or identity.role is Role.CUSTOMER):
            return await self._respond_alike(context, path_params, caller)
        extra_headers = self._extra_headers(context, caller)
        if order_token is not None:
            extra_headers[headers.ORDER_TOKEN] = order_token
        payload = await self._read_payload(context.request, path_params, context.query)
        reply, reply_headers = await self._deps.upstream.request(self.route.operation, payload, extra_headers)
        if self.is_write:
            failpoint("edge.asked")
        response = build_response(
            self.route,
            reply,
            reply_headers,
            if_none_match=context.header_lines("If-None-Match"),
            is_personal=caller is not None,
        )
        if headers.NEXT in reply_headers:
            request_page = partial(self._deps.upstream.request, self.route.operation, extra_headers=extra_headers)
            return PagedResponse((reply, reply_headers), payload, request_page, response_headers=response.headers)
        if caller is None and self._concerns_guest_orders:
            forbid_storing(response)
        return response

    async def _respond_alike(
        self, context: RequestContext, path_params: Mapping[str, str], caller: Caller | None
    ) -> web.Response:
        """Returns what all callers get who are not administrators, perhaps from the cache.

        The request to the service says nothing about its caller, so the reply cannot depend on it.
        """
        operation = self.route.operation
        await refuse_body(context.request)
        payload = self._parse_public(context, path_params)
        reply, age = await self._deps.cache.get(
            (operation.subject, payload), self._max_age, lambda: self._deps.upstream.request(operation, payload, {})
        )
        context.is_answered_from_cache = age is not None
        response = build_response(
            self.route,
            reply.body,
            reply.headers,
            if_none_match=context.header_lines("If-None-Match"),
            is_personal=caller is not None,
            etag=reply.etag,
        )
        if age is not None:
            response.headers["Age"] = str(int(age))
        if reply.valid_seconds - (age or 0) < self._max_age + STALE_SECONDS:
            _end_caching(response)
        return response

    def _parse_public(self, context: RequestContext, path_params: Mapping[str, str]) -> bytes:
        if len(context.path) + len(context.query) > MAX_PARSED_LENGTH:
            return self._parser.parse_query(path_params, context.query)
        return self._parse_remembered(tuple(path_params.items()), context.query)

    async def _authenticate(self, context: RequestContext) -> Caller | None:
        """Returns the caller, and counts the request. One with an invalid token counts by its address.

        What is open to all can be read with an invalid token too: an old one in a browser must not close the shop.
        """
        caller = None
        try:
            if not self.route.operation.ignores_tokens:
                caller = await self._deps.authenticator.authenticate(context.header("Authorization"), context.client_ip)
        except Fail:
            if not self.route.operation.is_public:
                self._count(context, None)
                raise
        self._count(context, caller)
        return caller

    def _count(self, context: RequestContext, caller: Caller | None) -> None:
        allowance = self._deps.rate_limiter.take(context.client_ip, self.route.rate_limit, caller)
        context.allowance = allowance
        if allowance is not None and allowance.is_refused:
            raise TooManyRequests(retry_after=allowance.wait_seconds)

    def _extra_headers(self, context: RequestContext, caller: Caller | None) -> dict[str, str]:
        """Returns the headers of the request to the service."""
        extra_headers = {headers.CLIENT_IP: context.client_ip}
        if caller is not None:
            extra_headers[headers.IDENTITY] = caller.identity_header
        required = self._deps.settings.edge_idempotency_required
        key = read_idempotency_key(context, self.route, is_anonymous=caller is None, required=required)
        if key is not None:
            extra_headers[headers.IDEMPOTENCY_KEY] = key
        if self._takes_if_match and (versions := parse_if_match(context.header_lines("If-Match"))) is not None:
            extra_headers[headers.IF_MATCH] = ",".join(versions)
        return extra_headers

    async def _read_payload(self, request: web.BaseRequest, path_params: Mapping[str, str], query: str) -> bytes:
        body_format = self.route.body_format
        if body_format is BodyFormat.NONE:
            await refuse_body(request)
            return self._parser.parse_query(path_params, query)
        path_values = self._parser.parse_path(path_params, query)
        check_body_headers(request, body_format)
        if body_format is BodyFormat.JSON:
            return self._parser.parse_body(await read_body(request, body_format), path_values)
        uploads = self._deps.uploads
        is_csv = body_format is BodyFormat.CSV
        fields: dict[str, Any] = await (uploads.store_csv(request) if is_csv else uploads.store_image_form(request))
        return self._parser.merge_fields(fields, path_values)


def _end_caching(response: web.Response) -> None:
    """Keeps a public response out of shared caches: a price in it is about to change."""
    if response.headers["Cache-Control"].startswith("public"):
        response.headers["Cache-Control"] = "public, max-age=0"
