"""Telling the edges which sessions and API keys have ended: at once, and in any case.

What is revoked in the database is posted on a board that every edge watches. Whoever ended it posts it before
answering; what could not be posted, because NATS was away or the process died, a worker posts as soon as it can.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.js.errors import Error as JetStreamError

from infra.database.postgres import CONTENTION_ERRORS, UNAVAILABLE_ERRORS, Database
from infra.messaging.rpc import Request
from infra.messaging.topology import REVOKED_SESSIONS
from services.user.store import api_keys, sessions

BATCH_SIZE = 200
ACK_TIMEOUT_SECONDS = 2.0
PUBLISH_NOW_TIMEOUT_SECONDS = 1.0
"""Seconds an answer waits at the most for the edges to be told."""

TRANSIENT_ERRORS: tuple[type[Exception], ...] = (
    nats.errors.Error,
    JetStreamError,
    *UNAVAILABLE_ERRORS,
    *CONTENTION_ERRORS,
)
"""What keeps the edges from being told now, and not for ever."""

log = logging.getLogger("souk.user")


class RevocationPublisher:
    """Posts ended sessions and keys. A notice that is posted twice is the same notice."""

    def __init__(self, db: Database, client: Client) -> None:
        self.db = db
        self._js = client.jetstream(timeout=ACK_TIMEOUT_SECONDS)

    async def publish_pending(self) -> bool:
        """One piece; whether there may be more."""
        async with self.db.connection() as connection:
            untold = await sessions.unpublished(connection, REVOKED_SESSIONS.ttl_seconds, BATCH_SIZE)
            keys = await api_keys.unpublished(connection, REVOKED_SESSIONS.ttl_seconds, BATCH_SIZE)
        if untold or keys:
            posting = (
                self._js.publish(REVOKED_SESSIONS.subject_for(one), b"", stream=REVOKED_SESSIONS.stream_name)
                for one in (*untold, *keys)
            )
            await asyncio.gather(*posting)
            async with self.db.connection() as connection:
                await sessions.mark_published(connection, untold)
                await api_keys.mark_published(connection, keys)
        return BATCH_SIZE in {len(untold), len(keys)}

    async def publish_now(self) -> None:
        """What cannot be told now is told later: it does not fail what was done."""
        try:
            async with asyncio.timeout(PUBLISH_NOW_TIMEOUT_SECONDS):
                await self.publish_pending()
        except TRANSIENT_ERRORS as error:
            log.warning("the edges are told later what has ended: %s", type(error).__name__)


def publish_revocations_after(
    handler: Callable[[Any, Request[Any]], Awaitable[Any]],
) -> Callable[[Any, Request[Any]], Awaitable[Any]]:
    """A handler that ends sessions or keys: its answer, or its refusal, is given once the edges have been told."""

    async def told(desk: Any, ask: Request[Any]) -> Any:
        try:
            return await handler(desk, ask)
        finally:
            await desk.teller.tell_at_once()

    return told
