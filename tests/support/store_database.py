"""Databases of their own for tests that fill a store directly, on the PostgreSQL of the stack."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import orjson

from infra.database.migrate import Migration, migrate
from infra.foundation.ids import new_id


@asynccontextmanager
async def temporary_database(superuser_dsn: str, *migrations: Migration) -> AsyncIterator[str]:
    """Creates a migrated database and returns its DSN; it is dropped at the end."""
    name = f"souk_test_{new_id().hex}"
    superuser = await asyncpg.connect(superuser_dsn)
    try:
        await superuser.execute(f"CREATE DATABASE {name}")
        try:
            dsn = f"{superuser_dsn.rpartition('/')[0]}/{name}"
            await migrate(dsn, list(migrations))
            yield dsn
        finally:
            await superuser.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await superuser.close()


@asynccontextmanager
async def pool_of(dsn: str, plan_cache_mode: str) -> AsyncIterator["asyncpg.Pool[Any]"]:
    """A pool as a service has it, with plans of this kind."""
    settings = {"timezone": "UTC", "jit": "off", "plan_cache_mode": plan_cache_mode}
    pool = asyncpg.create_pool(dsn, min_size=1, max_size=4, server_settings=settings, init=set_codecs)
    async with pool:
        yield pool


async def set_codecs(connection: Any) -> None:
    """Reads and writes `jsonb` as the services do."""
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=lambda value: orjson.dumps(value).decode(), decoder=orjson.loads
    )
