"""The stores, read: PostgreSQL databases each in one snapshot, and MongoDB as it goes."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncpg
from pydantic import SecretStr

from infra.database import mongo
from infra.database.checks import Check, FactTable, RepairAction, RepairBy, Row, Violation
from infra.foundation.settings import MongoSettings
from infra.ops.verify import audit_log_check as trail
from infra.ops.verify.fact_db import MAX_VIOLATIONS_PER_CHECK, FactDatabase, build_violation
from infra.ops.verify.registry import INBOX_FACTS, OUTBOX_FACTS, OVERDUE_OUTBOX_SQL, ServiceChecks
from infra.ops.verify.stream_reader import ProgressCallback

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
_SETTINGS = {"application_name": "souk-audit", "timezone": "UTC", "jit": "off", "lock_timeout": "5s"}


@dataclass(frozen=True, slots=True)
class StoreAddresses:
    """Where the databases are: PostgreSQL's, by service and with their passwords, and the cart's."""

    postgres: dict[str, str]
    mongo_url: str
    mongo_user: str
    mongo_password: str


@asynccontextmanager
async def connect(dsn: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(dsn, server_settings=_SETTINGS)
    try:
        yield connection
    finally:
        await connection.close()


async def read_postgres(
    dsn: str, service_checks: ServiceChecks, facts_db: FactDatabase, on_progress: ProgressCallback
) -> list[Violation]:
    """One service's facts, and what its own checks find, all as of one moment."""
    async with connect(dsn) as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        for facts in (*service_checks.facts, *OUTBOX_FACTS):
            await _copy(connection, facts, facts_db, service_checks.service, on_progress)
        wrong = [
            one
            for check in (*service_checks.checks, _overdue(service_checks.service))
            for one in await _find(connection, check)
        ]
        return wrong + await trail.check_chain(connection, service_checks.service, facts_db)


async def read_inbox(dsn: str, service: str, facts_db: FactDatabase, on_progress: ProgressCallback) -> None:
    async with connect(dsn) as connection, connection.transaction(readonly=True):
        await _copy(connection, INBOX_FACTS, facts_db, service, on_progress)


async def _copy(
    connection: Connection, facts: FactTable, found: FactDatabase, service: str, step: ProgressCallback
) -> None:
    """Goes on with a cursor of the server, so that no more than a batch is ever here."""
    found.create_table(facts)
    owner = (service,) if facts.columns[0] == "service" else ()
    cursor = await connection.cursor(facts.sql)
    while rows := await cursor.fetch(BATCH_SIZE):
        found.insert(facts, [(*owner, *row) for row in rows])
        step(service, len(rows))


async def _find(connection: Connection, check: Check) -> Sequence[Violation]:
    cursor = await connection.cursor(check.sql)
    return [build_violation(check, dict(row)) for row in await cursor.fetch(MAX_VIOLATIONS_PER_CHECK + 1)]


def _overdue(service: str) -> Check:
    cure = RepairAction(RepairBy.RELAY, service)
    sql = f"SELECT '{service}' AS service, found.* FROM ({OVERDUE_OUTBOX_SQL}) AS found"  # noqa: S608 - a service of ours
    return Check(2, "event_not_published", "An event waits in the outbox for more than a minute.", sql, cure)


async def read_mongo(
    stores: StoreAddresses, service_checks: ServiceChecks, facts_db: FactDatabase, on_progress: ProgressCallback
) -> None:
    """The facts of a service whose store is MongoDB."""
    assert service_checks.read_mongo_facts is not None
    settings = MongoSettings(
        mongo_url=stores.mongo_url,
        mongo_user=stores.mongo_user,
        mongo_password=SecretStr(stores.mongo_password),
        nats_password=SecretStr(""),
    )
    tables = {facts.name: facts for facts in service_checks.facts}
    waiting: dict[str, list[Row]] = {name: [] for name in tables}
    for facts in service_checks.facts:
        facts_db.create_table(facts)
    async with mongo.connect(settings, "audit") as store:
        async for name, row in service_checks.read_mongo_facts(store.database):
            waiting[name].append(row)
            if len(waiting[name]) == BATCH_SIZE:
                facts_db.insert(tables[name], waiting[name])
                on_progress(service_checks.service, BATCH_SIZE)
                waiting[name] = []
    for name, rows in waiting.items():
        facts_db.insert(tables[name], rows)
