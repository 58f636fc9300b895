"""The server side of requests: from a NATS message to the reply that goes back.

Each step is a method, so that the fast path (a task for each message) and FastStream's middlewares run the same code.
The number of requests in progress is limited: beyond it a request is refused at once instead of being answered late.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import nats.errors
from nats.aio.msg import Msg
from opentelemetry.trace import SpanKind

from contracts import headers
from contracts.access import authorize
from contracts.failure import (
    Fail,
    Forbidden,
    IdempotencyInProgress,
    InternalError,
    NotFound,
    Overloaded,
    ReplyTooLarge,
    Unavailable,
)
from contracts.identity import Access, Identity
from contracts.operation import EDGE, OPERATOR, AnyOperation
from contracts.size_limits import MAX_REPLY_BYTES
from infra.foundation import trace
from infra.foundation.failpoints import failpoint
from infra.foundation.telemetry import Metrics, get_logger
from infra.messaging.arrival_clock import ArrivalClock
from infra.messaging.endpoint_stats import DurationSeries, EndpointStats
from infra.messaging.idempotency import AlreadyProcessed, IdempotencyKey, IdempotencyStore, StoredReply
from infra.messaging.request_parsing import parse_request
from infra.messaging.rpc_client import Reply, Request
from infra.messaging.span_attributes import messaging_attributes

Handler = Callable[[Any, Any], Awaitable[Any]]
"""`async def place(deps, request) -> Order | Reply[Order]`."""

ReplyCompleter = Callable[[Any, Request[Any], StoredReply], StoredReply]
"""`def add_token(deps, request, reply) -> StoredReply`: adds to a successful reply what is never stored with it."""

NO_HEADERS: Mapping[str, str] = MappingProxyType({})

STORED_FAILURE_STATUSES = frozenset({402, 404, 409})
"""Statuses of failures that are stored: the request was understood and tried, so its key gets the same reply again."""

EDGE_INBOX = f"_INBOX_{EDGE}."
"""The inbox of the edge, which writes the log line of each HTTP request itself."""

log = get_logger("souk.rpc")


@dataclass(frozen=True, slots=True)
class RpcEndpoint:
    """An operation of the service, its handler, and the inboxes of the callers that may request it."""

    operation: AnyOperation
    handler: Handler
    reply_prefixes: tuple[str, ...]
    complete: ReplyCompleter | None = None
    stats: EndpointStats = field(default_factory=EndpointStats)


class InFlightLimit:
    """Counts the requests in progress, each one a `with` block. Beyond the limit it raises `Overloaded`."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.count = 0

    def __enter__(self) -> None:
        if self.count >= self.limit:
            raise Overloaded(retry_after=1)
        self.count += 1

    def __exit__(self, *_exception: object) -> None:
        self.count -= 1


