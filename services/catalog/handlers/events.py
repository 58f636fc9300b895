"""What orders come to, and what that means for their holds.

The effects only change what a hold is to be; the stock follows in `keep_stock`, at once and for many together. So
events never wait for stock that asks have locked, and may come twice, late or the wrong way round.
"""

from collections import Counter

from contracts.order import OrderCancelled, OrderPaid
from infra.database.postgres import Transaction
from services.catalog.deps import CatalogDeps
from services.catalog.store import holds


async def order_paid(shop: CatalogDeps, tx: Transaction, event: OrderPaid) -> None:
    """The held stock is sold; when the hold is gone, it is had again or the hold is told to be lost."""
    units: Counter[str] = Counter()
    for item in event.items:
        units[item.sku] += item.quantity
    await holds.sell(tx.connection, event.hold_id, event.order_id, units)
    tx.on_commit(shop.hold_settler.wake)


async def order_cancelled(shop: CatalogDeps, tx: Transaction, event: OrderCancelled) -> None:
    """Held stock returns; sold stock comes back."""
    await holds.cancel(tx.connection, event.hold_id, event.order_id)
    tx.on_commit(shop.hold_settler.wake)
