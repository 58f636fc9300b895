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

from infra.database.postgres import AWAY, BUSY, Database
from infra.messaging.rpc import Ask
from infra.messaging.topology import ENDED
from services.user.store import api_keys, sessions

PIECE = 200
ACK_TIMEOUT = 2.0
AT_ONCE = 1.0
"""Seconds an answer waits at the most for the edges to be told."""

LATER: tuple[type[Exception], ...] = (nats.errors.Error, JetStreamError, *AWAY, *BUSY)
"""What keeps the edges from being told now, and not for ever."""

log = logging.getLogger("souk.user")


class Teller:
    """Posts ended sessions and keys. A notice that is posted twice is the same notice."""

    def __init__(self, db: Database, client: Client) -> None:
        self.db = db
        self._js = client.jetstream(timeout=ACK_TIMEOUT)

    async def tell(self) -> bool:
        """One piece; whether there may be more."""
        async with self.db.connection() as connection:
            untold = await sessions.untold(connection, ENDED.seconds, PIECE)
            keys = await api_keys.untold(connection, ENDED.seconds, PIECE)
        if untold or keys:
            posting = (self._js.publish(ENDED.subject_of(one), b"", stream=ENDED.stream) for one in (*untold, *keys))
            await asyncio.gather(*posting)
            async with self.db.connection() as connection:
                await sessions.told(connection, untold)
                await api_keys.told(connection, keys)
        return PIECE in {len(untold), len(keys)}

    async def tell_at_once(self) -> None:
        """What cannot be told now is told later: it does not fail what was done."""
        try:
            async with asyncio.timeout(AT_ONCE):
                await self.tell()
        except LATER as error:
            log.warning("the edges are told later what has ended: %s", type(error).__name__)


def telling(handler: Callable[[Any, Ask[Any]], Awaitable[Any]]) -> Callable[[Any, Ask[Any]], Awaitable[Any]]:
    """A handler that ends sessions or keys: its answer, or its refusal, is given once the edges have been told."""

    async def told(desk: Any, ask: Ask[Any]) -> Any:
        try:
            return await handler(desk, ask)
        finally:
            await desk.teller.tell_at_once()

    return told
