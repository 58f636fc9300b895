"""Handing events over to services once more, as the operator. What was heard before stays as it is."""

from nats.aio.client import Client
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from contracts.failure import Overloaded, TimedOut, Unavailable
from contracts.redelivery import HearEvent, Outcome
from contracts.registry import HEAR
from infra.foundation import trace
from infra.messaging.rpc import Asker

ANSWER_TIMEOUT = 5.0
PATIENCE = 15.0
"""Seconds for a service that restarts, or a stream that chooses its leader."""
AWAY = (Unavailable, Overloaded, TimedOut)
"""Nobody has said anything about the event."""


class Handover:
    """Asks services to hear an event, again while they are away: it has its effect once all the same."""

    def __init__(self, client: Client, *, patience: float = PATIENCE) -> None:
        self._asker = Asker(client, ANSWER_TIMEOUT)
        self._patience = patience

    async def hand(self, service: str, event: HearEvent) -> Outcome:
        """What became of it; raises the `Fail` that the service refused it with."""
        here = trace.parse(event.traceparent, request_id=event.request_id or "")
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(AWAY),
            wait=wait_random_exponential(multiplier=0.05, max=2),
            stop=stop_after_delay(self._patience),
            reraise=True,
        ):
            with attempt, trace.within(here):
                heard = await self._asker.ask(HEAR[service], event)
        return heard.outcome
