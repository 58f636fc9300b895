"""Requests and replies of operations, and the client with which one process calls another over NATS."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import nats.errors
from nats.aio.client import Client
from opentelemetry.trace import SpanKind
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from contracts import headers
from contracts.failure import Fail, InternalError, PayloadTooLarge, TimedOut, Unauthorized, Unavailable
from contracts.identity import Identity
from contracts.model import Model
from contracts.operation import AnyOperation, Operation
from infra.foundation import trace
from infra.messaging.idempotency import IdempotencyKey, StoredReply
from infra.messaging.span_attributes import messaging_attributes

RequestT = TypeVar("RequestT", bound=Model)
ReplyT = TypeVar("ReplyT", bound=Model)

NO_RESPONDER_WAIT_SECONDS = 2.0
"""Seconds to wait for a service without a running process. No process has got the request, so resending is safe."""


@dataclass(slots=True)
class Request(Generic[RequestT]):
    """A request as its handler receives it.

    `identity` is the user, verified by the edge; it is None for a guest or a service.
    """

    body: RequestT
    identity: Identity | None = None
    client_ip: str = ""
    if_match: frozenset[int] | None = None
    """The versions of which the client expects the resource to have one."""
    idempotency_key: IdempotencyKey | None = None
    operation: AnyOperation | None = None
    order_token: str = field(default="", repr=False)
    """What a guest sent as the token of their order; empty if there is none or the operation takes none."""

    @property
    def user(self) -> Identity:
        """The signed-in user. Raises `Unauthorized` if there is none."""
        if self.identity is None:
            raise Unauthorized
        return self.identity


@dataclass(slots=True)
class Reply(Generic[ReplyT]):
    """A reply with headers: the version of the resource (its ETag), or the content type of a body that is not JSON."""

    content: ReplyT | bytes
    version: int | None = None
    content_type: str | None = None
    moved_to: str | None = None
    """The current slug of the resource, which was asked for by an old one."""
    next: str | None = None
    """Where the next page starts, of a file that comes in several replies."""
    valid_seconds: float | None = None
    """How long the reply holds, if something in it changes by time."""
    _encoded: bytes | None = field(default=None, repr=False)

    @property
    def body(self) -> bytes:
        """The encoded body."""
        if self._encoded is None:
            self._encoded = (
                self.content
                if isinstance(self.content, bytes)
                else self.content.__pydantic_serializer__.to_json(self.content, by_alias=True)
            )
        return self._encoded

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the reply on NATS."""
        values = {}
        if self.version is not None:
            values[headers.VERSION] = str(self.version)
        if self.content_type is not None:
            values[headers.CONTENT_TYPE] = self.content_type
        if self.moved_to is not None:
            values[headers.MOVED_TO] = self.moved_to
        if self.next is not None:
            values[headers.NEXT] = self.next
        if self.valid_seconds is not None:
            values[headers.VALID_SECONDS] = str(self.valid_seconds)
        return values

    def to_stored(self) -> StoredReply:
        """Returns the reply as bytes and headers."""
        return StoredReply(self.body, self.headers)


class RpcClient:
    """Sends requests over one NATS connection, with the trace and a deadline, and turns failures into exceptions."""

    def __init__(self, client: Client, timeout_seconds: float) -> None:
        self.client = client
        self.timeout_seconds = timeout_seconds

    async def request(
        self, operation: Operation[RequestT, ReplyT], payload: RequestT, *, idempotency_key: str | None = None
    ) -> ReplyT:
        """Calls an operation of another service. The deadline of the current request limits the wait.

        Fields with their default value are not sent: an older release refuses fields that it does not know.
        """
        extra = {headers.IDEMPOTENCY_KEY: idempotency_key} if idempotency_key else {}
        request = payload.model_dump_json(by_alias=True, exclude_defaults=True).encode()
        body, _ = await self.request_bytes(operation.subject, request, extra)
        reply: ReplyT = operation.reply.model_validate_json(body, extra="ignore")
        return reply

    async def request_bytes(
        self,
        subject: str,
        body: bytes,
        extra_headers: Mapping[str, str],
        *,
        timeout_seconds: float | None = None,
    ) -> tuple[bytes, Mapping[str, str]]:
        """Returns the body and the headers of the reply. Raises the `Fail` that the other side replied with."""
        reply, reply_headers = await self.forward(subject, body, extra_headers, timeout_seconds=timeout_seconds)
        if headers.ERROR_CODE in reply_headers:
            raise Fail.from_json(reply)
        return reply, reply_headers

    async def forward(
        self,
        subject: str,
        body: bytes,
        extra_headers: Mapping[str, str],
        *,
        timeout_seconds: float | None = None,
    ) -> tuple[bytes, Mapping[str, str]]:
        """Returns the reply as it came, even a failure, so that the caller can pass it on."""
        now = time.monotonic()
        limit = trace.current().deadline or float("inf")
        deadline = min(now + (timeout_seconds or self.timeout_seconds), limit)
        if deadline <= now:
            raise TimedOut
        header = {headers.TIME_LEFT: str(int((deadline - now) * 1000)), **extra_headers}
        if not trace.is_recorded():
            return await self._send_traced(trace.current(), subject, body, header, deadline)
        with trace.child_span(f"send {subject}", SpanKind.CLIENT, messaging_attributes("send", subject)) as context:
            return await self._send_traced(context, subject, body, header, deadline)

    async def _send_traced(
        self, context: trace.Trace, subject: str, body: bytes, header: dict[str, str], deadline: float
    ) -> tuple[bytes, Mapping[str, str]]:
        header[headers.TRACEPARENT] = context.traceparent
        header[headers.REQUEST_ID] = context.request_id
        reply = await self._send(subject, body, header, deadline)
        return reply.data, reply.headers or {}

    async def _send(self, subject: str, body: bytes, header: dict[str, str], deadline: float) -> Any:
        try:
            return await self.client.request(subject, body, timeout=deadline - time.monotonic(), headers=header)
        except nats.errors.NoRespondersError:
            return await self._send_until_responder(subject, body, header, deadline)
        except nats.errors.TimeoutError as error:
            raise TimedOut(f"The {_service(subject)} service did not reply in time.") from error
        except nats.errors.MaxPayloadError as error:
            raise PayloadTooLarge("The request is too large to be passed on. Send less in one request.") from error
        except (nats.errors.Error, OSError) as error:
            raise Unavailable(f"The {_service(subject)} service cannot be reached.", retry_after=1) from error

    async def _send_until_responder(self, subject: str, body: bytes, header: dict[str, str], deadline: float) -> Any:
        wait_seconds = min(NO_RESPONDER_WAIT_SECONDS, max(deadline - time.monotonic() - 0.1, 0))
        try:
            async for attempt in AsyncRetrying(
                retry=retry_if_exception_type(nats.errors.NoRespondersError),
                wait=wait_random_exponential(multiplier=0.02, max=0.3),
                stop=stop_after_delay(wait_seconds),
                reraise=True,
            ):
                with attempt:
                    left = max(deadline - time.monotonic(), 0.01)
                    header[headers.TIME_LEFT] = str(int(left * 1000))
                    return await self.client.request(subject, body, timeout=left, headers=header)
        except nats.errors.TimeoutError as error:
            raise TimedOut(f"The {_service(subject)} service did not reply in time.") from error
        except (nats.errors.Error, OSError) as error:
            raise Unavailable(f"The {_service(subject)} service is not running.", retry_after=1) from error
        raise InternalError


def _service(subject: str) -> str:
    return subject.split(".")[1]
