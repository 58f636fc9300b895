"""Handing events over to services once more, as the operator. What was heard before stays as it is."""

from nats.aio.client import Client
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from contracts.failure import Overloaded, TimedOut, Unavailable
from contracts.redelivery import RedeliverEvent, RedeliveryOutcome
from contracts.registry import REDELIVER
from infra.foundation import trace
from infra.messaging.rpc import RpcClient

REPLY_TIMEOUT_SECONDS = 5.0
RETRY_FOR_SECONDS = 15.0
"""Seconds for a service that restarts, or a stream that chooses its leader."""
UNAVAILABLE_FAILURES = (Unavailable, Overloaded, TimedOut)
"""Nobody has said anything about the event."""


class RedeliveryClient:
    """Asks services to hear an event, again while they are away: it has its effect once all the same."""

    def __init__(self, client: Client, *, retry_for_seconds: float = RETRY_FOR_SECONDS) -> None:
        self._asker = RpcClient(client, REPLY_TIMEOUT_SECONDS)
        self._patience = retry_for_seconds

    async def redeliver(self, service: str, event: RedeliverEvent) -> RedeliveryOutcome:
        """What became of it; raises the `Fail` that the service refused it with."""
        here = trace.parse(event.traceparent, request_id=event.request_id or "")
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(UNAVAILABLE_FAILURES),
            wait=wait_random_exponential(multiplier=0.05, max=2),
            stop=stop_after_delay(self._patience),
            reraise=True,
        ):
            with attempt, trace.activate(here):
                heard = await self._asker.request(REDELIVER[service], event)
        return heard.outcome
