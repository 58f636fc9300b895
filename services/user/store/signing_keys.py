"""SQL of signing keys, which are stored encrypted."""

from dataclasses import dataclass, field

from infra.database.advisory_locks import AdvisoryLock, lock
from infra.database.postgres import Connection

_PUBLISHED = """
SELECT kid, sealed, created_at < clock_timestamp() - make_interval(secs => $1) AS can_sign FROM signing_key
WHERE retired_at IS NULL OR retired_at > clock_timestamp() ORDER BY created_at DESC, kid
"""
_ADD_IF_NONE = """
INSERT INTO signing_key (kid, sealed)
SELECT $1, $2 WHERE NOT EXISTS (SELECT FROM signing_key WHERE retired_at IS NULL)
"""
_ADD = "INSERT INTO signing_key (kid, sealed) VALUES ($1, $2)"
_RETIRE_OTHERS = """
UPDATE signing_key SET retired_at = clock_timestamp() + make_interval(secs => $2)
WHERE retired_at IS NULL AND kid <> $1
RETURNING kid
"""


@dataclass(frozen=True, slots=True)
class SigningKeyRecord:
    """A key; `can_sign` is true once all verifiers have had time to load it."""

    kid: str
    sealed: str = field(repr=False)
    can_sign: bool = False


async def published(connection: Connection, activation_delay_seconds: float) -> list[SigningKeyRecord]:
    """Returns the keys that are not retired, newest first; a key can sign once it is old enough."""
    return [SigningKeyRecord(**row) for row in await connection.fetch(_PUBLISHED, activation_delay_seconds)]


async def lock_keys(connection: Connection) -> None:
    """Keeps other processes from adding a key until the commit."""
    await lock(connection, AdvisoryLock.SIGNING_KEYS)


async def add_if_none(connection: Connection, key: SigningKeyRecord) -> None:
    """Inserts the key unless there is an active one."""
    await connection.execute(_ADD_IF_NONE, key.kid, key.sealed)


async def add(connection: Connection, key: SigningKeyRecord) -> None:
    """Inserts a key."""
    await connection.execute(_ADD, key.kid, key.sealed)


async def retire_others(connection: Connection, kid: str, seconds: float) -> list[str]:
    """Retires all other keys in `seconds` and returns the `kid`s of those that were active."""
    return [row["kid"] for row in await connection.fetch(_RETIRE_OTHERS, kid, seconds)]
