"""The catalog's database, with connections of their own for lists, whose statements are planned for their values."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from infra.database.postgres import ACQUIRE_TIMEOUT_SECONDS, PLANS_FOR_VALUES, Connection, Database, open_pool
from services.catalog.settings import CatalogSettings

MAX_LIST_CONNECTIONS = 4


class CatalogDatabase(Database):
    """The catalog's PostgreSQL database."""

    def __init__(self, pool: "asyncpg.Pool[Any]", list_pool: "asyncpg.Pool[Any]") -> None:
        super().__init__(pool)
        self._list_pool = list_pool

    @asynccontextmanager
    async def list_connection(self) -> AsyncIterator[Connection]:
        """A connection for a list or search whose best plan depends on its filters."""
        async with self._list_pool.acquire(timeout=ACQUIRE_TIMEOUT_SECONDS) as connection:
            yield connection


@asynccontextmanager
async def connect(settings: CatalogSettings, name: str) -> AsyncIterator[CatalogDatabase]:
    """Opens the catalog's database; waits for a server that is still starting.

    Its trigger `stock_low` reads the threshold, and `product_words` the languages of products.
    """
    configurations = ",".join(f"shop_{language}" for language in settings.languages)
    session_settings = {
        "souk.low_stock_threshold": str(settings.low_stock_threshold),
        "souk.search_languages": f"{{{configurations}}}",
    }
    async with (
        open_pool(settings, name, session_settings=session_settings) as pool,
        open_pool(settings, name, plan_cache_mode=PLANS_FOR_VALUES, max_size=MAX_LIST_CONNECTIONS) as list_pool,
    ):
        yield CatalogDatabase(pool, list_pool)
