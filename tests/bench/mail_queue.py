"""Whether mails keep up with checkouts: how many became due in a while, and how many of them were sent."""

import asyncio
from dataclasses import dataclass

import asyncpg

from infra.ops.devstack.stack import Stack

POLL_SECONDS = 0.25
_COUNT = "SELECT count(*), count(sent_at) FROM delivery"


@dataclass
class MailQueue:
    """The mails of a shop since `start`."""

    stack: Stack
    due: int = 0
    sent: int = 0
    _earlier: tuple[int, int] = (0, 0)

    async def start(self) -> None:
        """Leaves out the mails so far."""
        self._earlier = await self._count()

    async def drain(self, seconds: float) -> None:
        """Waits until all mails are sent, at most so long, and counts them."""
        end = asyncio.get_running_loop().time() + seconds
        while True:
            due, sent = await self._count()
            self.due, self.sent = due - self._earlier[0], sent - self._earlier[1]
            if sent == due or asyncio.get_running_loop().time() > end:
                return
            await asyncio.sleep(POLL_SECONDS)

    @property
    def sent_share(self) -> float:
        """The share of the mails due that were sent."""
        return self.sent / self.due if self.due else 0.0

    async def _count(self) -> tuple[int, int]:
        connection = await asyncpg.connect(self.stack.dsn("notification"))
        try:
            row = await connection.fetchrow(_COUNT)
        finally:
            await connection.close()
        assert row is not None
        return row[0], row[1]
