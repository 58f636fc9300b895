"""Publishes to the edges which sessions and API keys have ended: at once, and in any case.

Revocations are committed to the database first, then put into a NATS key-value bucket that every edge watches. The
handler that ended something publishes before it replies. What could not be published, because NATS was unreachable or
the process died, a background task publishes as soon as it can.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.js.errors import Error as JetStreamError

from infra.database.postgres import Database
from infra.database.postgres_errors import CONTENTION_ERRORS, UNAVAILABLE_ERRORS
from infra.foundation.telemetry import get_logger
from infra.messaging.rpc_client import Request
from infra.messaging.topology import REVOKED_SESSIONS
from services.user.deps import UserDeps
from services.user.store import api_keys, sessions

BATCH_SIZE = 200
ACK_TIMEOUT_SECONDS = 2.0
PUBLISH_NOW_TIMEOUT_SECONDS = 1.0
"""Longest time that a reply waits for the edges to be told."""

TRANSIENT_ERRORS: tuple[type[Exception], ...] = (
    nats.errors.Error,
    JetStreamError,
    *UNAVAILABLE_ERRORS,
    *CONTENTION_ERRORS,
)
"""Errors after which publishing is left to the background task."""

log = get_logger("souk.user")

ReplyHandler = Callable[[UserDeps, Request[Any]], Awaitable[Any]]


class RevocationPublisher:
    """Publishes revocations; publishing one twice has no further effect."""

    def __init__(self, db: Database, client: Client) -> None:
        self.db = db
        self._js = client.jetstream(timeout=ACK_TIMEOUT_SECONDS)

    async def publish_pending(self) -> bool:
        """Publishes one batch; returns whether there may be more."""
        async with self.db.connection() as connection:
            session_ids = await sessions.unpublished(connection, REVOKED_SESSIONS.ttl_seconds, BATCH_SIZE)
            key_ids = await api_keys.unpublished(connection, REVOKED_SESSIONS.ttl_seconds, BATCH_SIZE)
        if session_ids or key_ids:
            subjects = (REVOKED_SESSIONS.subject_for(revoked_id) for revoked_id in (*session_ids, *key_ids))
            await asyncio.gather(
                *(self._js.publish(subject, b"", stream=REVOKED_SESSIONS.stream_name) for subject in subjects)
            )
            async with self.db.connection() as connection:
                await sessions.mark_published(connection, session_ids)
                await api_keys.mark_published(connection, key_ids)
        return BATCH_SIZE in {len(session_ids), len(key_ids)}

    async def publish_now(self) -> None:
        """Publishes before a reply; an error does not fail the request, since the background task retries."""
        try:
            async with asyncio.timeout(PUBLISH_NOW_TIMEOUT_SECONDS):
                await self.publish_pending()
        except TRANSIENT_ERRORS as error:
            log.warning("publishing revocations postponed: %s", type(error).__name__)


def publish_revocations_after(handler: ReplyHandler) -> ReplyHandler:
    """Wraps a handler that ends sessions or keys: its reply or failure is sent once the edges were told."""

    async def handle(deps: UserDeps, request: Request[Any]) -> Any:
        try:
            return await handler(deps, request)
        finally:
            await deps.publish_revocations()

    return handle
