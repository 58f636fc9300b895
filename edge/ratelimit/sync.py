"""Shares rate limit counts between edges a few times a second, so that all edges enforce one limit together.

The counts travel over core NATS and are not stored. Counts that are lost, or made while NATS is away, are not sent
again: each edge then limits by what it has seen itself, and the counts expire soon anyway.

Each message is signed with a key made from the NATS password that all edges share. A permission to publish is not
proof of the sender: JetStream delivers stored messages to any subject that the creator of a consumer names.
"""

import hmac
import secrets

import nats.errors
import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg
from pydantic import BaseModel, ConfigDict, NonNegativeInt, ValidationError

from edge.ratelimit.limiter import RateLimiter
from infra.foundation.background import MinInterval, PeriodicTask
from infra.foundation.telemetry import get_logger
from infra.messaging.permissions import RATE_LIMIT_SUBJECT

MIN_INTERVAL_SECONDS = 0.1
"""Time between two messages. A client can exceed a limit only by what other edges accept within it."""
MAX_INTERVAL_SECONDS = 60.0
SIGNATURE_HEADER = "Souk-Counts-Signature"

log = get_logger("souk.limits")


def sign_counts(password: str, body: bytes) -> str:
    """Returns the signature of a counts message, made with the edges' NATS password."""
    key = hmac.digest(password.encode(), b"souk rate limit counts", "sha256")
    return hmac.digest(key, body, "sha256").hex()


class CountsMessage(BaseModel):
    """What one edge sends to the others."""

    model_config = ConfigDict(hide_input_in_errors=True)

    by: str
    counts: dict[str, dict[str, NonNegativeInt]]


class CounterSync:
    """Publishes what this edge has counted as soon as it counts, and adds what the other edges publish."""

    def __init__(self, client: Client, rate_limiter: RateLimiter, password: str) -> None:
        self._client = client
        self._password = password
        self._rate_limiter = rate_limiter
        self._edge_id = secrets.token_hex(8)
        self._min_interval = MinInterval(MIN_INTERVAL_SECONDS)
        self._task = PeriodicTask("rate-limit-sync", self.publish, interval_seconds=MAX_INTERVAL_SECONDS)
        rate_limiter.wake_sync = self._task.wake

    async def run(self) -> None:
        """Publishes counts until it is cancelled."""
        await self._task.run()

    async def subscribe(self) -> None:
        """Starts to receive the counts of the other edges."""
        await self._client.subscribe(RATE_LIMIT_SUBJECT, cb=self._receive)

    async def publish(self) -> bool:
        """Sends one message if there are new counts. Returns False: there is never more work waiting."""
        await self._min_interval.wait()
        counts = self._rate_limiter.drain_counts()
        if counts:
            try:
                body = orjson.dumps({"by": self._edge_id, "counts": counts})
                signature = {SIGNATURE_HEADER: sign_counts(self._password, body)}
                await self._client.publish(RATE_LIMIT_SUBJECT, body, headers=signature)
            except nats.errors.Error as error:
                log.debug("rate limit counts not published: %s", type(error).__name__)
        return False

    async def _receive(self, message: Msg) -> None:
        signature = (message.headers or {}).get(SIGNATURE_HEADER, "")
        if not hmac.compare_digest(signature.encode(), sign_counts(self._password, message.data).encode()):
            log.warning("rate limit counts without the signature of an edge are ignored")
            return
        try:
            received = CountsMessage.model_validate_json(message.data)
        except ValidationError:
            log.warning("rate limit counts of another edge are not valid")
            return
        if received.by != self._edge_id:
            self._rate_limiter.add_counts(received.counts)
