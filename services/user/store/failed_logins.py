"""SQL of failed logins, counted by account and client address."""

from infra.database.advisory_locks import AdvisoryLockSeed, lock_text
from infra.database.postgres import Connection
from services.user.domain.attempt_limits import FailedLogin, LoginLimits, ThrottleKey

_RECENT = """
SELECT account = $1 AS same_account, extract(epoch FROM clock_timestamp() - failed_at)::float8 AS age_seconds
FROM login_failure
WHERE address = $2 AND failed_at > clock_timestamp() - make_interval(secs => $3)
ORDER BY failed_at DESC LIMIT $4
"""
_ADD = "INSERT INTO login_failure (account, address) VALUES ($1, $2)"
_CLEAR = "DELETE FROM login_failure WHERE account = $1 AND address = $2"
_DELETE_EXPIRED = "DELETE FROM login_failure WHERE failed_at < now() - make_interval(secs => $1)"


async def lock_address(connection: Connection, key: ThrottleKey) -> None:
    """Makes concurrent logins from this address count one after another, until the commit."""
    await lock_text(connection, key.address, AdvisoryLockSeed.LOGIN_ADDRESS)


async def recent(connection: Connection, key: ThrottleKey, limits: LoginLimits) -> list[FailedLogin]:
    """Returns the newest failures from the address, at most as many as its limit."""
    rows = await connection.fetch(_RECENT, key.account_digest, key.address, limits.window_seconds, limits.per_address)
    return [FailedLogin(row["same_account"], row["age_seconds"]) for row in rows]


async def add(connection: Connection, key: ThrottleKey) -> None:
    """Counts a failed login."""
    await connection.execute(_ADD, key.account_digest, key.address)


async def clear(connection: Connection, key: ThrottleKey) -> None:
    """Deletes the account's failures from this address; those from other addresses still count."""
    await connection.execute(_CLEAR, key.account_digest, key.address)


async def delete_expired(connection: Connection, window_seconds: float) -> None:
    """Deletes failures that no longer count."""
    await connection.execute(_DELETE_EXPIRED, window_seconds)
