"""Applies the events of orders to their holds.

A handler only changes the status of a hold. The hold settler moves the stock right after it, for many holds together.
So events rarely wait for stock that requests have locked, and they may arrive twice, late or out of order. Cancelled
units alone move their stock here: the hold stays sold, with fewer units.
"""

from collections import Counter
from collections.abc import Sequence

from contracts.order import OrderCancelled, OrderPaid, OrderUnitsCancelled
from infra.database.postgres import Transaction
from infra.messaging.consumer import RetryLater
from services.catalog.deps import CatalogDeps
from services.catalog.store import holds


async def order_paid(deps: CatalogDeps, tx: Transaction, event: OrderPaid) -> None:
    """Marks the hold as sold. If it has ended, its stock is taken again, or `HoldLost` is published."""
    units: Counter[str] = Counter()
    for item in event.items:
        units[item.sku] += item.quantity
    await holds.sell(tx.connection, event.hold_id, event.order_id, units)
    tx.on_commit(deps.hold_settler.wake)


async def order_cancelled(deps: CatalogDeps, tx: Transaction, event: OrderCancelled) -> None:
    """Marks the hold as cancelled, which returns its reserved or sold stock."""
    await holds.cancel(tx.connection, event.hold_id, event.order_id)
    tx.on_commit(deps.hold_settler.wake)


async def order_units_cancelled(_deps: CatalogDeps, tx: Transaction, event: OrderUnitsCancelled) -> None:
    """Returns the stock of the units that the order does not keep."""
    tx.collect(_return_units, event)


async def _return_units(tx: Transaction, events: Sequence[OrderUnitsCancelled]) -> None:
    """Applies cancellations after all other events of the batch: every transaction locks holds before stock.

    An event names all units that remain, so a repeated or late one returns nothing more. The hold must have taken its
    stock for the paid order before. A hold that was cancelled or lost has returned everything.
    """
    locked = await holds.lock(tx.connection, [event.hold_id for event in events])
    for event in events:
        hold = locked.get(event.hold_id)
        if hold is None or (not hold.has_ended and not hold.is_sold):
            raise RetryLater(f"hold {event.hold_id} is not sold yet")
        if hold.is_sold:
            await holds.keep_only(tx.connection, event.hold_id, {line.sku: line.quantity for line in event.remaining})
