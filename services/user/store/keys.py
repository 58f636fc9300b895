"""Signing keys, sealed."""

from dataclasses import dataclass, field

from infra.postgres import Connection

LOCK = 0x50_55_4D

_ALL = "SELECT kid, sealed FROM signing_key WHERE retired_at IS NULL ORDER BY created_at DESC, kid"
_LINE_UP = "SELECT pg_advisory_xact_lock($1)"
_ADD_FIRST = """
INSERT INTO signing_key (kid, sealed)
SELECT $1, $2 WHERE NOT EXISTS (SELECT FROM signing_key WHERE retired_at IS NULL)
"""


@dataclass(frozen=True, slots=True)
class SealedKey:
    kid: str
    sealed: str = field(repr=False)


async def every(connection: Connection) -> list[SealedKey]:
    """Those not retired, the newest first."""
    return [SealedKey(row["kid"], row["sealed"]) for row in await connection.fetch(_ALL)]


async def line_up(connection: Connection) -> None:
    """From here to the commit, nobody else adds a key."""
    await connection.execute(_LINE_UP, LOCK)


async def add_first(connection: Connection, key: SealedKey) -> None:
    """Keeps the key unless there is one already."""
    await connection.execute(_ADD_FIRST, key.kid, key.sealed)
