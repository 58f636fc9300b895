"""The route of an order's event stream: the order service says who may follow, and the edge sends the events."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus

import orjson
from aiohttp import web

from contracts import headers, order
from contracts.access import authorize
from contracts.failure import Fail, Forbidden, NotFound, Unauthorized
from contracts.operation import AnyOperation
from contracts.order import EventStreamGrant, FollowOrder, OrderTimeline
from edge.caller import Caller, create_caller
from edge.event_streams.open_event_streams import OpenEventStreams
from edge.event_streams.order_event_stream import Follower, OrderEventStream
from edge.event_streams.order_status_reader import OrderStatusReader
from edge.request_context import RequestContext, read_order_token
from edge.request_parsing import refuse_body
from edge.responses import NO_STORE
from edge.route_handler import Endpoint, EndpointDeps
from edge.routes import Route

MAX_STREAM_SECONDS = 3600.0
"""After which a client has to prove its identity again. An API key that expires earlier ends its streams then."""
LAST_EVENT_ID_HEADER = "Last-Event-ID"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client proved: who they are, or that they have the token of a guest's order."""

    caller: Caller | None
    order_token: str | None


class EventStreamEndpoint(Endpoint):
    """Opens event streams. A ticket in the query stands for the credentials that a browser cannot send here."""

    def __init__(
        self, path: str, route: Route, deps: EndpointDeps, streams: OpenEventStreams, reader: OrderStatusReader
    ) -> None:
        super().__init__(path, route, deps)
        self._streams = streams
        self._reader = reader

    async def _respond(self, context: RequestContext, path_params: Mapping[str, str]) -> web.StreamResponse:
        await refuse_body(context.request)
        request = FollowOrder.model_validate_json(self._parser.parse_query(path_params, context.query))
        credentials = await self._credentials(context, request)
        timeline = await self._read_timeline(context, request, credentials)
        follower = self._follower(context, request, credentials)
        stream = OrderEventStream(
            follower,
            timeline,
            self._reader,
            heartbeat_seconds=self._deps.settings.edge_heartbeat,
            on_close=self._streams.remove,
        )
        await self._streams.add(stream)
        try:
            is_open = await stream.find_start(context.header(LAST_EVENT_ID_HEADER) or request.last_event_id)
        except BaseException:
            stream.close()
            raise
        if is_open:
            return stream
        stream.close()
        return web.Response(status=HTTPStatus.NO_CONTENT, headers={"Cache-Control": NO_STORE})

    async def _credentials(self, context: RequestContext, request: FollowOrder) -> Credentials:
        if request.ticket is not None:
            self._count(context, None)
            return await self._redeem(request)
        caller = await self._authenticate(context)
        return Credentials(caller, read_order_token(context))

    async def _redeem(self, request: FollowOrder) -> Credentials:
        """Uses up the ticket. Its session may have ended since it was given."""
        assert request.ticket is not None, "the caller has checked it"
        payload = orjson.dumps({"id": str(request.id), "ticket": request.ticket.get_secret_value()})
        body = await self._request(order.REDEEM_EVENT_STREAM_TICKET, payload, {})
        grant = EventStreamGrant.model_validate_json(body, extra="ignore")
        caller = create_caller(grant.identity, float("inf")) if grant.identity is not None else None
        if caller is not None:
            await self._deps.authenticator.require_active(caller)
        return Credentials(caller, grant.access_token.get_secret_value() if grant.access_token is not None else None)

    async def _read_timeline(
        self, context: RequestContext, request: FollowOrder, credentials: Credentials
    ) -> OrderTimeline:
        """Asks the order service. Raises the `Fail` by which it refuses the client."""
        caller, token = credentials.caller, credentials.order_token
        identity = caller.identity if caller is not None else None
        authorize(self.route.operation, identity, has_order_token=token is not None)
        extra_headers = {headers.CLIENT_IP: context.client_ip}
        if caller is not None:
            extra_headers[headers.IDENTITY] = caller.identity_header
        if token is not None:
            extra_headers[headers.ORDER_TOKEN] = token
        body = await self._request(self.route.operation, orjson.dumps({"id": str(request.id)}), extra_headers)
        return OrderTimeline.model_validate_json(body, extra="ignore")

    async def _request(self, operation: AnyOperation, payload: bytes, extra: Mapping[str, str]) -> bytes:
        body, reply_headers = await self._deps.upstream.request(operation, payload, extra)
        if headers.ERROR_CODE in reply_headers:
            raise Fail.from_json(body)
        return body

    def _follower(self, context: RequestContext, request: FollowOrder, credentials: Credentials) -> Follower:
        """Says who follows. No session ends a guest's stream, so the order service is asked again before each event."""
        caller = credentials.caller
        lifetime = MAX_STREAM_SECONDS
        if caller is not None and caller.identity.scopes is not None:
            lifetime = min(lifetime, caller.expires_at - time.time())
        by_token = credentials.order_token is not None
        return Follower(
            order_id=request.id,
            owner=str(caller.identity.user_id if caller is not None else request.id),
            session_id=caller.identity.session_id if caller is not None else None,
            follows_until=asyncio.get_running_loop().time() + lifetime,
            may_follow=partial(self._may_follow, context, request, credentials) if by_token else None,
        )

    async def _may_follow(self, context: RequestContext, request: FollowOrder, credentials: Credentials) -> bool:
        """Whether the client may still follow the order; also while the order service cannot say."""
        try:
            await self._read_timeline(context, request, credentials)
        except (NotFound, Unauthorized, Forbidden):
            return False
        except Fail:
            return True
        return True
