"""Knows revoked sessions whose access tokens have not expired, a moment after the user service revokes them.

The user service publishes revocations in a NATS key-value bucket. Each one is received as it is published. The stored
ones are read at the start and after every reconnection, before the next token is checked.
"""

import asyncio
import time
from contextlib import suppress
from uuid import UUID

from nats.aio.client import Client
from nats.aio.msg import Msg

from contracts.failure import Unavailable
from infra.foundation.telemetry import get_logger
from infra.messaging.direct_get import get_batch
from infra.messaging.topology import REVOKED_SESSIONS

READ_TIMEOUT_SECONDS = 2.0
BATCH_SIZE = 1000
PRUNE_THRESHOLD = 10_000
"""Sessions in memory above which expired ones are dropped."""

log = get_logger("souk.ended")


class RevokedSessions:
    """The ids of revoked sessions. Call `subscribe` once, and `refresh` before a check unless `is_current`."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._expires_at: dict[UUID, float] = {}
        self._read_on_connection = -1
        self._refreshing: asyncio.Task[None] | None = None

    def __contains__(self, session_id: UUID | None) -> bool:
        return session_id in self._expires_at

    @property
    def is_current(self) -> bool:
        """Whether no revocation can have been missed: the connection has not changed since the bucket was read."""
        return self._read_on_connection == self._reconnects

    @property
    def _reconnects(self) -> int:
        reconnects: int = self._client.stats["reconnects"]
        return reconnects

    async def subscribe(self) -> None:
        """Starts to receive revocations and reads the stored ones. If reading fails, the first check reads again."""
        await self._client.subscribe(REVOKED_SESSIONS.subject_filter, cb=self._receive)
        with suppress(Unavailable):
            await self.refresh()

    async def refresh(self) -> None:
        """Reads the bucket once for all requests that wait for it. Raises Unavailable when it cannot be read."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._refresh())
        await asyncio.shield(self._refreshing)

    async def _refresh(self) -> None:
        connection = self._reconnects
        try:
            async with asyncio.timeout(READ_TIMEOUT_SECONDS):
                await self._read()
        except (Unavailable, TimeoutError) as error:
            log.warning("revoked sessions not read: %s", type(error).__name__)
            raise Unavailable(retry_after=1) from error
        self._read_on_connection = connection

    async def _read(self) -> None:
        """Reads by direct get: any node with a copy answers, also while the others elect a leader."""
        stream, subjects, sequence = REVOKED_SESSIONS.stream_name, REVOKED_SESSIONS.subject_filter, 1
        while messages := await get_batch(self._client, stream, subjects, sequence, batch_size=BATCH_SIZE):
            for message in messages:
                self._add(message.subject, message.body)
            sequence = messages[-1].sequence + 1

    async def _receive(self, message: Msg) -> None:
        self._add(message.subject, message.data)

    def _add(self, subject: str, body: bytes) -> None:
        """Adds the session of an entry, which has no body.

        Any service can name an entry's subject as the reply subject of a publish; the acknowledgement has a body.
        """
        if body:
            log.warning("a message in bucket %s is no revocation", REVOKED_SESSIONS.name)
            return
        try:
            session_id = UUID(subject.rpartition(".")[2])
        except ValueError:
            log.warning("a key in bucket %s is not a session id", REVOKED_SESSIONS.name)
            return
        self._expires_at[session_id] = time.monotonic() + REVOKED_SESSIONS.ttl_seconds
        if len(self._expires_at) > PRUNE_THRESHOLD:
            self._prune()

    def _prune(self) -> None:
        """Drops sessions whose last access token has expired."""
        now = time.monotonic()
        expired = [session_id for session_id, expires_at in self._expires_at.items() if expires_at < now]
        for session_id in expired:
            del self._expires_at[session_id]
