"""A manipulated hash chain: each manipulation is found with its place, and nothing else."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncpg
import orjson
import pytest

from contracts.identity import Role
from infra.database import audit_log, migrate
from infra.database.audit_log import AuditEntry
from infra.database.checks import Row
from infra.foundation.ids import new_id
from infra.ops.verify import audit_log_check
from infra.ops.verify.fact_db import open_fact_database
from infra.ops.verify.store_readers import connect
from tests.infra.conftest import KernelStack

LENGTH = 12
LATER = 4_000_000_000
"""A time after every entry."""


@pytest.fixture
async def dsn(kernel: KernelStack) -> AsyncIterator[str]:
    """A database with an audit log of `LENGTH` entries, one per transaction."""
    name = f"t_{new_id().hex}"
    superuser = await asyncpg.connect(kernel.stack.postgres_url)
    await superuser.execute(f"CREATE DATABASE {name}")
    found = kernel.stack.postgres_url.rpartition("/")[0] + f"/{name}"
    await migrate.migrate(found, migrate.read_migrations("kernel", migrate.SHARED_MIGRATIONS))
    connection = await asyncpg.connect(found)
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=_json, decoder=_json)
    for number in range(LENGTH):
        entry = AuditEntry("user.ban", audit_log.person_actor(new_id(), Role.ADMIN), "203.0.113.7", str(new_id()))
        entry.add_changes(None, {"is_active": True}, {"is_active": False, "number": number})
        async with connection.transaction():
            await audit_log.append_entries(connection, [entry])
    await connection.execute("ALTER TABLE trail DISABLE TRIGGER trail_only_grows")
    await connection.close()
    yield found
    await superuser.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await superuser.close()


def _json(value: Any) -> Any:
    return orjson.loads(value) if isinstance(value, str) else orjson.dumps(value).decode()


async def run(dsn: str, *statements: str) -> None:
    connection = await asyncpg.connect(dsn)
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


async def published_ends(dsn: str) -> list[Row]:
    connection = await asyncpg.connect(dsn)
    rows = await connection.fetch("SELECT seq, hash FROM trail ORDER BY seq")
    await connection.close()
    return [("user", row["seq"], row["hash"]) for row in rows]


async def found_in(dsn: str, posted: Sequence[Row]) -> list[tuple[str, ...]]:
    """The violations that are found: the check, and where."""
    with open_fact_database() as facts_db:
        facts_db.create_table(audit_log_check.ANCHOR_FACTS)
        facts_db.insert(audit_log_check.ANCHOR_FACTS, posted)
        async with connect(dsn) as connection, connection.transaction(readonly=True):
            violations = await audit_log_check.check_chain(connection, "user", facts_db)
        violations += [
            one for check in audit_log_check.AUDIT_LOG_CHECKS for one in facts_db.run_check(check, {"late": LATER})
        ]
    assert {one.ids["service"] for one in violations} <= {"user"}
    return [(one.check, *(value for name, value in one.ids.items() if name != "service")) for one in violations]


async def test_an_untouched_chain_has_no_violation(dsn: str) -> None:
    assert await found_in(dsn, await published_ends(dsn)) == []


COPY_ENTRY = """
INSERT INTO trail (seq, at, act, actor_kind, actor_id, client, trace_id, request_id, subject, before, after, previous,
                   hash)
SELECT 13, at, act, actor_kind, actor_id, client, trace_id, request_id, subject, before, after, previous, hash
FROM trail WHERE seq = 5
"""
REHASHED = "UPDATE trail SET hash = sha256(hash) WHERE seq = 5"
MANIPULATIONS = {
    "who did it": (["UPDATE trail SET actor_id = gen_random_uuid() WHERE seq = 5"], [("trail_changed", "5")]),
    "what it was before": (
        ["UPDATE trail SET before = '{\"is_active\": false}' WHERE seq = 5"],
        [("trail_changed", "5")],
    ),
    "when": (["UPDATE trail SET at = at + interval '1 microsecond' WHERE seq = 1"], [("trail_changed", "1")]),
    "one is gone": (["DELETE FROM trail WHERE seq = 5"], [("trail_gap", "5")]),
    "several are gone": (["DELETE FROM trail WHERE seq BETWEEN 5 AND 7"], [("trail_gap", "5")]),
    "the first is gone": (["DELETE FROM trail WHERE seq = 1"], [("trail_gap", "1")]),
    "the last is gone": (["DELETE FROM trail WHERE seq = 12"], [("trail_cut",)]),
    "all are gone": (["DELETE FROM trail"], [("trail_cut",)]),
    "two have changed places": (
        [
            "UPDATE trail SET seq = 1000 WHERE seq = 5",
            "UPDATE trail SET seq = 5 WHERE seq = 6",
            "UPDATE trail SET seq = 6 WHERE seq = 1000",
        ],
        [
            *(("trail_broken", "5"), ("trail_changed", "5"), ("trail_broken", "6"), ("trail_changed", "6")),
            *(("trail_broken", "7"), ("trail_rewritten", "5")),
        ],
    ),
    "one is inserted": (
        [COPY_ENTRY],
        [("trail_broken", "13"), ("trail_changed", "13"), ("trail_not_posted", "13")],
    ),
    "a hash": ([REHASHED], [("trail_changed", "5"), ("trail_broken", "6"), ("trail_rewritten", "5")]),
}


@pytest.mark.parametrize("name", MANIPULATIONS)
async def test_every_manipulation_is_found(dsn: str, name: str) -> None:
    statements, expected = MANIPULATIONS[name]
    posted = await published_ends(dsn)
    await run(dsn, *statements)
    assert await found_in(dsn, posted) == expected


async def test_a_rebuilt_chain_does_not_contain_the_published_ends(dsn: str) -> None:
    """An entry and all hashes after it were changed, so the chain is consistent in itself."""
    posted = await published_ends(dsn)
    connection = await asyncpg.connect(dsn)
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=_json, decoder=_json)
    await connection.execute("UPDATE trail SET client = '' WHERE seq = 5")
    previous = posted[3][2]
    for seq in range(5, LENGTH + 1):
        entry = {**(await connection.fetchrow("SELECT * FROM trail WHERE seq = $1", seq)), "previous": previous}
        made = audit_log.entry_hash(entry)
        await connection.execute("UPDATE trail SET previous = $2, hash = $3 WHERE seq = $1", seq, previous, made)
        previous = made
    await connection.close()
    assert await found_in(dsn, posted) == [("trail_rewritten", "5")]


async def test_an_unpublished_end_is_found(dsn: str) -> None:
    posted = await published_ends(dsn)
    assert await found_in(dsn, posted[:8]) == [("trail_not_posted", "9")]
    assert await found_in(dsn, []) == [("trail_not_posted", "1")]