class RpcServer:
    """Handles the requests of one service."""

    def __init__(
        self,
        deps: Any,  # each service's own dependencies, passed through to its handlers
        handlers: Mapping[AnyOperation, Handler],
        idempotency_store: IdempotencyStore,
        is_transient: Callable[[Exception], bool],
        metrics: Metrics,
        *,
        max_in_flight: int,
        reply_completers: Mapping[AnyOperation, ReplyCompleter] = MappingProxyType({}),
    ) -> None:
        self.deps = deps
        self.endpoints = {
            operation.subject: RpcEndpoint(
                operation, handler, reply_prefixes(operation), reply_completers.get(operation)
            )
            for operation, handler in handlers.items()
        }
        self.idempotency_store = idempotency_store
        self.is_transient = is_transient
        self.metrics = metrics
        self.in_flight = InFlightLimit(max_in_flight)
        self.arrival_clock = ArrivalClock()
        self._durations = DurationSeries(metrics)
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_idle(self) -> bool:
        """Whether no request is in progress."""
        return not self._tasks and not self.in_flight.count

    def receive(self, message: Msg) -> None:
        """Handles a message in a task of its own, which publishes the reply."""
        task = asyncio.create_task(self._reply_to(message, self.deadline_of(message)))
        self._tasks.add(task)
        task.add_done_callback(self._on_task_done)

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("request left without a reply", exc_info=error)

    async def _reply_to(self, message: Msg, deadline: float | None) -> None:
        if deadline is not None and self.is_expired(message, deadline):
            return
        context = _trace_of(message, deadline)
        if trace.has_spans(context):
            with self.observed(message, deadline) as observation:
                reply = await self._run(message)
                observation.reply_headers = reply.headers
        else:  # the same without context managers, which cost as much as a small handler
            started = time.perf_counter()
            trace.activate_in_task(context)
            reply = await self._run(message)
            self._record(message, reply.headers, time.perf_counter() - started)
        if message.reply:
            await self._publish(message, reply)

    async def _publish(self, message: Msg, reply: StoredReply) -> None:
        client = message._client  # noqa: SLF001 - `respond` takes no headers
        try:
            await client.publish(message.reply, reply.body, headers=reply.headers or None)
        except nats.errors.MaxPayloadError as error:  # the server's limit is below the one in contracts.size_limits
            reply = self.failure_reply(message, ReplyTooLarge())
            log.error("reply not sent: %s: %s", message.subject, error)  # noqa: TRY400 - the traceback says no more
            await client.publish(message.reply, reply.body, headers=reply.headers)

    async def _run(self, message: Msg) -> StoredReply:
        try:
            with self.in_flight:
                return await self.handle(message, self.authenticate(message))
        except Exception as error:  # noqa: BLE001 - every failure becomes a reply
            return self.failure_reply(message, error)

    def deadline_of(self, message: Msg) -> float | None:
        """Returns when the caller stops waiting, by `time.monotonic()`; None if the message does not say."""
        time_left = (message.headers or NO_HEADERS).get(headers.TIME_LEFT)
        return None if time_left is None else self.arrival_clock.earliest_arrival() + float(time_left) / 1000

    def is_expired(self, message: Msg, deadline: float | None) -> bool:
        """Whether the caller no longer waits for the reply, so that the request is not worth starting."""
        if deadline is None or deadline >= time.monotonic():
            return False
        self._durations.find(message.subject if message.subject in self.endpoints else "unknown", "expired").observe(0)
        return True

    @contextmanager
    def observed(self, message: Msg, deadline: float | None) -> Iterator["Observation"]:
        """Runs the block in the trace of the message; then measures and logs its reply."""
        started = time.perf_counter()
        context = _trace_of(message, deadline)
        attributes = messaging_attributes("process", message.subject)
        with trace.span(context, f"process {message.subject}", SpanKind.SERVER, attributes):
            observation = Observation()
            yield observation
            if observation.reply_headers is not None:
                _annotate_server_error(observation.reply_headers)
                self._record(message, observation.reply_headers, time.perf_counter() - started)

    def _record(self, message: Msg, reply_headers: Mapping[str, str], seconds: float) -> None:
        subject = message.subject
        endpoint = self.endpoints.get(subject)
        outcome = reply_headers.get(headers.ERROR, "ok")
        self._durations.find(subject if endpoint else "unknown", outcome).observe(seconds)
        if endpoint is None:
            return
        endpoint.stats.count(outcome, seconds)
        is_logged_by_edge = message.reply.startswith(EDGE_INBOX)
        if outcome == InternalError.code or (endpoint.operation.writes and not is_logged_by_edge):
            log.info("request handled", operation=subject, outcome=outcome, ms=round(seconds * 1000, 2))
        if endpoint.operation.writes:
            failpoint("rpc_server.before_reply")

    def authenticate(self, message: Msg) -> Identity | None:
        """Returns the user of a request. Raises a `Fail` if the caller or the user may not request the operation."""
        endpoint = self._endpoint_of(message)
        require_allowed_caller(message.reply, endpoint.reply_prefixes)
        identity = None
        header: Mapping[str, str] = message.headers or NO_HEADERS
        if headers.IDENTITY in header and endpoint.operation.access is not Access.SERVICE:
            identity = Identity.model_validate_json(header[headers.IDENTITY])
        return authorize(endpoint.operation, identity, has_order_token=headers.ORDER_TOKEN in header)

    async def handle(self, message: Msg, identity: Identity | None) -> StoredReply:
        """Parses the request, calls its handler once for each idempotency key, and encodes the reply.

        Raises `ReplyTooLarge` if the reply is larger than a reply may be.
        """
        reply = await self._handle(message, identity)
        if len(reply.body) > MAX_REPLY_BYTES:
            log.error("reply too large: %s: %d bytes", message.subject, len(reply.body))
            raise ReplyTooLarge
        return reply

    async def _handle(self, message: Msg, identity: Identity | None) -> StoredReply:
        endpoint = self._endpoint_of(message)
        request = parse_request(endpoint.operation, message.data, message.headers or NO_HEADERS, identity)
        if request.idempotency_key is None:
            reply = _encode(await endpoint.handler(self.deps, request))
        else:
            reply = await self._handle_once(endpoint.handler, request, request.idempotency_key)
        if endpoint.complete is None or headers.ERROR in reply.headers:
            return reply
        return endpoint.complete(self.deps, request, reply)

    def _endpoint_of(self, message: Msg) -> RpcEndpoint:
        endpoint = self.endpoints.get(message.subject)
        if endpoint is None:
            raise NotFound("There is no such operation.")
        return endpoint

    async def _handle_once(self, handler: Handler, request: Request[Any], key: IdempotencyKey) -> StoredReply:
        if stored := await self.idempotency_store.find_reply(key):
            return _mark_replayed(stored)
        try:
            reply = _encode(await handler(self.deps, request))
        except AlreadyProcessed:
            return await self._replay(key)
        except Fail as fail:
            if stored := await self.idempotency_store.find_reply(key):
                return _mark_replayed(stored)
            await self._store_failure(key, fail)
            raise
        if not key.is_stored:
            failpoint("rpc_server.handled")
            await self.idempotency_store.store_reply(key, reply)
        return reply

    async def _replay(self, key: IdempotencyKey) -> StoredReply:
        stored = await self.idempotency_store.find_reply(key)
        if stored is None:
            raise IdempotencyInProgress(retry_after=1)
        return _mark_replayed(stored)

    async def _store_failure(self, key: IdempotencyKey, fail: Fail) -> None:
        if fail.status in STORED_FAILURE_STATUSES and not isinstance(fail, IdempotencyInProgress):
            failpoint("rpc_server.failed")
            await self.idempotency_store.store_reply(key, _failure_reply(fail))

    def failure_reply(self, message: Msg, error: Exception) -> StoredReply:
        """Returns the reply for an exception: a `Fail` as it is, an outage as 503, anything else as 500."""
        if isinstance(error, Fail):
            return _failure_reply(error)
        if self.is_transient(error):
            log.warning("store unavailable: %s", type(error).__name__)
            return _failure_reply(Unavailable(retry_after=1))
        log.error("request failed: %s", message.subject, exc_info=error)
        return _failure_reply(InternalError())


