"""Migrations: numbered SQL files with a way back, applied once, in order, by one process at a time.

`0001_messaging.up.sql` and its `.down.sql` lie in a service's `migrations/`; those that all services share are applied
first. The table `migration` records each applied file with its checksum, so a later edit is noticed. Each migration
runs in its own transaction under a lock timeout: it fails rather than block the release that is running.
"""

import asyncio
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from infra.database.advisory_locks import AdvisoryLock

ROOT = Path(__file__).resolve().parents[2]
SHARED_MIGRATIONS = Path(__file__).resolve().parent / "migrations"
LOCK_TIMEOUT = "5s"
_NAME = re.compile(r"^(?P<number>\d{4})_(?P<name>[a-z0-9_]+)\.up\.sql$")

_TABLE = """
CREATE TABLE IF NOT EXISTS migration (
    room       text        NOT NULL,
    number     int         NOT NULL,
    name       text        NOT NULL,
    checksum   text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (room, number)
)
"""
_APPLIED = "SELECT number, checksum FROM migration WHERE room = $1 ORDER BY number"
_RECORD = "INSERT INTO migration (room, number, name, checksum) VALUES ($1, $2, $3, $4)"
_REMOVE = "DELETE FROM migration WHERE room = $1 AND number = $2"


class MigrationError(Exception):
    """A migration cannot be applied; the message says which one and why."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One migration and its way back; `owner` is a service, or `kernel` for the shared ones."""

    owner: str
    number: int
    name: str
    up: str
    down: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the way up, to notice files that change after they were applied."""
        return hashlib.sha256(self.up.encode()).hexdigest()

    def __str__(self) -> str:
        return f"{self.owner}/{self.number:04}_{self.name}"


def migrations_of(service: str) -> list[Migration]:
    """The shared migrations, then the service's own."""
    return [
        *read_migrations("kernel", SHARED_MIGRATIONS),
        *read_migrations(service, ROOT / "services" / service / "migrations"),
    ]


def read_migrations(owner: str, folder: Path) -> list[Migration]:
    """The migrations in a folder, in order; raises `MigrationError` when a file is misnamed or missing."""
    found = []
    for path in sorted(folder.glob("*.up.sql")):
        match = _NAME.match(path.name)
        if match is None:
            message = f"Rename {path.name}: a migration is named like 0001_what_it_does.up.sql."
            raise MigrationError(message)
        back = path.with_name(path.name.replace(".up.sql", ".down.sql"))
        if not back.exists():
            message = f"{path.name} has no way back: add {back.name}."
            raise MigrationError(message)
        found.append(Migration(owner, int(match["number"]), match["name"], path.read_text(), back.read_text()))
    numbers = [migration.number for migration in found]
    if numbers != list(range(1, len(numbers) + 1)):
        message = f"Number the migrations of {owner} without a gap: found {numbers}."
        raise MigrationError(message)
    return found


async def migrate_all(dsns: Mapping[str, str]) -> dict[str, list[str]]:
    """Migrates every service's database concurrently; returns the applied migrations by service."""
    applied = await asyncio.gather(*(migrate(dsn, migrations_of(service)) for service, dsn in dsns.items()))
    return dict(zip(dsns, applied, strict=True))


async def migrate(dsn: str, migrations: list[Migration]) -> list[str]:
    """Applies the missing migrations and returns their names. `dsn` includes the password."""
    connection = await asyncpg.connect(dsn)
    try:
        await _lock(connection)
        applied = []
        for migration in migrations:
            if await _is_missing(connection, migration):
                await _apply(connection, migration)
                applied.append(str(migration))
        return applied
    finally:
        await connection.close()


async def revert(dsn: str, service: str, *, to: int) -> list[str]:
    """Reverts a service's own migrations, newest first, until number `to` is the last one applied."""
    connection = await asyncpg.connect(dsn)
    try:
        await _lock(connection)
        numbers = {row["number"] for row in await connection.fetch(_APPLIED, service)}
        reverted = []
        for migration in reversed(read_migrations(service, ROOT / "services" / service / "migrations")):
            if migration.number > to and migration.number in numbers:
                async with connection.transaction():
                    await connection.execute(migration.down)
                    await connection.execute(_REMOVE, service, migration.number)
                reverted.append(str(migration))
        return reverted
    finally:
        await connection.close()


async def _lock(connection: asyncpg.Connection) -> None:
    await connection.execute(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
    await connection.execute("SET client_min_messages = 'warning'")
    await connection.fetchval("SELECT pg_advisory_lock($1)", AdvisoryLock.MIGRATIONS)
    await connection.execute(_TABLE)


async def _is_missing(connection: asyncpg.Connection, migration: Migration) -> bool:
    applied = {row["number"]: row["checksum"] for row in await connection.fetch(_APPLIED, migration.owner)}
    known = applied.get(migration.number)
    if known is not None and known != migration.checksum:
        message = f"{migration} was changed after it was applied: restore the file and add a new migration."
        raise MigrationError(message)
    return known is None


async def _apply(connection: asyncpg.Connection, migration: Migration) -> None:
    try:
        async with connection.transaction():
            await connection.execute(migration.up)
            await connection.execute(_RECORD, migration.owner, migration.number, migration.name, migration.checksum)
    except asyncpg.PostgresError as error:
        message = f"{migration}: {error}"
        raise MigrationError(message) from error
