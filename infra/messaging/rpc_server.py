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
from contracts.access import admit
from contracts.failure import (
    Fail,
    FieldError,
    Forbidden,
    IdempotencyInProgress,
    InternalError,
    Invalid,
    Malformed,
    NotFound,
    Overloaded,
    Unavailable,
)
from contracts.identity import Access, Identity
from contracts.operation import OPERATOR, AnyOperation
from infra.foundation import trace
from infra.foundation.failpoints import crash_point
from infra.foundation.telemetry import Metrics
from infra.messaging.arrival_clock import Heart
from infra.messaging.idempotency import Key, Replay, Replays, Stored
from infra.messaging.rpc import Answer, Ask

Handler = Callable[[Any, Any], Awaitable[Any]]
"""`async def place(shop, ask) -> Order | Answer[Order]`."""

KEPT_FAILURES = frozenset({402, 404, 409})
"""Outcomes of a request that was understood and tried: the same key gets the same answer."""

log = logging.getLogger("souk.asks")


class Actor:
    """Answers the asks of one service."""

    def __init__(
        self,
        deps: Any,  # each service's own, passed through to its handlers
        asks: Mapping[AnyOperation, Handler],
        replays: Replays,
        is_away: Callable[[Exception], bool],
        metrics: Metrics,
        *,
        max_in_flight: int,
        tracer: Tracer | None = None,
    ) -> None:
        self.deps = deps
        self.asks = {one.subject: (one, handler, inboxes(one)) for one, handler in asks.items()}
        self.replays = replays
        self.is_away = is_away
        self.metrics = metrics
        self.max_in_flight = max_in_flight
        self.tracer = tracer
        self.heart = Heart()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def idle(self) -> bool:
        return not self._tasks

    def receive(self, message: Msg) -> None:
        """Takes an ask over; the answer goes to the message's reply subject."""
        task = asyncio.create_task(self._answer(message, self.heart.earliest()))
        self._tasks.add(task)
        task.add_done_callback(self._answered)

    def _answered(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("an ask was left without an answer", exc_info=error)

    async def _answer(self, message: Msg, came: float) -> None:
        started = time.perf_counter()
        header: Mapping[str, str] = message.header or {}
        deadline = came + float(header[headers.TIME_LEFT]) / 1000 if headers.TIME_LEFT in header else None
        if deadline is not None and deadline < time.monotonic():
            self.metrics.asks.labels(message.subject, "expired").observe(0)
            return
        here = trace.parse(
            header.get(headers.TRACEPARENT), request_id=header.get(headers.REQUEST_ID, ""), deadline=deadline
        )
        with trace.span(here, self.tracer, message.subject, SpanKind.SERVER):
            operation, stored = await self._outcome(message, header)
            outcome = stored.headers.get(headers.ERROR, "ok")
            seconds = time.perf_counter() - started
            self.metrics.asks.labels(message.subject if operation else "unknown", outcome).observe(seconds)
            if operation is not None and (operation.writes or outcome == InternalError.code):
                fields = {"operation": message.subject, "outcome": outcome, "ms": round(seconds * 1000, 2)}
                log.info("answered", extra={"fields": fields})
            if operation is not None and operation.writes:
                crash_point("actor.answered")
            if message.reply:
                await message._client.publish(message.reply, stored.body, headers=stored.headers or None)  # noqa: SLF001

    async def _outcome(self, message: Msg, header: Mapping[str, str]) -> tuple[AnyOperation | None, Stored]:
        operation, handler, answered_at = self.asks.get(message.subject, (None, None, ()))
        if operation is None or handler is None:
            return None, _failed(NotFound("there is no such operation"))
        if len(self._tasks) > self.max_in_flight:
            return operation, _failed(Overloaded(retry_after=1))
        try:
            require_asker(message.reply, answered_at)
            return operation, await self._handle(handler, read(operation, message.data, header))
        except Fail as fail:
            return operation, _failed(fail)
        except Exception as error:
            if self.is_away(error):
                log.warning("the store is away: %s", type(error).__name__)
                return operation, _failed(Unavailable(retry_after=1))
            log.exception("%s failed", message.subject)
            return operation, _failed(InternalError())

    async def _handle(self, handler: Handler, ask: Ask[Any]) -> Stored:
        if ask.key is None:
            return _encoded(await handler(self.deps, ask))
        if found := await self.replays.find(ask.key):
            return _replayed(found)
        try:
            stored = _encoded(await handler(self.deps, ask))
        except Replay:
            stored = None
        except Fail as fail:
            stored = await self.replays.find(ask.key)
            if stored is None:
                await self._keep_failure(ask.key, fail)
                raise
        if stored is None:
            stored = await self.replays.find(ask.key)
            if stored is None:
                raise IdempotencyInProgress(retry_after=1)
        elif ask.key.kept:
            return stored
        elif headers.ERROR not in stored.headers:
            crash_point("actor.handled")
            await self.replays.keep(ask.key, stored)
            return stored
        return _replayed(stored)

    async def _keep_failure(self, key: Key, fail: Fail) -> None:
        if fail.status in KEPT_FAILURES and not isinstance(fail, IdempotencyInProgress):
            crash_point("actor.refused")
            await self.replays.keep(key, _failed(fail))


def inboxes(operation: AnyOperation) -> tuple[str, ...]:
    """Where those who may ask are answered."""
    return tuple(f"_INBOX_{caller}." for caller in (*operation.callers, OPERATOR))


def require_asker(reply: str, answered_at: tuple[str, ...]) -> None:
    """NATS lets nobody else publish the subject. But who may have a stored message sent can name any subject for it,
    and it comes from the server, with the headers it was stored with: such a one is answered nowhere.
    """
    if not reply.startswith(answered_at):
        raise Forbidden


def read(operation: AnyOperation, body: bytes, header: Mapping[str, str]) -> Ask[Any]:
    """The ask in a message, from somebody who may ask it."""
    identity = None
    if headers.IDENTITY in header and operation.access is not Access.SERVICE:
        identity = Identity.model_validate_json(header[headers.IDENTITY])
    identity = admit(operation, identity)
    try:
        request = operation.request.model_validate_json(body or b"{}")
    except ValidationError as error:
        raise invalid(error) from None
    client = header.get(headers.CLIENT, "")
    key = header.get(headers.IDEMPOTENCY_KEY) if operation.writes else None
    caller = str(identity.user_id) if identity else client
    version = header.get(headers.IF_MATCH)
    owner = identity.user_id if identity else None
    return Ask(
        request,
        identity,
        client,
        int(version) if version else None,
        Key.of(operation.subject, caller, key, body, confidential=operation.confidential, owner=owner) if key else None,
        operation,
    )


def invalid(error: ValidationError) -> Fail:
    """What is wrong with a request, by field; what was sent is never repeated."""
    items = error.errors(include_url=False, include_context=False, include_input=False)
    if items[0]["type"] == "json_invalid":
        return Malformed("The body is not JSON.")
    return Invalid(errors=[FieldError(pointer=_pointer(item["loc"]), detail=_told(item)) for item in items])


def _pointer(location: tuple[int | str, ...]) -> str:
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in location)


def _told(item: pydantic_core.ErrorDetails) -> str:
    return item["msg"].removeprefix("Value error, ")


def _encoded(result: Any) -> Stored:
    answer = result if isinstance(result, Answer) else Answer(result)
    return answer.stored()


def _failed(fail: Fail) -> Stored:
    here = trace.current()
    return Stored(fail.body(here.request_id), {headers.ERROR: fail.code, headers.ERROR_CODE: str(int(fail.status))})


def _replayed(stored: Stored) -> Stored:
    return Stored(stored.body, {**stored.headers, headers.REPLAYED: "true"})
