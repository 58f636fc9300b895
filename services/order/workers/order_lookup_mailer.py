"""Looks for the orders that guests asked for, after the requests were answered, and has links to them mailed."""

from functools import partial

from contracts.order import OrderLookupRequested
from infra.database.postgres import Database
from infra.foundation.background import PeriodicTask
from services.order.store import order_lookup_queue as store

INTERVAL_SECONDS = 5.0
"""A request wakes the worker of its own process; the interval is for look-ups that another process has left."""


def task(db: Database) -> PeriodicTask:
    """Returns the background task."""
    return PeriodicTask("order lookups", partial(look_up_next, db), interval_seconds=INTERVAL_SECONDS)


async def look_up_next(db: Database) -> bool:
    """Takes one look-up from the queue; returns whether there may be more."""
    async with db.transaction() as tx:
        lookup = await store.dequeue(tx.connection)
        record = await store.find(tx.connection, lookup) if lookup is not None else None
        if lookup is not None and record is not None:
            order = record.order
            tx.publish(
                OrderLookupRequested(
                    order_id=order.id, number=order.number, user_id=None, total=order.total, lookup_id=lookup.id
                )
            )
    return lookup is not None
