"""How a service answers asks: one subscription in its queue group, a task an ask, failures as headers.

FastStream carries the messages. Its own workers cost more than the work of a small handler, so the subscription only
hands over, and the number of asks at work is bounded here: beyond it, an ask is refused at once instead of late.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pydantic_core
from nats.aio.msg import Msg
from opentelemetry.trace import SpanKind, Tracer
from pydantic import ValidationError

from contracts import headers
from contracts.access import authorize
from contracts.failure import (
    Fail,
    FieldError,
    Forbidden,
    IdempotencyInProgress,
    InternalError,
    InvalidRequest,
    MalformedRequest,
    NotFound,
    Overloaded,
    Unavailable,
)
from contracts.identity import Access, Identity
from contracts.operation import OPERATOR, AnyOperation
from infra.foundation import trace
from infra.foundation.failpoints import failpoint
from infra.foundation.telemetry import Metrics
from infra.messaging.arrival_clock import ArrivalClock
from infra.messaging.idempotency import AlreadyProcessed, IdempotencyKey, IdempotencyStore, StoredReply
from infra.messaging.rpc import Reply, Request

Handler = Callable[[Any, Any], Awaitable[Any]]
"""`async def place(shop, ask) -> Order | Answer[Order]`."""

STORED_FAILURE_STATUSES = frozenset({402, 404, 409})
"""Outcomes of a request that was understood and tried: the same key gets the same answer."""

log = logging.getLogger("souk.asks")


class RpcServer:
    """Answers the asks of one service."""

    def __init__(
        self,
        deps: Any,  # each service's own, passed through to its handlers
        handlers: Mapping[AnyOperation, Handler],
        idempotency_store: IdempotencyStore,
        is_transient: Callable[[Exception], bool],
        metrics: Metrics,
        *,
        max_in_flight: int,
        tracer: Tracer | None = None,
    ) -> None:
        self.deps = deps
        self.handlers = {one.subject: (one, handler, reply_prefixes(one)) for one, handler in handlers.items()}
        self.idempotency_store = idempotency_store
        self.is_transient = is_transient
        self.metrics = metrics
        self.max_in_flight = max_in_flight
        self.tracer = tracer
        self.arrival_clock = ArrivalClock()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_idle(self) -> bool:
        return not self._tasks

    def receive(self, message: Msg) -> None:
        """Takes an ask over; the answer goes to the message's reply subject."""
        task = asyncio.create_task(self._reply_to(message, self.arrival_clock.earliest_arrival()))
        self._tasks.add(task)
        task.add_done_callback(self._on_task_done)

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("an ask was left without an answer", exc_info=error)

    async def _reply_to(self, message: Msg, came: float) -> None:
        started = time.perf_counter()
        header: Mapping[str, str] = message.header or {}
        deadline = came + float(header[headers.TIME_LEFT]) / 1000 if headers.TIME_LEFT in header else None
        if deadline is not None and deadline < time.monotonic():
            self.metrics.rpc_duration.labels(message.subject, "expired").observe(0)
            return
        here = trace.parse(
            header.get(headers.TRACEPARENT), request_id=header.get(headers.REQUEST_ID, ""), deadline=deadline
        )
        with trace.span(here, self.tracer, message.subject, SpanKind.SERVER):
            operation, stored = await self._run(message, header)
            outcome = stored.headers.get(headers.ERROR, "ok")
            seconds = time.perf_counter() - started
            self.metrics.rpc_duration.labels(message.subject if operation else "unknown", outcome).observe(seconds)
            if operation is not None and (operation.writes or outcome == InternalError.code):
                fields = {"operation": message.subject, "outcome": outcome, "ms": round(seconds * 1000, 2)}
                log.info("answered", extra={"fields": fields})
            if operation is not None and operation.writes:
                failpoint("actor.answered")
            if message.reply:
                await message._client.publish(message.reply, stored.body, headers=stored.headers or None)  # noqa: SLF001

    async def _run(self, message: Msg, header: Mapping[str, str]) -> tuple[AnyOperation | None, StoredReply]:
        operation, handler, answered_at = self.handlers.get(message.subject, (None, None, ()))
        if operation is None or handler is None:
            return None, _failure_reply(NotFound("there is no such operation"))
        if len(self._tasks) > self.max_in_flight:
            return operation, _failure_reply(Overloaded(retry_after=1))
        try:
            require_allowed_caller(message.reply, answered_at)
            return operation, await self._handle_once(handler, parse_request(operation, message.data, header))
        except Fail as fail:
            return operation, _failure_reply(fail)
        except Exception as error:
            if self.is_transient(error):
                log.warning("the store is away: %s", type(error).__name__)
                return operation, _failure_reply(Unavailable(retry_after=1))
            log.exception("%s failed", message.subject)
            return operation, _failure_reply(InternalError())

    async def _handle_once(self, handler: Handler, ask: Request[Any]) -> StoredReply:
        if ask.idempotency_key is None:
            return _encode(await handler(self.deps, ask))
        if found := await self.idempotency_store.find_reply(ask.idempotency_key):
            return _mark_replayed(found)
        try:
            stored = _encode(await handler(self.deps, ask))
        except AlreadyProcessed:
            stored = None
        except Fail as fail:
            stored = await self.idempotency_store.find_reply(ask.idempotency_key)
            if stored is None:
                await self._store_failure(ask.idempotency_key, fail)
                raise
        if stored is None:
            stored = await self.idempotency_store.find_reply(ask.idempotency_key)
            if stored is None:
                raise IdempotencyInProgress(retry_after=1)
        elif ask.idempotency_key.is_stored:
            return stored
        elif headers.ERROR not in stored.headers:
            failpoint("actor.handled")
            await self.idempotency_store.store_reply(ask.idempotency_key, stored)
            return stored
        return _mark_replayed(stored)

    async def _store_failure(self, key: IdempotencyKey, fail: Fail) -> None:
        if fail.status in STORED_FAILURE_STATUSES and not isinstance(fail, IdempotencyInProgress):
            failpoint("actor.refused")
            await self.idempotency_store.store_reply(key, _failure_reply(fail))


