"""Second factors: sealed secrets, the steps that were taken, recovery codes, wrong codes."""

from collections.abc import Sequence
from uuid import UUID

from infra.database.postgres import Connection
from services.user.security.totp import SecondFactor, VerifiedCode

_PUT = """
INSERT INTO second_factor (account_id, secret) VALUES ($1, $2)
ON CONFLICT (account_id) DO UPDATE
    SET secret = excluded.secret, last_step = 0, wrong = 0, wrong_at = now(), made_at = now()
"""
_LOCK = """
SELECT account_id, secret, last_step, wrong,
       extract(epoch FROM clock_timestamp() - wrong_at)::float8 AS wrong_age,
       extract(epoch FROM clock_timestamp() - made_at)::float8 AS age,
       extract(epoch FROM clock_timestamp())::float8 AS moment
FROM second_factor WHERE account_id = $1 FOR UPDATE
"""
_COUNT = "UPDATE second_factor SET wrong = wrong + 1, wrong_at = clock_timestamp() WHERE account_id = $1"
_TAKE_STEP = """
UPDATE second_factor SET last_step = $3, wrong = 0 WHERE account_id = $1 AND secret = $2 AND last_step < $3
RETURNING true
"""
_HAS_RECOVERY = "SELECT true FROM recovery_code WHERE account_id = $1 AND digest = $2"
# The factor is locked before its codes, as by whoever renews or removes them.
_TAKE_RECOVERY = """
DELETE FROM recovery_code code USING (SELECT account_id FROM second_factor WHERE account_id = $1 FOR UPDATE) factor
WHERE code.account_id = factor.account_id AND code.digest = $2
RETURNING true
"""
_TURN = """
UPDATE account SET totp = $2, version = version + 1, updated_at = now() WHERE id = $1 AND totp <> $2
RETURNING true
"""
_PUT_RECOVERY = """
WITH void AS (DELETE FROM recovery_code WHERE account_id = $1)
INSERT INTO recovery_code (account_id, digest) SELECT $1, unnest($2::bytea[])
"""
_REMOVE = "DELETE FROM second_factor WHERE account_id = $1"
_PRUNE = "DELETE FROM second_factor WHERE last_step = 0 AND made_at < now() - make_interval(secs => $1)"


async def save_pending(connection: Connection, account_id: UUID, secret: bytes) -> None:
    """A secret that waits to be confirmed, in place of an earlier one."""
    await connection.execute(_PUT, account_id, secret)


async def lock(connection: Connection, account_id: UUID) -> SecondFactor | None:
    """The second factor of an account; nobody else judges a code of it until the commit."""
    row = await connection.fetchrow(_LOCK, account_id)
    return SecondFactor(**row) if row else None


async def count_wrong_code(connection: Connection, account_id: UUID) -> None:
    await connection.execute(_COUNT, account_id)


async def has_recovery_code(connection: Connection, account_id: UUID, digest: bytes) -> bool:
    return await connection.fetchval(_HAS_RECOVERY, account_id, digest) is not None


async def consume_code(connection: Connection, account_id: UUID, proven: VerifiedCode) -> bool:
    """Uses a code up. Of all who bring it at once, one has it."""
    if proven.step is None:
        return await connection.fetchval(_TAKE_RECOVERY, account_id, proven.recovery_digest) is not None
    return await connection.fetchval(_TAKE_STEP, account_id, proven.secret, proven.step) is not None


async def set_enabled(connection: Connection, account_id: UUID, *, enabled: bool) -> bool:
    """Whether it was the other way before."""
    return await connection.fetchval(_TURN, account_id, enabled) is not None


async def replace_recovery_codes(connection: Connection, account_id: UUID, digests: Sequence[bytes]) -> None:
    """New recovery codes; those before are void."""
    await connection.execute(_PUT_RECOVERY, account_id, digests)


async def delete(connection: Connection, account_id: UUID) -> None:
    """Forgets the secret and the recovery codes."""
    await connection.execute(_REMOVE, account_id)


async def delete_unconfirmed(connection: Connection, seconds: float) -> None:
    """Forgets secrets that nobody confirmed within so many seconds."""
    await connection.execute(_PRUNE, seconds)
