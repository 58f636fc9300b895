"""Releases stock holds that no order came for, at once or as soon as possible.

The process remembers a hold that it cannot release after its order was refused: the client has its answer, and may not
come again. A hold made for a request without a cart and without an idempotency key is known to this process alone: a
client that tries again makes another hold. So the process remembers that one also while it does not know whether it was
made or whether an order was stored on it. If the process dies, the hold expires by itself.
"""

import asyncio
from functools import partial
from uuid import UUID

from contracts import catalog
from contracts.catalog import HoldRef
from contracts.failure import Fail
from infra.foundation.background import PeriodicTask
from infra.foundation.failpoints import failpoint
from infra.foundation.telemetry import get_logger
from services.order.deps import OrderDeps
from services.order.store import insert as store

MAX_PENDING = 10_000
"""How many holds a process remembers. Further ones are left to expire."""

log = get_logger("souk.order")


def task(deps: OrderDeps) -> PeriodicTask:
    """Returns the background task, which looks once a second."""
    return PeriodicTask("hold release", partial(release_due, deps), interval_seconds=1.0)


def release_later(deps: OrderDeps, hold_id: UUID) -> None:
    """Remembers a hold to be released once no process can still be working on it."""
    if len(deps.pending_releases) < MAX_PENDING:
        deps.pending_releases[hold_id] = asyncio.get_running_loop().time() + deps.release_after_seconds


async def release(deps: OrderDeps, hold_id: UUID, *, retry: bool) -> None:
    """Releases a hold unless an order needs it. When that fails, `retry` decides whether it is tried again later."""
    failures: tuple[type[Exception], ...] = (Fail, *deps.db.unavailable_errors, *deps.db.contention_errors)
    try:
        await _release(deps, hold_id)
    except failures as error:
        log.warning("hold not released: %s", error, hold_id=hold_id, retry=retry)
        if retry:
            release_later(deps, hold_id)


async def release_due(deps: OrderDeps) -> bool:
    """Releases the remembered holds whose time has come, one after the other. A failed release is remembered again."""
    now = asyncio.get_running_loop().time()
    for hold_id in [hold_id for hold_id, due in deps.pending_releases.items() if due <= now]:
        del deps.pending_releases[hold_id]
        await release(deps, hold_id, retry=True)
    return False


async def _release(deps: OrderDeps, hold_id: UUID) -> None:
    async with deps.db.connection() as connection:
        in_use = await store.is_hold_in_use(connection, hold_id)
    if not in_use:
        await deps.rpc.request(catalog.RELEASE, HoldRef(hold_id=hold_id))
        failpoint("order.hold_released")
