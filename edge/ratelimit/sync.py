"""The edges tell one another what they have counted, a few times a second, so that a limit is one for all of them.

Said over core NATS and kept nowhere. What is lost, or was counted while NATS was away, is not told afterwards: then
each edge limits by what it has seen itself, and soon all of it is forgotten anyway.
"""

import logging
import secrets

import nats.errors
import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg
from pydantic import BaseModel, ConfigDict, NonNegativeInt, ValidationError

from edge.ratelimit.limiter import RateLimiter
from infra.messaging.permissions import RATE_LIMIT_SUBJECT

SYNC_INTERVAL_SECONDS = 0.1
"""Seconds between two messages; what somebody gets beyond a limit comes through on other edges within it."""

log = logging.getLogger("souk.limits")


class CountsMessage(BaseModel):
    """What one edge says to the others."""

    model_config = ConfigDict(hide_input_in_errors=True)

    by: str
    counts: dict[str, dict[str, NonNegativeInt]]


class CounterSync:
    """Says what was counted here, and adds what others say."""

    def __init__(self, client: Client, limits: RateLimiter) -> None:
        self._client = client
        self._limits = limits
        self._name = secrets.token_hex(8)

    async def subscribe(self) -> None:
        await self._client.subscribe(RATE_LIMIT_SUBJECT, cb=self._heard)

    async def publish(self) -> bool:
        """One message, if there is anything to say; there is never more."""
        counts = self._limits.drain_counts()
        if counts:
            try:
                await self._client.publish(RATE_LIMIT_SUBJECT, orjson.dumps({"by": self._name, "counts": counts}))
            except nats.errors.Error as error:
                log.debug("the other edges are not told what was counted: %s", type(error).__name__)
        return False

    async def _heard(self, message: Msg) -> None:
        try:
            told = CountsMessage.model_validate_json(message.data)
        except ValidationError:
            log.warning("what another edge has counted cannot be read")
            return
        if told.by != self._name:
            self._limits.add_counts(told.counts)
