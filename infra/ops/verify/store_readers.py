"""Reads the stores into the fact database: each PostgreSQL database in one snapshot, MongoDB document by document."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncpg
from pydantic import SecretStr

from infra.database import mongo
from infra.database.checks import Check, FactTable, RepairAction, RepairBy, Row, Violation
from infra.foundation.settings import MongoSettings
from infra.ops.verify import audit_log_check
from infra.ops.verify.fact_db import MAX_VIOLATIONS_PER_CHECK, FactDatabase, ProgressCallback, build_violation
from infra.ops.verify.registry import INBOX_FACTS, OUTBOX_FACTS, OVERDUE_OUTBOX_SQL, ServiceChecks

if TYPE_CHECKING:
    Connection = asyncpg.Connection[Any]
else:  # generic for the type checker only
    Connection = asyncpg.Connection

UNAVAILABLE_ERRORS: tuple[type[Exception], ...] = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    *mongo.UNAVAILABLE_ERRORS,
)
BATCH_SIZE = 5000
_SETTINGS = {"application_name": "souk-verify", "timezone": "UTC", "jit": "off", "lock_timeout": "5s"}


@dataclass(frozen=True, slots=True)
class StoreAddresses:
    """Where the databases are: the PostgreSQL DSNs by service, with passwords, and the cart's MongoDB."""

    postgres: dict[str, str]
    mongo_url: str
    mongo_user: str
    mongo_password: str


@asynccontextmanager
async def connect(dsn: str) -> AsyncIterator[Connection]:
    """A connection with the settings of a verification."""
    connection = await asyncpg.connect(dsn, server_settings=_SETTINGS)
    try:
        yield connection
    finally:
        await connection.close()


async def read_postgres(
    dsn: str, service_checks: ServiceChecks, facts_db: FactDatabase, on_progress: ProgressCallback
) -> list[Violation]:
    """Copies a service's facts and runs its own checks, all in one snapshot."""
    service = service_checks.service
    async with connect(dsn) as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        for table in (*service_checks.facts, *OUTBOX_FACTS):
            await _copy(connection, table, facts_db, service, on_progress)
        violations: list[Violation] = []
        for check in (*service_checks.checks, _overdue_outbox_check(service)):
            violations += await _run_check(connection, check)
        return violations + await audit_log_check.check_chain(connection, service, facts_db)


async def read_inbox(dsn: str, service: str, facts_db: FactDatabase, on_progress: ProgressCallback) -> None:
    """Copies a service's inbox. Call it after the consumer positions are read."""
    async with connect(dsn) as connection, connection.transaction(readonly=True):
        await _copy(connection, INBOX_FACTS, facts_db, service, on_progress)


async def _copy(
    connection: Connection, table: FactTable, facts_db: FactDatabase, service: str, on_progress: ProgressCallback
) -> None:
    """Copies through a server-side cursor, so that memory holds one batch at a time."""
    facts_db.create_table(table)
    prefix = (service,) if table.columns[0] == "service" else ()
    cursor = await connection.cursor(table.sql)
    while rows := await cursor.fetch(BATCH_SIZE):
        facts_db.insert(table, [(*prefix, *row) for row in rows])
        on_progress(service, len(rows))


async def _run_check(connection: Connection, check: Check) -> Sequence[Violation]:
    cursor = await connection.cursor(check.sql)
    return [build_violation(check, dict(row)) for row in await cursor.fetch(MAX_VIOLATIONS_PER_CHECK + 1)]


def _overdue_outbox_check(service: str) -> Check:
    repair = RepairAction(RepairBy.RELAY, service)
    sql = f"SELECT '{service}' AS service, overdue.* FROM ({OVERDUE_OUTBOX_SQL}) AS overdue"  # noqa: S608 - a service of ours
    return Check(2, "event_not_published", "An event waits in the outbox for more than a minute.", sql, repair)


async def read_mongo(
    stores: StoreAddresses, service_checks: ServiceChecks, facts_db: FactDatabase, on_progress: ProgressCallback
) -> None:
    """Copies the facts of a service whose store is MongoDB."""
    assert service_checks.read_mongo_facts is not None
    settings = MongoSettings(
        mongo_url=stores.mongo_url,
        mongo_user=stores.mongo_user,
        mongo_password=SecretStr(stores.mongo_password),
        nats_password=SecretStr(""),
    )
    tables = {table.name: table for table in service_checks.facts}
    buffers: dict[str, list[Row]] = {name: [] for name in tables}
    for table in service_checks.facts:
        facts_db.create_table(table)
    async with mongo.connect(settings, "verify") as store:
        async for name, row in service_checks.read_mongo_facts(store.database):
            buffers[name].append(row)
            if len(buffers[name]) == BATCH_SIZE:
                facts_db.insert(tables[name], buffers[name])
                on_progress(service_checks.service, BATCH_SIZE)
                buffers[name] = []
    for name, rows in buffers.items():
        facts_db.insert(tables[name], rows)
