"""Applies the events of orders to their holds.

A handler only changes the status of a hold. The hold settler moves the stock right after it, for many holds together.
So events never wait for stock that requests have locked, and they may arrive twice, late or out of order.
"""

from collections import Counter

from contracts.order import OrderCancelled, OrderPaid
from infra.database.postgres import Transaction
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