@dataclass(slots=True)
class Observation:
    """What `RpcServer.observed` measures: the block sets the headers of the reply."""

    reply_headers: Mapping[str, str] | None = None


def _trace_of(message: Msg, deadline: float | None) -> trace.Trace:
    header: Mapping[str, str] = message.headers or NO_HEADERS
    return trace.parse(
        header.get(headers.TRACEPARENT), request_id=header.get(headers.REQUEST_ID, ""), deadline=deadline
    )


def _annotate_server_error(reply_headers: Mapping[str, str]) -> None:
    """Marks the current span as failed if the reply is a server error; a refused request is the caller's failure."""
    if reply_headers.get(headers.ERROR_CODE, "").startswith("5"):
        trace.annotate({}, error=reply_headers[headers.ERROR])


def reply_prefixes(operation: AnyOperation) -> tuple[str, ...]:
    """Returns the prefixes of the reply inboxes of the callers that may request an operation."""
    return tuple(f"_INBOX_{caller}." for caller in (*operation.callers, OPERATOR))


def require_allowed_caller(reply: str, allowed_prefixes: tuple[str, ...]) -> None:
    """Raises `Forbidden` unless the reply subject is an inbox of an allowed caller.

    NATS permissions let no other user publish a request. But a user that may create consumers can make the server
    deliver a stored message, with its stored headers, to any subject; such a message has a reply subject of JetStream.
    """
    if not reply.startswith(allowed_prefixes):
        raise Forbidden


def _encode(result: Any) -> StoredReply:
    reply = result if isinstance(result, Reply) else Reply(result)
    return reply.to_stored()


def _failure_reply(fail: Fail) -> StoredReply:
    context = trace.current()
    return StoredReply(
        fail.to_json(context.request_id), {headers.ERROR: fail.code, headers.ERROR_CODE: str(int(fail.status))}
    )


def _mark_replayed(stored: StoredReply) -> StoredReply:
    return StoredReply(stored.body, {**stored.headers, headers.REPLAYED: "true"})
