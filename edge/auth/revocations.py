"""Sessions that have ended while their access tokens still live: known here a moment after user has said so.

Notices stand on a board, a key-value bucket of NATS. Each is heard as it is posted; what stands is read at the start
and whenever the connection was lost in between, before the next token is judged.
"""

import asyncio
import logging
import time
from contextlib import suppress
from uuid import UUID

import nats.errors
import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from contracts.failure import Unavailable
from infra.messaging.topology import REVOKED_SESSIONS

READ_TIMEOUT_SECONDS = 2.0
BATCH_SIZE = 1000
PRUNE_THRESHOLD = 10_000
END_STATUSES = ("204", "404")
"""What a direct read ends with: the end of the batch, or nothing there."""

log = logging.getLogger("souk.ended")


class RevokedSessions:
    """The sessions that are ended. `join` once, and ask before each answer."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._until: dict[UUID, float] = {}
        self._read_at = -1
        self._reading: asyncio.Task[None] | None = None

    def __contains__(self, session_id: UUID | None) -> bool:
        return session_id in self._until

    @property
    def is_current(self) -> bool:
        """Whether nothing can have been missed: the connection is the one on which the board was read."""
        return self._read_at == self._connections

    @property
    def _connections(self) -> int:
        made: int = self._client.stats["reconnects"]
        return made

    async def subscribe(self) -> None:
        """Listens, and then reads what stands; where that cannot be read yet, the first token waits for it."""
        await self._client.subscribe(REVOKED_SESSIONS.subject_filter, cb=self._heard)
        with suppress(Unavailable):
            await self.refresh()

    async def refresh(self) -> None:
        """One reading for all who wait for it. Raises `Unavailable` where the board cannot be read."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._catch_up())
        await asyncio.shield(self._reading)

    async def _catch_up(self) -> None:
        connection = self._connections
        try:
            async with asyncio.timeout(READ_TIMEOUT_SECONDS):
                await self._read()
        except (nats.errors.Error, OSError, TimeoutError) as error:
            log.warning("which sessions are ended cannot be read: %s", type(error).__name__)
            raise Unavailable(retry_after=1) from error
        self._read_at = connection

    async def _read(self) -> None:
        """Asks for the notices directly: any node that has a copy answers, also while the others choose a leader."""
        inbox = self._client.new_inbox()
        answers = await self._client.subscribe(inbox)
        try:
            position: int | None = 1
            while position is not None:
                wanted = {"seq": position, "batch": BATCH_SIZE, "next_by_subj": REVOKED_SESSIONS.subject_filter}
                await self._client.publish(REVOKED_SESSIONS.direct_get_subject, orjson.dumps(wanted), reply=inbox)
                position = await self._batch(answers)
        finally:
            await answers.unsubscribe()

    async def _batch(self, answers: Subscription) -> int | None:
        """Notes what comes; where to go on, if there is more."""
        position, pending = 0, 0
        while True:
            message = await answers.next_msg(timeout=READ_TIMEOUT_SECONDS)
            said = message.headers or {}
            if "Status" in said:
                if said["Status"] not in END_STATUSES:
                    raise ConnectionError(said["Status"])
                return position + 1 if pending else None
            self._add(said["Nats-Subject"].rpartition(".")[2])
            position, pending = int(said["Nats-Sequence"]), int(said["Nats-Num-Pending"])

    async def _heard(self, message: Msg) -> None:
        self._add(message.subject.rpartition(".")[2])

    def _add(self, key: str) -> None:
        try:
            session_id = UUID(key)
        except ValueError:
            log.warning("a notice on the board %s names no session", REVOKED_SESSIONS.name)
            return
        self._until[session_id] = time.monotonic() + REVOKED_SESSIONS.ttl_seconds
        if len(self._until) > PRUNE_THRESHOLD:
            self._prune()

    def _prune(self) -> None:
        """Forgets sessions whose last access token has expired. They stand in the order in which they were heard."""
        now = time.monotonic()
        for session_id in [one for one, until in self._until.items() if until < now]:
            del self._until[session_id]
