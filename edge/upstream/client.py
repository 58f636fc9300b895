"""Calls services on behalf of HTTP clients: through the service's circuit breaker, and again where that is safe.

Only idempotent requests are retried (reads, and writes with an idempotency key), and only when no response arrived,
because the process that had the request may be dead. A retry budget keeps retries to a tenth of all calls: when
everything fails, calling twice makes it worse.
"""

import asyncio
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tenacity import AsyncRetrying, retry_if_result, stop_after_delay, wait_random_exponential

from contracts import catalog, headers
from contracts.failure import Fail, IdempotencyInProgress, TimedOut
from contracts.operation import AnyOperation
from edge.settings import EdgeSettings
from edge.upstream.circuit_breaker import CircuitBreaker, CircuitBreakers
from edge.upstream.product_batches import ProductBatches, RawReply
from infra.foundation import trace
from infra.messaging.rpc_client import RpcClient

MIN_ATTEMPT_SECONDS = 0.05
"""With less time left, an attempt cannot succeed."""
RETRY_JITTER_SECONDS = 0.1
RETRY_CREDIT_PER_CALL = 0.1
MAX_RETRY_CREDIT = 20.0


class RetryBudget:
    """Limits retries: every call deposits a tenth of a retry, up to `MAX_RETRY_CREDIT` retries."""

    def __init__(self) -> None:
        self._credit = MAX_RETRY_CREDIT

    def deposit(self) -> None:
        """Adds the credit of one call."""
        self._credit = min(self._credit + RETRY_CREDIT_PER_CALL, MAX_RETRY_CREDIT)

    def try_withdraw(self) -> bool:
        """Takes the credit for one retry, and returns whether there was enough."""
        if self._credit < 1:
            return False
        self._credit -= 1
        return True


class UpstreamClient:
    """Sends requests to services."""

    def __init__(self, settings: EdgeSettings, rpc: RpcClient, circuit_breakers: CircuitBreakers) -> None:
        self.circuit_breakers = circuit_breakers
        self._rpc = rpc
        self._timeout_seconds = settings.edge_timeout
        self._first_attempt_seconds = min(settings.edge_try_timeout, settings.edge_timeout)
        self._retry_budget = RetryBudget()
        self._product_batches = ProductBatches(rpc, self._first_attempt_seconds)

    async def request(self, operation: AnyOperation, body: bytes, extra_headers: Mapping[str, str]) -> RawReply:
        """Returns the service's reply unchanged, an error reply too. Raises Fail when no reply arrives.

        Without extra headers a request says nothing about its caller, so requests for products can go out together.
        """
        if operation.writes and headers.IDEMPOTENCY_KEY not in extra_headers:
            return await self._attempt(operation, body, extra_headers, self._timeout_seconds)
        deadline = time.monotonic() + self._timeout_seconds
        self._retry_budget.deposit()
        try:
            if operation is catalog.GET_PRODUCT and not extra_headers and not trace.is_recorded():
                with self._guarded(self.circuit_breakers.for_service(operation.service)):
                    return await self._product_batches.request(body)
            return await self._attempt(operation, body, extra_headers, self._first_attempt_seconds)
        except TimedOut:
            if deadline - time.monotonic() < MIN_ATTEMPT_SECONDS or not self._retry_budget.try_withdraw():
                raise
            return await self._retry(operation, body, extra_headers, deadline)

    async def _retry(
        self, operation: AnyOperation, body: bytes, extra_headers: Mapping[str, str], deadline: float
    ) -> RawReply:
        """Retries until the deadline. The first attempt may still be running: the retry waits for its result instead
        of returning `idempotency_in_progress`.
        """
        await asyncio.sleep(random.uniform(0, RETRY_JITTER_SECONDS))  # noqa: S311 - spreads retries, hides nothing
        retrying = AsyncRetrying(
            retry=retry_if_result(_is_in_progress),
            wait=wait_random_exponential(multiplier=0.05, max=0.5),
            stop=stop_after_delay(deadline - time.monotonic() - MIN_ATTEMPT_SECONDS),
            retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
        )
        reply: RawReply = await retrying(self._attempt_until, operation, body, extra_headers, deadline)
        return reply

    async def _attempt_until(
        self, operation: AnyOperation, body: bytes, extra_headers: Mapping[str, str], deadline: float
    ) -> RawReply:
        remaining_seconds = max(deadline - time.monotonic(), MIN_ATTEMPT_SECONDS)
        return await self._attempt(operation, body, extra_headers, remaining_seconds)

    async def _attempt(
        self, operation: AnyOperation, body: bytes, extra_headers: Mapping[str, str], timeout_seconds: float
    ) -> RawReply:
        with self._guarded(self.circuit_breakers.for_service(operation.service)):
            return await self._rpc.forward(operation.subject, body, extra_headers, timeout_seconds=timeout_seconds)

    @contextmanager
    def _guarded(self, breaker: CircuitBreaker) -> Iterator[None]:
        breaker.before_call()
        try:
            yield
        except Fail:
            if not self._rpc.client.is_connected:
                breaker.on_not_sent()
            raise
        breaker.on_success()


def _is_in_progress(reply: RawReply) -> bool:
    return reply[1].get(headers.ERROR) == IdempotencyInProgress.code
