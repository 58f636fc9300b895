"""Sends requests for products that are under way together as one message to the catalog.

Nothing is kept, so nothing is stale: while `MAX_UNDER_WAY` messages are under way, requests wait for the next one,
which starts after they arrived. A request that finds no other goes out as it is.

Every request keeps its own reply. Where the message as a whole is refused, perhaps because of one product, its requests
go out one by one. Figures: `docs/decisions/0030-edge-cache-and-shared-requests.md`.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson

from contracts import catalog, headers
from contracts.failure import Fail, Unavailable
from infra.foundation import trace
from infra.foundation.telemetry import get_logger
from infra.foundation.trace import Trace
from infra.messaging.rpc_client import RpcClient

MAX_UNDER_WAY = 2
"""Messages under way for which further requests wait."""
SLOW_SECONDS = 0.02
"""Time after which a message is no longer waited for: a catalog process that hangs delays only what it was sent."""
MAX_BATCH_SIZE = 64
SHARED_FAILURES = frozenset({HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT})
"""Failures that every request of a message shares. Others may be due to one of them, or to a catalog of an older
release that does not know the operation.
"""

RawReply = tuple[bytes, Mapping[str, str]]
"""A reply's body and headers as the service sent them."""

log = get_logger("souk.batches")


@dataclass(frozen=True, slots=True)
class _Lookup:
    """A request that waits for its reply; None tells it to go out by itself."""

    body: bytes
    context: Trace
    reply: asyncio.Future[RawReply | None]


@dataclass(slots=True)
class _Message:
    """Requests that go out together. Others wait for it until its reply arrives, or until it is slow."""

    lookups: Sequence[_Lookup]
    is_waited_for: bool = True


class ProductBatches:
    """Reads products as callers see them who are not administrators."""

    def __init__(self, rpc: RpcClient, timeout_seconds: float) -> None:
        self._rpc = rpc
        self._timeout_seconds = timeout_seconds
        self._waiting: list[_Lookup] = []
        self._under_way = 0
        self._is_scheduled = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def request(self, body: bytes) -> RawReply:
        """Returns the reply to a `ProductLookup`. Raises Fail when no reply arrives."""
        loop = asyncio.get_running_loop()
        lookup = _Lookup(body, trace.current(), loop.create_future())
        self._waiting.append(lookup)
        if not self._is_scheduled and self._under_way < MAX_UNDER_WAY:
            self._is_scheduled = True
            loop.call_soon(self._send_waiting)  # after the other requests that arrived with this one
        reply = await lookup.reply
        return await self._request_alone(body) if reply is None else reply

    async def _request_alone(self, body: bytes) -> RawReply:
        return await self._rpc.forward(catalog.GET_PRODUCT.subject, body, {}, timeout_seconds=self._timeout_seconds)

    def _send_waiting(self) -> None:
        self._is_scheduled = False
        while self._waiting and self._under_way < MAX_UNDER_WAY:
            message = _Message(self._waiting[:MAX_BATCH_SIZE])
            del self._waiting[:MAX_BATCH_SIZE]
            self._under_way += 1
            task = asyncio.create_task(self._send(message))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _send(self, message: _Message) -> None:
        slow = asyncio.get_running_loop().call_later(SLOW_SECONDS, self._stop_waiting_for, message)
        try:
            with trace.activate(message.lookups[0].context):
                replies = await self._fetch(message.lookups)
        except Fail as fail:
            _raise_in(message.lookups, fail)
        except BaseException:
            _raise_in(message.lookups, Unavailable(retry_after=1))
            raise
        else:
            for lookup, reply in zip(message.lookups, replies, strict=True):
                if not lookup.reply.done():
                    lookup.reply.set_result(reply)
        finally:
            slow.cancel()
            self._stop_waiting_for(message)

    def _stop_waiting_for(self, message: _Message) -> None:
        if message.is_waited_for:
            message.is_waited_for = False
            self._under_way -= 1
            self._send_waiting()

    async def _fetch(self, lookups: Sequence[_Lookup]) -> Sequence[RawReply | None]:
        """Returns the reply to each request; None for one that must go out by itself."""
        if len(lookups) == 1:
            return [await self._request_alone(lookups[0].body)]
        subject = catalog.GET_PRODUCTS.subject
        body = b'{"items":[%b]}' % b",".join([lookup.body for lookup in lookups])
        reply, reply_headers = await self._rpc.forward(subject, body, {}, timeout_seconds=self._timeout_seconds)
        if headers.ERROR_CODE in reply_headers:
            log.debug("several products were not read: %s", reply_headers.get(headers.ERROR))
            if int(reply_headers[headers.ERROR_CODE]) not in SHARED_FAILURES:
                return [None] * len(lookups)
            problem = orjson.loads(reply)
            return [_to_failure(problem, lookup) for lookup in lookups]
        return _split(reply, lookups)


def _split(reply: bytes, lookups: Sequence[_Lookup]) -> Sequence[RawReply | None]:
    """Returns the reply to each request. The last ones are missing when the message had no room for them."""
    try:
        results = orjson.loads(reply)["items"]
        replies = [_to_reply(result, lookup) for lookup, result in zip(lookups, results, strict=False)]
    except (ValueError, LookupError, TypeError, AttributeError):
        log.exception("a reply with several products cannot be read")
        replies = []
    return [*replies, *[None] * (len(lookups) - len(replies))]


def _to_reply(result: Mapping[str, Any], lookup: _Lookup) -> RawReply:
    """Returns a `ProductResult` as the reply that the request would have got by itself."""
    if result["failure"] is not None:
        return _to_failure(result["failure"], lookup)
    reply_headers = {headers.VERSION: str(result["version"])}
    if moved_to := result.get("moved_to"):
        reply_headers[headers.MOVED_TO] = moved_to
    if (valid_seconds := result.get("valid_seconds")) is not None:
        reply_headers[headers.VALID_SECONDS] = str(valid_seconds)
    return result["product"].encode(), reply_headers


def _to_failure(problem: Mapping[str, Any], lookup: _Lookup) -> RawReply:
    """Returns a failure that names the request by its own id."""
    body = orjson.dumps({**problem, "request_id": lookup.context.request_id})
    return body, {headers.ERROR: problem["code"], headers.ERROR_CODE: str(problem["status"])}


def _raise_in(lookups: Sequence[_Lookup], fail: Fail) -> None:
    for lookup in lookups:
        if not lookup.reply.done():
            lookup.reply.set_exception(fail)
