"""Migrations: applied once, in order, by concurrent processes, and reverted."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from contracts.registry import SERVICES
from infra.database import migrate
from infra.database.migrate import Migration, MigrationError
from infra.foundation.ids import new_id
from tests.infra.conftest import KernelStack


@pytest.fixture
async def dsn(kernel: KernelStack) -> AsyncIterator[str]:
    """The DSN of an empty database."""
    name = f"m_{new_id().hex}"
    admin = await asyncpg.connect(kernel.stack.postgres_url)
    await admin.execute(f"CREATE DATABASE {name}")
    yield kernel.stack.postgres_url.rpartition("/")[0] + f"/{name}"
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


def step(number: int, up: str, down: str = "SELECT 1") -> Migration:
    return Migration("owner", number, f"step_{number}", up, down)


async def tables(dsn: str) -> set[str]:
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch(
            "SELECT tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        )
    finally:
        await connection.close()
    return {row["tablename"] for row in rows}


async def test_each_migration_is_applied_once(dsn: str) -> None:
    steps = [step(1, "CREATE TABLE a (id int)"), step(2, "CREATE TABLE b (id int)")]
    assert await migrate.migrate(dsn, steps) == ["owner/0001_step_1", "owner/0002_step_2"]
    assert await migrate.migrate(dsn, steps) == []
    assert {"a", "b", "migration"} <= await tables(dsn)


async def test_ten_concurrent_processes_apply_a_migration_once(dsn: str) -> None:
    steps = [step(1, "CREATE TABLE a (id int)")]
    done = await asyncio.gather(*(migrate.migrate(dsn, steps) for _ in range(10)))
    assert sorted(map(len, done)) == [0] * 9 + [1]


async def test_a_changed_migration_is_refused(dsn: str) -> None:
    await migrate.migrate(dsn, [step(1, "CREATE TABLE a (id int)")])
    with pytest.raises(MigrationError, match="changed after it was applied"):
        await migrate.migrate(dsn, [step(1, "CREATE TABLE a (id bigint)")])


async def test_a_failed_migration_leaves_nothing_behind(dsn: str) -> None:
    with pytest.raises(MigrationError, match="owner/0001_step_1"):
        await migrate.migrate(dsn, [step(1, "CREATE TABLE a (id int); SELECT nonsense")])
    assert "a" not in await tables(dsn)


@pytest.mark.parametrize("service", [service for service in SERVICES if service != "cart"])
async def test_the_migrations_of_every_service_revert_completely(dsn: str, service: str) -> None:
    before = await migrate.migrate(dsn, migrate.read_migrations("kernel", migrate.SHARED_MIGRATIONS))
    assert before[0] == "kernel/0001_messaging"
    shared_tables = await tables(dsn)
    await migrate.migrate(dsn, migrate.migrations_of(service))
    service_tables = await tables(dsn)
    assert service_tables > shared_tables
    assert await migrate.revert(dsn, service, to=0)
    assert await tables(dsn) == shared_tables
    await migrate.migrate(dsn, migrate.migrations_of(service))
    assert await tables(dsn) == service_tables


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["0001_a.up.sql"], "no way back"),
        (["first.up.sql", "first.down.sql"], "is named like"),
        (["0001_a.up.sql", "0001_a.down.sql", "0003_c.up.sql", "0003_c.down.sql"], "without a gap"),
    ],
)
def test_misnamed_or_missing_files_are_refused(tmp_path: Path, names: list[str], message: str) -> None:
    for name in names:
        (tmp_path / name).write_text("SELECT 1")
    with pytest.raises(MigrationError, match=message):
        migrate.read_migrations("owner", tmp_path)
