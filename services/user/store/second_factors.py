"""SQL of second factors: encrypted secrets, used time steps, wrong codes, and recovery codes."""

from collections.abc import Sequence
from uuid import UUID

from infra.database.postgres import Connection
from services.user.domain.second_factor import SecondFactor, VerifiedCode

_SAVE_PENDING = """
INSERT INTO second_factor (account_id, secret) VALUES ($1, $2)
ON CONFLICT (account_id) DO UPDATE
    SET secret = excluded.secret, last_step = 0, wrong = 0, wrong_at = now(), made_at = now()
"""
_LOCK = """
SELECT account_id, secret, last_step, wrong AS wrong_codes,
       extract(epoch FROM clock_timestamp() - wrong_at)::float8 AS seconds_since_wrong,
       extract(epoch FROM clock_timestamp() - made_at)::float8 AS age_seconds,
       extract(epoch FROM clock_timestamp())::float8 AS unix_time
FROM second_factor WHERE account_id = $1 FOR UPDATE
"""
_COUNT_WRONG_CODE = "UPDATE second_factor SET wrong = wrong + 1, wrong_at = clock_timestamp() WHERE account_id = $1"
_CONSUME_STEP = """
UPDATE second_factor SET last_step = $3, wrong = 0 WHERE account_id = $1 AND secret = $2 AND last_step < $3
RETURNING true
"""
_HAS_RECOVERY_CODE = "SELECT true FROM recovery_code WHERE account_id = $1 AND digest = $2"
# The factor is locked before its codes, as where they are replaced or deleted, so that the two cannot deadlock.
_CONSUME_RECOVERY_CODE = """
DELETE FROM recovery_code code USING (SELECT account_id FROM second_factor WHERE account_id = $1 FOR UPDATE) factor
WHERE code.account_id = factor.account_id AND code.digest = $2
RETURNING true
"""
_SET_ENABLED = """
UPDATE account SET totp = $2, version = version + 1, updated_at = now() WHERE id = $1 AND totp <> $2
RETURNING true
"""
_REPLACE_RECOVERY_CODES = """
WITH void AS (DELETE FROM recovery_code WHERE account_id = $1)
INSERT INTO recovery_code (account_id, digest) SELECT $1, unnest($2::bytea[])
"""
_DELETE = "DELETE FROM second_factor WHERE account_id = $1"
_DELETE_UNCONFIRMED = "DELETE FROM second_factor WHERE last_step = 0 AND made_at < now() - make_interval(secs => $1)"


async def save_pending(connection: Connection, account_id: UUID, secret: bytes) -> None:
    """Stores a secret that has yet to be confirmed, in place of an earlier one."""
    await connection.execute(_SAVE_PENDING, account_id, secret)


async def lock(connection: Connection, account_id: UUID) -> SecondFactor | None:
    """Returns the account's second factor, locked until the commit: its codes are checked one after another."""
    row = await connection.fetchrow(_LOCK, account_id)
    return SecondFactor(**row) if row else None


async def count_wrong_code(connection: Connection, account_id: UUID) -> None:
    """Counts a wrong authenticator code."""
    await connection.execute(_COUNT_WRONG_CODE, account_id)


async def has_recovery_code(connection: Connection, account_id: UUID, digest: bytes) -> bool:
    """Returns whether the account has an unused recovery code with this digest."""
    return await connection.fetchval(_HAS_RECOVERY_CODE, account_id, digest) is not None


async def consume_code(connection: Connection, account_id: UUID, code: VerifiedCode) -> bool:
    """Uses a code up and returns whether it was unused; of concurrent requests, one succeeds."""
    if code.step is None:
        return await connection.fetchval(_CONSUME_RECOVERY_CODE, account_id, code.recovery_digest) is not None
    return await connection.fetchval(_CONSUME_STEP, account_id, code.secret, code.step) is not None


async def set_enabled(connection: Connection, account_id: UUID, *, enabled: bool) -> bool:
    """Switches the second factor on or off and returns whether this changed anything."""
    return await connection.fetchval(_SET_ENABLED, account_id, enabled) is not None


async def replace_recovery_codes(connection: Connection, account_id: UUID, digests: Sequence[bytes]) -> None:
    """Stores new recovery codes; the previous ones become void."""
    await connection.execute(_REPLACE_RECOVERY_CODES, account_id, digests)


async def delete(connection: Connection, account_id: UUID) -> None:
    """Deletes the secret and the recovery codes."""
    await connection.execute(_DELETE, account_id)


async def delete_unconfirmed(connection: Connection, seconds: float) -> None:
    """Deletes secrets that were not confirmed within `seconds`."""
    await connection.execute(_DELETE_UNCONFIRMED, seconds)
