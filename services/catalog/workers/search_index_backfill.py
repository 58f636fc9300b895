"""Indexes products and categories that were written before search had its columns, or by an older release.

It also deletes old changes of products, which searches need for an hour at most.

A batch is one transaction, and the rows themselves say what is left, so it may end and start again at any moment.
"""

from infra.foundation.failpoints import failpoint
from services.catalog.deps import CatalogDeps
from services.catalog.store import product_change_watch, search_index

BATCH_SIZE = 10
"""Rows that one run folds. That takes up to a millisecond each, in which the process answers no request."""


async def index_stale_rows(deps: CatalogDeps) -> bool:
    """Indexes a batch. Returns whether there may be more."""
    async with deps.db.transaction() as tx:
        products = await search_index.index_products(tx.connection, BATCH_SIZE)
        categories = await search_index.index_categories(tx.connection, BATCH_SIZE)
        await product_change_watch.prune_changes(tx.connection)
    if products or categories:
        failpoint("catalog.search_indexed")
    return BATCH_SIZE in (products, categories)
