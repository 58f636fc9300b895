"""Signing keys, sealed."""

from dataclasses import dataclass, field

from infra.database.postgres import Connection

LOCK = 0x50_55_4D

_ALL = """
SELECT kid, sealed, created_at < clock_timestamp() - make_interval(secs => $1) AS settled FROM signing_key
WHERE retired_at IS NULL OR retired_at > clock_timestamp() ORDER BY created_at DESC, kid
"""
_LINE_UP = "SELECT pg_advisory_xact_lock($1)"
_ADD_FIRST = """
INSERT INTO signing_key (kid, sealed)
SELECT $1, $2 WHERE NOT EXISTS (SELECT FROM signing_key WHERE retired_at IS NULL)
"""
_ADD = "INSERT INTO signing_key (kid, sealed) VALUES ($1, $2)"
_RETIRE = """
UPDATE signing_key SET retired_at = clock_timestamp() + make_interval(secs => $2)
WHERE retired_at IS NULL AND kid <> $1
RETURNING kid
"""


@dataclass(frozen=True, slots=True)
class SigningKeyRecord:
    """`settled` once everybody who verifies tokens has had the time to learn of it."""

    kid: str
    sealed: str = field(repr=False)
    settled: bool = False


async def published(connection: Connection, activation_delay_seconds: float) -> list[SigningKeyRecord]:
    """Those not retired, the newest first; a key settles within so many seconds."""
    return [SigningKeyRecord(**row) for row in await connection.fetch(_ALL, activation_delay_seconds)]


async def lock_keys(connection: Connection) -> None:
    """From here to the commit, nobody else adds a key."""
    await connection.execute(_LINE_UP, LOCK)


async def add_if_none(connection: Connection, key: SigningKeyRecord) -> None:
    """Keeps the key unless there is one already."""
    await connection.execute(_ADD_FIRST, key.kid, key.sealed)


async def add(connection: Connection, key: SigningKeyRecord) -> None:
    await connection.execute(_ADD, key.kid, key.sealed)


async def retire_others(connection: Connection, kid: str, seconds: float) -> list[str]:
    """All but one are retired after so many seconds; which, for the first time."""
    return [row["kid"] for row in await connection.fetch(_RETIRE, kid, seconds)]
