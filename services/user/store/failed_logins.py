"""Failed logins, by the account that was tried and the address it was tried from."""

from infra.database.postgres import Connection
from services.user.domain.accounts import FailedLogin, LoginLimits, ThrottleKey

_LINE_UP = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"
_RECENT = """
SELECT account = $1 AS own, extract(epoch FROM clock_timestamp() - failed_at)::float8 AS age
FROM login_failure
WHERE address = $2 AND failed_at > clock_timestamp() - make_interval(secs => $3)
ORDER BY failed_at DESC LIMIT $4
"""
_ADD = "INSERT INTO login_failure (account, address) VALUES ($1, $2)"
_FORGIVE = "DELETE FROM login_failure WHERE account = $1 AND address = $2"
_PRUNE = "DELETE FROM login_failure WHERE failed_at < now() - make_interval(secs => $1)"


async def lock_address(connection: Connection, attempt: ThrottleKey) -> None:
    """From here to the commit, logins from one address are judged one after another."""
    await connection.execute(_LINE_UP, attempt.address)


async def recent(connection: Connection, attempt: ThrottleKey, limits: LoginLimits) -> list[FailedLogin]:
    """The newest ones from the address, as many as could matter."""
    rows = await connection.fetch(
        _RECENT, attempt.account_digest, attempt.address, limits.window_seconds, limits.per_address
    )
    return [FailedLogin(row["own"], row["age"]) for row in rows]


async def add(connection: Connection, attempt: ThrottleKey) -> None:
    await connection.execute(_ADD, attempt.account_digest, attempt.address)


async def clear(connection: Connection, attempt: ThrottleKey) -> None:
    """Forgets those of an account from an address; those from elsewhere are somebody else's."""
    await connection.execute(_FORGIVE, attempt.account_digest, attempt.address)


async def delete_expired(connection: Connection, window_seconds: float) -> None:
    await connection.execute(_PRUNE, window_seconds)
