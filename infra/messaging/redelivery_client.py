"""Client for redelivering events to services, used by the operator. Events already applied have no second effect."""

from nats.aio.client import Client
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from contracts.failure import Overloaded, TimedOut, Unavailable
from contracts.operator_redelivery import RedeliverEvent, RedeliveryOutcome
from contracts.registry import REDELIVER
from infra.foundation import trace
from infra.messaging.rpc_client import RpcClient

REPLY_TIMEOUT_SECONDS = 5.0
RETRY_FOR_SECONDS = 15.0
"""Seconds to retry while a service restarts or a stream elects its leader."""
UNAVAILABLE_FAILURES = (Unavailable, Overloaded, TimedOut)
"""Failures that say nothing about the event, so it can be sent again."""


class RedeliveryClient:
    """Redelivers events to services, and retries while a service is unavailable; the inbox makes retries safe."""

    def __init__(self, client: Client, *, retry_for_seconds: float = RETRY_FOR_SECONDS) -> None:
        self._rpc = RpcClient(client, REPLY_TIMEOUT_SECONDS)
        self._retry_for_seconds = retry_for_seconds

    async def redeliver(self, service: str, event: RedeliverEvent) -> RedeliveryOutcome:
        """Redelivers one event and returns its outcome. Raises the `Fail` with which the service refused it."""
        context = trace.parse(event.traceparent, request_id=event.request_id or "")
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(UNAVAILABLE_FAILURES),
            wait=wait_random_exponential(multiplier=0.05, max=2),
            stop=stop_after_delay(self._retry_for_seconds),
            reraise=True,
        ):
            with attempt, trace.activate(context):
                result = await self._rpc.request(REDELIVER[service], event)
        return result.outcome
