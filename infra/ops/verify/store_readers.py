"""The stores, read: PostgreSQL databases each in one snapshot, and MongoDB as it goes."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncpg
from pydantic import SecretStr

from infra.database import mongo
from infra.database.checks import Check, Cure, Facts, Mend, Row, Violation
from infra.foundation.settings import MongoSettings
from infra.ops.verify import audit_log_check as trail
from infra.ops.verify.fact_db import MOST, Evidence, violation
from infra.ops.verify.registry import HEARD, KERNEL_FACTS, OVERDUE, Room
from infra.ops.verify.stream_reader import Step

if TYPE_CHECKING:
    Connection = asyncpg.Connection[Any]
else:  # generic for the type checker only
    Connection = asyncpg.Connection

AWAY: tuple[type[Exception], ...] = (asyncpg.PostgresError, asyncpg.InterfaceError, *mongo.AWAY)
BATCH = 5000
_SETTINGS = {"application_name": "souk-audit", "timezone": "UTC", "jit": "off", "lock_timeout": "5s"}


@dataclass(frozen=True, slots=True)
class Stores:
    """Where the databases are: PostgreSQL's, by service and with their passwords, and the cart's."""

    postgres: dict[str, str]
    mongo_url: str
    mongo_user: str
    mongo_password: str


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(dsn, server_settings=_SETTINGS)
    try:
        yield connection
    finally:
        await connection.close()


async def read(dsn: str, room: Room, found: Evidence, step: Step) -> list[Violation]:
    """One service's facts, and what its own checks find, all as of one moment."""
    async with connected(dsn) as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        for facts in (*room.facts, *KERNEL_FACTS):
            await _copy(connection, facts, found, room.service, step)
        wrong = [one for check in (*room.checks, _overdue(room.service)) for one in await _find(connection, check)]
        return wrong + await trail.read(connection, room.service, found)


async def read_heard(dsn: str, service: str, found: Evidence, step: Step) -> None:
    async with connected(dsn) as connection, connection.transaction(readonly=True):
        await _copy(connection, HEARD, found, service, step)


async def _copy(connection: Connection, facts: Facts, found: Evidence, service: str, step: Step) -> None:
    """Goes on with a cursor of the server, so that no more than a batch is ever here."""
    found.table(facts)
    owner = (service,) if facts.columns[0] == "service" else ()
    cursor = await connection.cursor(facts.sql)
    while rows := await cursor.fetch(BATCH):
        found.put(facts, [(*owner, *row) for row in rows])
        step(service, len(rows))


async def _find(connection: Connection, check: Check) -> Sequence[Violation]:
    cursor = await connection.cursor(check.sql)
    return [violation(check, dict(row)) for row in await cursor.fetch(MOST + 1)]


def _overdue(service: str) -> Check:
    cure = Cure(Mend.RELAY, service)
    sql = f"SELECT '{service}' AS service, found.* FROM ({OVERDUE}) AS found"  # noqa: S608 - a service of ours
    return Check(2, "event_not_published", "An event waits in the outbox for more than a minute.", sql, cure)


async def read_told(stores: Stores, room: Room, found: Evidence, step: Step) -> None:
    """The facts of a service whose store is MongoDB."""
    assert room.told is not None
    settings = MongoSettings(
        mongo_url=stores.mongo_url,
        mongo_user=stores.mongo_user,
        mongo_password=SecretStr(stores.mongo_password),
        nats_password=SecretStr(""),
    )
    tables = {facts.table: facts for facts in room.facts}
    waiting: dict[str, list[Row]] = {name: [] for name in tables}
    for facts in room.facts:
        found.table(facts)
    async with mongo.connect(settings, "audit") as store:
        async for name, row in room.told(store.database):
            waiting[name].append(row)
            if len(waiting[name]) == BATCH:
                found.put(tables[name], waiting[name])
                step(room.service, BATCH)
                waiting[name] = []
    for name, rows in waiting.items():
        found.put(tables[name], rows)