def reply_prefixes(operation: AnyOperation) -> tuple[str, ...]:
    """Where those who may ask are answered."""
    return tuple(f"_INBOX_{caller}." for caller in (*operation.callers, OPERATOR))


def require_allowed_caller(reply: str, allowed_prefixes: tuple[str, ...]) -> None:
    """NATS lets nobody else publish the subject. But who may have a stored message sent can name any subject for it,
    and it comes from the server, with the headers it was stored with: such a one is answered nowhere.
    """
    if not reply.startswith(allowed_prefixes):
        raise Forbidden


def parse_request(operation: AnyOperation, body: bytes, header: Mapping[str, str]) -> Request[Any]:
    """The ask in a message, from somebody who may ask it."""
    identity = None
    if headers.IDENTITY in header and operation.access is not Access.SERVICE:
        identity = Identity.model_validate_json(header[headers.IDENTITY])
    identity = authorize(operation, identity)
    try:
        request = operation.request.model_validate_json(body or b"{}")
    except ValidationError as error:
        raise validation_failure(error) from None
    client = header.get(headers.CLIENT_IP, "")
    key = header.get(headers.IDEMPOTENCY_KEY) if operation.writes else None
    caller = str(identity.user_id) if identity else client
    version = header.get(headers.IF_MATCH)
    owner = identity.user_id if identity else None
    return Request(
        request,
        identity,
        client,
        int(version) if version else None,
        IdempotencyKey.derive(operation.subject, caller, key, body, confidential=operation.confidential, owner=owner)
        if key
        else None,
        operation,
    )


def validation_failure(error: ValidationError) -> Fail:
    """What is wrong with a request, by field; what was sent is never repeated."""
    items = error.errors(include_url=False, include_context=False, include_input=False)
    if items[0]["type"] == "json_invalid":
        return MalformedRequest("The body is not JSON.")
    return InvalidRequest(errors=[FieldError(pointer=_pointer(item["loc"]), detail=_message(item)) for item in items])


def _pointer(location: tuple[int | str, ...]) -> str:
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in location)


def _message(item: pydantic_core.ErrorDetails) -> str:
    return item["msg"].removeprefix("Value error, ")


def _encode(result: Any) -> StoredReply:
    answer = result if isinstance(result, Reply) else Reply(result)
    return answer.to_stored()


def _failure_reply(fail: Fail) -> StoredReply:
    here = trace.current()
    return StoredReply(
        fail.to_json(here.request_id), {headers.ERROR: fail.code, headers.ERROR_CODE: str(int(fail.status))}
    )


def _mark_replayed(stored: StoredReply) -> StoredReply:
    return StoredReply(stored.body, {**stored.headers, headers.REPLAYED: "true"})
