"""The edge's lines to the services: an ask goes out through its service's circuit, and again where that does no harm.

Repeated is only what is idempotent - what reads, and what has an idempotency key - and only when nothing came back: the
process that had it may be dead. A budget keeps repeats to a tenth of all asks: when everything fails, asking twice
makes it worse.
"""

import asyncio
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tenacity import AsyncRetrying, retry_if_result, stop_after_delay, wait_random_exponential

from contracts import headers
from contracts.failure import Fail, IdempotencyInProgress, TimedOut
from contracts.operation import AnyOperation
from edge.settings import EdgeSettings
from edge.upstream.circuit_breaker import CircuitBreaker, CircuitBreakers
from infra.messaging.rpc import RpcClient

RawReply = tuple[bytes, Mapping[str, str]]

MIN_ATTEMPT_SECONDS = 0.05
"""Seconds in which nothing can be done any more."""
RETRY_JITTER_SECONDS = 0.1
RETRY_CREDIT_PER_CALL = 0.1
MAX_RETRY_CREDIT = 20.0


class RetryBudget:
    """Every ask earns a tenth of a repeat; no more than `SAVED` are kept."""

    def __init__(self) -> None:
        self._left = MAX_RETRY_CREDIT

    def deposit(self) -> None:
        self._left = min(self._left + RETRY_CREDIT_PER_CALL, MAX_RETRY_CREDIT)

    def try_withdraw(self) -> bool:
        if self._left < 1:
            return False
        self._left -= 1
        return True


class UpstreamClient:
    """Asks operations on behalf of clients."""

    def __init__(self, settings: EdgeSettings, asker: RpcClient, circuits: CircuitBreakers) -> None:
        self.circuit_breakers = circuits
        self._asker = asker
        self._patience = settings.edge_timeout
        self._first = min(settings.edge_try_timeout, settings.edge_timeout)
        self._budget = RetryBudget()

    async def request(self, operation: AnyOperation, body: bytes, extra: Mapping[str, str]) -> RawReply:
        """What came back as it came, a failure too."""
        if operation.writes and headers.IDEMPOTENCY_KEY not in extra:
            return await self._once(operation, body, extra, self._patience)
        until = time.monotonic() + self._patience
        self._budget.deposit()
        try:
            return await self._once(operation, body, extra, self._first)
        except TimedOut:
            if until - time.monotonic() < MIN_ATTEMPT_SECONDS or not self._budget.try_withdraw():
                raise
            return await self._again(operation, body, extra, until)

    async def _again(self, operation: AnyOperation, body: bytes, extra: Mapping[str, str], until: float) -> RawReply:
        """Our own first ask may be at work still: its answer is what is waited for, not that it is."""
        await asyncio.sleep(random.uniform(0, RETRY_JITTER_SECONDS))  # noqa: S311 - spreads repeats, hides nothing
        trying = AsyncRetrying(
            retry=retry_if_result(_still_at_work),
            wait=wait_random_exponential(multiplier=0.05, max=0.5),
            stop=stop_after_delay(until - time.monotonic() - MIN_ATTEMPT_SECONDS),
            retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
        )
        reply: RawReply = await trying(self._once_until, operation, body, extra, until)
        return reply

    async def _once_until(
        self, operation: AnyOperation, body: bytes, extra: Mapping[str, str], until: float
    ) -> RawReply:
        return await self._once(operation, body, extra, max(until - time.monotonic(), MIN_ATTEMPT_SECONDS))

    async def _once(self, operation: AnyOperation, body: bytes, extra: Mapping[str, str], patience: float) -> RawReply:
        with self._listening(self.circuit_breakers.for_service(operation.service)):
            return await self._asker.forward(operation.subject, body, extra, timeout_seconds=patience)

    @contextmanager
    def _listening(self, circuit: CircuitBreaker) -> Iterator[None]:
        circuit.before_call()
        try:
            yield
        except Fail:
            if not self._asker.client.is_connected:
                circuit.on_not_sent()
            raise
        circuit.on_success()


def _still_at_work(reply: RawReply) -> bool:
    return reply[1].get(headers.ERROR) == IdempotencyInProgress.code
