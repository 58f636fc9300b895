"""FastStream middlewares for requests: deadline, trace, failures and identity, each one a step of the `RpcServer`.

They run while the fast path is switched off (`SOUK_FAST_PATH=false`). The fast path runs the same steps as plain calls.
The application's context provides the server as `rpc_server`.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from faststream import BaseMiddleware
from faststream.exceptions import SkipMessage
from faststream.message import StreamMessage
from faststream.nats import NatsResponse

from infra.messaging.idempotency import StoredReply
from infra.messaging.rpc_server import RpcServer

RPC_SERVER = "rpc_server"
"""The name of the `RpcServer` in the application's context."""
DEADLINE = "deadline"
IDENTITY = "identity"

Next = Callable[[Any], Awaitable[Any]]
"""The next middleware, or the handler. It returns the response."""


class RequestMiddleware(BaseMiddleware[Any, Any]):
    """A middleware that has the server of the application."""

    @property
    def server(self) -> RpcServer:
        """The server of the running application."""
        server: RpcServer = self.context.get(RPC_SERVER)
        return server


class DeadlineMiddleware(RequestMiddleware):
    """Drops a request whose caller no longer waits, and keeps the deadline of any other for the trace."""

    async def consume_scope(self, call_next: Next, msg: StreamMessage[Any]) -> NatsResponse:
        """Calls the next middleware, unless the deadline has passed."""
        deadline = self.server.deadline_of(self.msg)
        if self.server.is_expired(self.msg, deadline):
            raise SkipMessage
        with self.context.scope(DEADLINE, deadline):
            response: NatsResponse = await call_next(msg)
            return response


class TraceMiddleware(RequestMiddleware):
    """Runs a request in its trace, and measures and logs it."""

    async def consume_scope(self, call_next: Next, msg: StreamMessage[Any]) -> NatsResponse:
        """Calls the next middleware within the trace of the message."""
        with self.server.observed(self.msg, self.context.get_local(DEADLINE)) as observation:
            response: NatsResponse = await call_next(msg)
            observation.reply_headers = response.headers
            return response


class FailureMiddleware(RequestMiddleware):
    """Turns an exception into a reply with error headers and a problem document."""

    async def consume_scope(self, call_next: Next, msg: StreamMessage[Any]) -> NatsResponse:
        """Calls the next middleware and returns its reply, or the reply for its exception."""
        try:
            with self.server.in_flight:
                response: NatsResponse = await call_next(msg)
                return response
        except Exception as error:  # noqa: BLE001 - every failure becomes a reply
            return to_response(self.server.failure_reply(self.msg, error))


class IdentityMiddleware(RequestMiddleware):
    """Checks that the caller and the user may request the operation, and provides the user's identity."""

    async def consume_scope(self, call_next: Next, msg: StreamMessage[Any]) -> NatsResponse:
        """Calls the handler with the identity in the context."""
        identity = self.server.authenticate(self.msg)
        with self.context.scope(IDENTITY, identity):
            response: NatsResponse = await call_next(msg)
            return response


REQUEST_MIDDLEWARES = (DeadlineMiddleware, TraceMiddleware, FailureMiddleware, IdentityMiddleware)
"""The middlewares of a request, from the outermost to the innermost."""


def to_response(reply: StoredReply) -> NatsResponse:
    """Returns a reply as FastStream publishes it."""
    return NatsResponse(reply.body, headers=reply.headers)
