"""Tells whether products have changed since it was last asked, so that what is cached of them is served while exact.

The table `product_change` has the transactions that changed a product, a category, or whether a SKU is in stock. What
was read is exact until one of them is visible that was not visible then, or until a product is published by its time.
To ask takes 60 microseconds.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from infra.database.postgres import Connection

MAX_IDLE_SECONDS = 3600.0
"""Much less than the retention of changes."""
RETENTION = "1 day"
_FIND_CHANGES = """
SELECT pg_current_snapshot()::text AS snapshot, now() AS at,
       (SELECT version FROM synonyms WHERE only_row) AS synonyms_version,
       coalesce(bool_or(is_stock), false) AS stock,
       coalesce(bool_or(NOT is_stock), false)
           OR EXISTS (SELECT FROM product WHERE publish_at > $2 AND publish_at <= now()) AS products
FROM product_change
WHERE transaction_id >= pg_snapshot_xmin($1::text::pg_snapshot)
    AND NOT pg_visible_in_snapshot(transaction_id, $1::text::pg_snapshot)
"""
_PRUNE = f"""
DELETE FROM product_change WHERE changed_at < now() - interval '{RETENTION}' AND transaction_id = ANY (ARRAY(
    SELECT transaction_id FROM product_change ORDER BY transaction_id LIMIT 100
))
"""  # noqa: S608 - constants
_EVERYTHING_CHANGED = "1:1:"


@dataclass(frozen=True, slots=True)
class CatalogChanges:
    """What has changed since the question before."""

    products: bool
    """A product, a category, or the synonyms."""
    stock: bool
    """Whether a SKU is in stock."""
    synonyms_version: int
    """The current one."""


class ProductChangeWatch:
    """Finds changes since it was last asked; at first everything has changed."""

    def __init__(self) -> None:
        self._snapshot = _EVERYTHING_CHANGED
        self._published_to = datetime.max.replace(tzinfo=UTC)
        """The products that were published until then, by the database's clock, have been seen."""
        self._asked_at = 0.0

    async def find_changes(self, connection: Connection) -> CatalogChanges:
        """What has changed. What is read from now on is at least as new.

        After a long time everything counts as changed, because old changes are deleted.
        """
        is_late = time.monotonic() - self._asked_at > MAX_IDLE_SECONDS
        changes = await connection.fetchrow(_FIND_CHANGES, self._snapshot, self._published_to)
        assert changes is not None, "an aggregate always has a row"
        self._snapshot, self._asked_at, self._published_to = changes["snapshot"], time.monotonic(), changes["at"]
        return CatalogChanges(is_late or changes["products"], is_late or changes["stock"], changes["synonyms_version"])


async def prune_changes(connection: Connection) -> None:
    """Deletes changes that are older than anything cached."""
    await connection.execute(_PRUNE)
