"""Migrations: numbered SQL files with a way back, applied once, in order, by one process at a time.

`0001_messaging.up.sql` and its `.down.sql` stand in a service's `migrations/`; those of the kernel come first. What was
applied is kept with its checksum, so that a file changed afterwards is noticed. Each runs in a transaction of its own,
under a lock timeout: it rather fails than makes the running release wait.
"""

import asyncio
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import asyncpg

ROOT = Path(__file__).resolve().parents[2]
SHARED_MIGRATIONS = Path(__file__).resolve().parent / "migrations"
LOCK = 0x50_55_4C
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
_FORGET = "DELETE FROM migration WHERE room = $1 AND number = $2"


class MigrationError(Exception):
    """A migration cannot be applied; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One step and its way back."""

    owner: str
    number: int
    name: str
    up: str
    down: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.up.encode()).hexdigest()


def migrations_of(service: str) -> list[Migration]:
    """The kernel's steps, then the service's own."""
    return [
        *read_migrations("kernel", SHARED_MIGRATIONS),
        *read_migrations(service, ROOT / "services" / service / "migrations"),
    ]


def read_migrations(owner: str, folder: Path) -> list[Migration]:
    found = []
    for path in sorted(folder.glob("*.up.sql")):
        match = _NAME.match(path.name)
        if match is None:
            message = f"{path.name} is not named like 0001_what_it_does.up.sql"
            raise MigrationError(message)
        back = path.with_name(path.name.replace(".up.sql", ".down.sql"))
        if not back.exists():
            message = f"{path.name} has no way back: {back.name} is missing"
            raise MigrationError(message)
        found.append(Migration(owner, int(match["number"]), match["name"], path.read_text(), back.read_text()))
    numbers = [migration.number for migration in found]
    if numbers != list(range(1, len(numbers) + 1)):
        message = f"the migrations of {owner} are not numbered without a gap: {numbers}"
        raise MigrationError(message)
    return found


async def migrate_all(dsns: Mapping[str, str]) -> dict[str, list[str]]:
    """Brings every service's database up to date, all at once; says what was applied, by service."""
    done = await asyncio.gather(*(migrate(dsn, migrations_of(service)) for service, dsn in dsns.items()))
    return dict(zip(dsns, done, strict=True))


async def migrate(dsn: str, migrations: list[Migration]) -> list[str]:
    """Applies what is missing. `dsn` has the password in it."""
    connection = await asyncpg.connect(dsn)
    try:
        await _exclusively(connection)
        applied = []
        for migration in migrations:
            if await _missing(connection, migration):
                await _apply(connection, migration)
                applied.append(f"{migration.owner}/{migration.number:04}_{migration.name}")
        return applied
    finally:
        await connection.close()


async def revert(dsn: str, service: str, *, to: int) -> list[str]:
    """Takes a service's own migrations back, newest first, until `to` is the last one applied."""
    connection = await asyncpg.connect(dsn)
    try:
        await _exclusively(connection)
        numbers = {row["number"] for row in await connection.fetch(_APPLIED, service)}
        reverted = []
        for migration in reversed(read_migrations(service, ROOT / "services" / service / "migrations")):
            if migration.number > to and migration.number in numbers:
                async with connection.transaction():
                    await connection.execute(migration.down)
                    await connection.execute(_FORGET, service, migration.number)
                reverted.append(f"{service}/{migration.number:04}_{migration.name}")
        return reverted
    finally:
        await connection.close()


async def _exclusively(connection: asyncpg.Connection) -> None:
    await connection.execute(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
    await connection.execute("SET client_min_messages = 'warning'")
    await connection.fetchval("SELECT pg_advisory_lock($1)", LOCK)
    await connection.execute(_TABLE)


async def _missing(connection: asyncpg.Connection, migration: Migration) -> bool:
    applied = {row["number"]: row["checksum"] for row in await connection.fetch(_APPLIED, migration.owner)}
    known = applied.get(migration.number)
    if known is not None and known != migration.checksum:
        message = f"{migration.owner}/{migration.number:04}_{migration.name} was changed after it was applied"
        raise MigrationError(message)
    return known is None


async def _apply(connection: asyncpg.Connection, migration: Migration) -> None:
    try:
        async with connection.transaction():
            await connection.execute(migration.up)
            await connection.execute(_RECORD, migration.owner, migration.number, migration.name, migration.checksum)
    except asyncpg.PostgresError as error:
        message = f"{migration.owner}/{migration.number:04}_{migration.name}: {error}"
        raise MigrationError(message) from error
