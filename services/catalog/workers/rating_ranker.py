"""Ranks products anew after the shop's average rating has moved.

A batch is one transaction, and the rows themselves say what is left, so it may end and start again at any moment.
"""

from services.catalog.deps import CatalogDeps
from services.catalog.store import ratings

BATCH_SIZE = 100


async def rank_products(deps: CatalogDeps) -> bool:
    """Ranks a batch. Returns whether there may be more."""
    async with deps.db.connection() as connection:
        return await ratings.rank_products(connection, BATCH_SIZE)
