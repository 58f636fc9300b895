"""Moves what lists are sorted and filtered by to the prices in force, as soon as a price changes by time.

What a product, a cart or an order shows and costs does not wait for it: these read the plan of prices by the
database's clock.
"""

from contracts.catalog import ProductUpdated
from services.catalog.deps import CatalogDeps
from services.catalog.store import price_plans

BATCH_SIZE = 200
MAX_WAIT_SECONDS = 60.0


async def move_prices(deps: CatalogDeps) -> bool:
    """Moves the prices of a batch of products. Returns whether there may be more.

    The rows say what is due, so it may end and start again at any moment. It wakes at the next change that is near.
    """
    async with deps.db.connection() as connection:
        seconds = await price_plans.seconds_to_next_change(connection)
    if seconds is None or seconds > MAX_WAIT_SECONDS:
        return False
    if seconds > 0:
        deps.price_mover.wake_after(seconds)
        return False
    async with deps.db.transaction() as tx:
        product_ids = await price_plans.show_due(tx.connection, BATCH_SIZE)
        tx.publish(*(ProductUpdated(product_id=product_id) for product_id in product_ids))
    return bool(product_ids)
