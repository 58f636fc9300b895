"""Holds that no order came for, given back at once or as soon as it can be.

Nobody but this process knows of a hold that was made for a request without a cart and without an idempotency key: who
tries again holds anew. So it is remembered while it cannot be given back, or while it is not known whether it was made
or what came of it. Should the process die meanwhile, the hold runs out by itself.
"""

import asyncio
import logging
from uuid import UUID

from contracts import catalog
from contracts.catalog import HoldOf
from contracts.failure import Fail
from infra.database.postgres import Database
from infra.foundation.background import Worker
from infra.foundation.failpoints import crash_point
from infra.messaging.rpc import Asker
from services.order.store import insert as store

MOST = 10_000
"""Holds that are remembered; beyond that they are left to run out."""

log = logging.getLogger("souk.order")


class Leftovers:
    """`pause` is how many seconds after a failure nobody can be at work on a hold or its order any more."""

    def __init__(self, db: Database, asker: Asker, *, pause: float) -> None:
        self.db = db
        self.asker = asker
        self.pause = pause
        self.worker = Worker("left holds", self._try_again, every=1.0)
        self._due: dict[UUID, float] = {}

    def remember(self, hold_id: UUID) -> None:
        if len(self._due) < MOST:
            self._due[hold_id] = asyncio.get_running_loop().time() + self.pause

    async def give_back(self, hold_id: UUID, *, keep_trying: bool) -> None:
        """Releases a hold unless an order lives on it."""
        failures: tuple[type[Exception], ...] = (Fail, *self.db.away, *self.db.busy)
        try:
            await self._release(hold_id)
        except failures as error:
            what = "given back later" if keep_trying else "left to run out"
            log.warning("a hold is %s: %s", what, error, extra={"fields": {"hold_id": hold_id}})
            if keep_trying:
                self.remember(hold_id)

    async def _release(self, hold_id: UUID) -> None:
        async with self.db.connection() as connection:
            needed = await store.lives_on(connection, hold_id)
        if not needed:
            await self.asker.ask(catalog.RELEASE, HoldOf(hold_id=hold_id))
            crash_point("order.given_back")

    async def _try_again(self) -> bool:
        """One at a time; what fails again waits again."""
        now = asyncio.get_running_loop().time()
        for hold_id in [one for one, due in self._due.items() if due <= now]:
            del self._due[hold_id]
            await self.give_back(hold_id, keep_trying=True)
        return False
