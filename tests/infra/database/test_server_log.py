"""PostgreSQL's log holds statements, and never the values in them, which may be personal."""

import asyncpg
import pytest

from infra.ops.devstack.data_dir import open_data_dir
from tests.infra.conftest import KernelStack

SECRET = "marker-9f3e@example.com"


async def test_a_slow_or_failing_statement_is_logged_without_its_values(kernel: KernelStack) -> None:
    connection = await asyncpg.connect(kernel.stack.postgres_url)
    try:
        await connection.execute("SET log_min_duration_statement = '1ms'")
        await connection.fetchval("SELECT pg_sleep(0.01), $1::text", SECRET)
        await connection.execute("CREATE TEMP TABLE person (email text PRIMARY KEY)")
        await connection.execute("INSERT INTO person VALUES ($1)", SECRET)
        with pytest.raises(asyncpg.UniqueViolationError):
            await connection.execute("INSERT INTO person VALUES ($1)", SECRET)
    finally:
        await connection.close()
    log = open_data_dir(kernel.stack.settings.data).log_file("postgres").read_text()
    assert "pg_sleep(0.01), $1::text" in log
    assert "duplicate key value" in log
    assert SECRET not in log
