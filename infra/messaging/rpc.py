"""Asks: what a handler receives, what it answers, and how one service asks another."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import nats.errors
from nats.aio.client import Client
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from contracts import headers
from contracts.failure import Fail, InternalError, TimedOut, Unauthorized, Unavailable
from contracts.identity import Identity
from contracts.model import Model
from contracts.operation import AnyOperation, Operation
from infra.foundation import trace
from infra.messaging.idempotency import IdempotencyKey, StoredReply

RequestT = TypeVar("RequestT", bound=Model)
ReplyT = TypeVar("ReplyT", bound=Model)

NO_RESPONDER_WAIT_SECONDS = 2.0
"""Seconds an ask waits for a service that has no process just now: nobody has got it, so it is safe to send again."""


@dataclass(slots=True)
class Request(Generic[RequestT]):
    """An ask as its handler sees it. `identity` is who asks, verified by the edge; None for a guest or a service."""

    body: RequestT
    identity: Identity | None = None
    client_ip: str = ""
    if_match: int | None = None
    idempotency_key: IdempotencyKey | None = None
    operation: AnyOperation | None = None
    """What is asked for."""

    @property
    def user(self) -> Identity:
        """The signed-in user, where the operation's access says that there is one."""
        if self.identity is None:
            raise Unauthorized
        return self.identity


@dataclass(slots=True)
class Reply(Generic[ReplyT]):
    """A reply with what goes beside it: the version of the thing (its ETag), or a body that is not JSON."""

    content: ReplyT | bytes
    version: int | None = None
    content_type: str | None = None
    _encoded: bytes | None = field(default=None, repr=False)

    @property
    def body(self) -> bytes:
        if self._encoded is None:
            self._encoded = (
                self.content
                if isinstance(self.content, bytes)
                else self.content.__pydantic_serializer__.to_json(self.content, by_alias=True)
            )
        return self._encoded

    @property
    def headers(self) -> dict[str, str]:
        found = {}
        if self.version is not None:
            found[headers.VERSION] = str(self.version)
        if self.content_type is not None:
            found[headers.CONTENT_TYPE] = self.content_type
        return found

    def to_stored(self) -> StoredReply:
        return StoredReply(self.body, self.headers)


class RpcClient:
    """Asks on one NATS connection: carries the trace and a deadline along, turns failures back into exceptions."""

    def __init__(self, client: Client, timeout_seconds: float) -> None:
        self.client = client
        self.timeout_seconds = timeout_seconds

    async def request(
        self, operation: Operation[RequestT, ReplyT], payload: RequestT, *, idempotency_key: str | None = None
    ) -> ReplyT:
        """Asks another service, within what is left of the time that our own asker waits."""
        extra = {headers.IDEMPOTENCY_KEY: idempotency_key} if idempotency_key else {}
        body, _ = await self.request_bytes(operation.subject, payload.model_dump_json(by_alias=True).encode(), extra)
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
        """The reply's bytes and headers; raises the `Fail` that the other side answered with."""
        answer, found = await self.forward(subject, body, extra_headers, timeout_seconds=timeout_seconds)
        if headers.ERROR_CODE in found:
            raise Fail.from_json(answer)
        return answer, found

    async def forward(
        self,
        subject: str,
        body: bytes,
        extra_headers: Mapping[str, str],
        *,
        timeout_seconds: float | None = None,
    ) -> tuple[bytes, Mapping[str, str]]:
        """What came back as it came, a failure too, for one who passes it on."""
        here = trace.current()
        now = time.monotonic()
        deadline = min(now + (timeout_seconds or self.timeout_seconds), here.deadline or float("inf"))
        if deadline <= now:
            raise TimedOut
        header = {
            headers.TRACEPARENT: here.traceparent,
            headers.REQUEST_ID: here.request_id,
            headers.TIME_LEFT: str(int((deadline - now) * 1000)),
            **extra_headers,
        }
        reply = await self._send(subject, body, header, deadline)
        return reply.data, reply.header or {}

    async def _send(self, subject: str, body: bytes, header: dict[str, str], deadline: float) -> Any:
        try:
            return await self.client.request(subject, body, timeout=deadline - time.monotonic(), headers=header)
        except nats.errors.NoRespondersError:
            return await self._send_until_responder(subject, body, header, deadline)
        except nats.errors.TimeoutError as error:
            raise TimedOut(f"{_service(subject)} did not answer in time") from error
        except (nats.errors.Error, OSError) as error:
            raise Unavailable(f"{_service(subject)} cannot be reached", retry_after=1) from error

    async def _send_until_responder(self, subject: str, body: bytes, header: dict[str, str], deadline: float) -> Any:
        patience = min(NO_RESPONDER_WAIT_SECONDS, max(deadline - time.monotonic() - 0.1, 0))
        try:
            async for attempt in AsyncRetrying(
                retry=retry_if_exception_type(nats.errors.NoRespondersError),
                wait=wait_random_exponential(multiplier=0.02, max=0.3),
                stop=stop_after_delay(patience),
                reraise=True,
            ):
                with attempt:
                    left = max(deadline - time.monotonic(), 0.01)
                    header[headers.TIME_LEFT] = str(int(left * 1000))
                    return await self.client.request(subject, body, timeout=left, headers=header)
        except nats.errors.TimeoutError as error:
            raise TimedOut(f"{_service(subject)} did not answer in time") from error
        except (nats.errors.Error, OSError) as error:
            raise Unavailable(f"{_service(subject)} is not there", retry_after=1) from error
        raise InternalError


def _service(subject: str) -> str:
    return subject.split(".")[1]
