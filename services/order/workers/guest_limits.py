"""Deletes the buckets of guests' orders that are full again: they hold nothing, and no trace of a guest stays."""

from functools import partial

from infra.foundation.background import PeriodicTask
from services.order.deps import OrderDeps
from services.order.store import guest_limits as store

INTERVAL_SECONDS = 60.0


def task(deps: OrderDeps) -> PeriodicTask:
    """Returns the background task, which looks once a minute."""
    return PeriodicTask("guest limits", partial(prune, deps), interval_seconds=INTERVAL_SECONDS)


async def prune(deps: OrderDeps) -> bool:
    """Deletes every full bucket."""
    async with deps.db.connection() as connection:
        await store.prune(connection)
    return False
