"""Cancels pending orders that were not paid before their deadline."""

from functools import partial

from infra.foundation.background import PeriodicTask
from infra.foundation.failpoints import failpoint
from services.order.deps import OrderDeps
from services.order.domain import states
from services.order.workers import saga

BATCH_SIZE = 100


def task(deps: OrderDeps) -> PeriodicTask:
    """Returns the background task, which looks once a second."""
    return PeriodicTask("unpaid orders", partial(expire_unpaid, deps), interval_seconds=1.0)


async def expire_unpaid(deps: OrderDeps) -> bool:
    """Cancels a batch of orders whose deadline has passed. Returns whether there may be more."""
    async with deps.db.transaction() as tx:
        count = await saga.make_due_transitions(tx, states.EXPIRE_UNPAID, BATCH_SIZE)
        if count:
            tx.on_commit(lambda: failpoint("order.unpaid_cancelled"))
        return count == BATCH_SIZE
