"""Knows revoked sessions whose access tokens have not expired, a moment after the user service revokes them.

The user service publishes revocations in a NATS key-value bucket. Each one is received as it is published. The stored
ones are read at the start and after every reconnection, before the next token is checked.
"""

import asyncio
import time
from contextlib import suppress
from uuid import UUID

import nats.errors
import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from contracts.failure import Unavailable
from infra.foundation.telemetry import get_logger
from infra.messaging.topology import REVOKED_SESSIONS

READ_TIMEOUT_SECONDS = 2.0
BATCH_SIZE = 1000
PRUNE_THRESHOLD = 10_000
"""Sessions in memory above which expired ones are dropped."""
END_STATUSES = ("204", "404")
"""The statuses that end a direct read: the end of the batch, and no message found."""

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
        except (nats.errors.Error, OSError, TimeoutError) as error:
            log.warning("revoked sessions not read: %s", type(error).__name__)
            raise Unavailable(retry_after=1) from error
        self._read_on_connection = connection

    async def _read(self) -> None:
        """Reads by direct get: any node with a copy answers, also while the others elect a leader."""
        inbox = self._client.new_inbox()
        replies = await self._client.subscribe(inbox)
        try:
            next_sequence: int | None = 1
            while next_sequence is not None:
                request = {
                    "seq": next_sequence,
                    "batch": BATCH_SIZE,
                    "next_by_subj": REVOKED_SESSIONS.subject_filter,
                }
                await self._client.publish(REVOKED_SESSIONS.direct_get_subject, orjson.dumps(request), reply=inbox)
                next_sequence = await self._read_batch(replies)
        finally:
            await replies.unsubscribe()

    async def _read_batch(self, replies: Subscription) -> int | None:
        """Adds the sessions of one batch. Returns the sequence where the next batch begins; None at the end."""
        sequence, pending = 0, 0
        while True:
            message = await replies.next_msg(timeout=READ_TIMEOUT_SECONDS)
            headers = message.headers or {}
            if "Status" in headers:
                if headers["Status"] not in END_STATUSES:
                    raise ConnectionError(headers["Status"])
                return sequence + 1 if pending else None
            self._add(headers["Nats-Subject"], message.data)
            sequence, pending = int(headers["Nats-Sequence"]), int(headers["Nats-Num-Pending"])

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
