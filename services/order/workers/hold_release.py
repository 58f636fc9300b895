"""Holds that no order came for, given back at once or as soon as it can be.

Nobody but this process knows of a hold that was made for a request without a cart and without an idempotency key: who
tries again holds anew. So it is remembered while it cannot be given back, or while it is not known whether it was made
or what came of it. Should the process die meanwhile, the hold runs out by itself.
"""

import asyncio
import logging
from uuid import UUID

from contracts import catalog
from contracts.catalog import HoldRef
from contracts.failure import Fail
from infra.database.postgres import Database
from infra.foundation.background import PeriodicTask
from infra.foundation.failpoints import failpoint
from infra.messaging.rpc import RpcClient
from services.order.store import insert as store

MAX_PENDING = 10_000
"""Holds that are remembered; beyond that they are left to run out."""

log = logging.getLogger("souk.order")


class HoldReleaser:
    """`pause` is how many seconds after a failure nobody can be at work on a hold or its order any more."""

    def __init__(self, db: Database, asker: RpcClient, *, retry_seconds: float) -> None:
        self.db = db
        self.asker = asker
        self.retry_seconds = retry_seconds
        self.worker = PeriodicTask("left holds", self._release_due, interval_seconds=1.0)
        self._due: dict[UUID, float] = {}

    def release_later(self, hold_id: UUID) -> None:
        if len(self._due) < MAX_PENDING:
            self._due[hold_id] = asyncio.get_running_loop().time() + self.retry_seconds

    async def release(self, hold_id: UUID, *, retry: bool) -> None:
        """Releases a hold unless an order lives on it."""
        failures: tuple[type[Exception], ...] = (Fail, *self.db.unavailable_errors, *self.db.contention_errors)
        try:
            await self._release(hold_id)
        except failures as error:
            what = "given back later" if retry else "left to run out"
            log.warning("a hold is %s: %s", what, error, extra={"fields": {"hold_id": hold_id}})
            if retry:
                self.release_later(hold_id)

    async def _release(self, hold_id: UUID) -> None:
        async with self.db.connection() as connection:
            needed = await store.is_hold_in_use(connection, hold_id)
        if not needed:
            await self.asker.request(catalog.RELEASE, HoldRef(hold_id=hold_id))
            failpoint("order.given_back")

    async def _release_due(self) -> bool:
        """One at a time; what fails again waits again."""
        now = asyncio.get_running_loop().time()
        for hold_id in [one for one, due in self._due.items() if due <= now]:
            del self._due[hold_id]
            await self.release(hold_id, retry=True)
        return False
