"""SQL of mailed tokens, which are stored as digests, and of the queue of password resets."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from contracts.failure import NotFound
from contracts.user import EmailTokenPurpose, InvalidEmailToken
from infra.database.postgres import Connection
from services.user.domain.accounts import AccountRecord
from services.user.store.accounts import account_from_row

_SAVE = """
INSERT INTO proof (id, account_id, purpose, seed, digest, expires_at)
VALUES ($1, $2, $3, $4, $5, now() + $6::interval)
ON CONFLICT ON CONSTRAINT proof_one_a_purpose DO UPDATE
    SET id = excluded.id, seed = excluded.seed, digest = excluded.digest, expires_at = excluded.expires_at
"""
_FIND_FOR_MAIL = """
SELECT p.seed, p.purpose, p.expires_at, a.email, a.first_name, a.last_name, a.email_verified
FROM proof p JOIN account a ON a.id = p.account_id
WHERE p.id = $1 AND p.expires_at > now() AND a.is_active
"""
_FIND_ACCOUNT = """
SELECT a.id, a.email, a.password_hash, a.first_name, a.last_name, a.role, a.is_active, a.email_verified, a.version,
       a.totp, a.created_at, a.updated_at
FROM proof p JOIN account a ON a.id = p.account_id
WHERE p.digest = $1 AND p.purpose = $2 AND p.expires_at > now() AND a.is_active
"""
_CONSUME = "DELETE FROM proof WHERE digest = $1 AND purpose = $2 AND expires_at > now() RETURNING account_id"
_REVOKE = "DELETE FROM proof WHERE account_id = $1 AND purpose = $2"
_DELETE_EXPIRED = "DELETE FROM proof WHERE expires_at < now()"
_ENQUEUE_RESET = "INSERT INTO forgotten (email_key) VALUES ($1)"
_DEQUEUE_RESET = """
DELETE FROM forgotten WHERE position = (
    SELECT position FROM forgotten ORDER BY position LIMIT 1 FOR UPDATE SKIP LOCKED
) RETURNING email_key
"""


@dataclass(frozen=True, slots=True)
class EmailTokenRecord:
    """A mailed token with the recipient of its mail."""

    seed: bytes = field(repr=False)
    purpose: EmailTokenPurpose
    expires_at: datetime
    email: str = field(repr=False)
    first_name: str = field(repr=False)
    last_name: str = field(repr=False)
    email_verified: bool


async def save(
    connection: Connection,
    token_id: UUID,
    account_id: UUID,
    purpose: EmailTokenPurpose,
    *,
    seed: bytes,
    digest: bytes,
    lifetime: timedelta,
) -> None:
    """Stores a token; the previous one for the same purpose becomes void."""
    await connection.execute(_SAVE, token_id, account_id, purpose, seed, digest, lifetime)


async def find_for_mail(connection: Connection, token_id: UUID) -> EmailTokenRecord:
    """Returns the token for its mail; raises `NotFound` when it is void, used or expired, or its account is closed."""
    row = await connection.fetchrow(_FIND_FOR_MAIL, token_id)
    if row is None:
        raise NotFound
    return EmailTokenRecord(**{**row, "purpose": EmailTokenPurpose(row["purpose"])})


async def find_account(connection: Connection, digest: bytes, purpose: EmailTokenPurpose) -> AccountRecord:
    """Returns the account of a valid token; raises `InvalidEmailToken` otherwise."""
    row = await connection.fetchrow(_FIND_ACCOUNT, digest, purpose)
    if row is None:
        raise InvalidEmailToken
    return account_from_row(row)


async def consume(connection: Connection, digest: bytes, purpose: EmailTokenPurpose) -> UUID:
    """Uses a token up and returns its account; of concurrent requests, one succeeds.

    Raises `InvalidEmailToken` when it is unknown, used or expired.
    """
    account_id: UUID | None = await connection.fetchval(_CONSUME, digest, purpose)
    if account_id is None:
        raise InvalidEmailToken
    return account_id


async def revoke(connection: Connection, account_id: UUID, purpose: EmailTokenPurpose) -> None:
    """Voids the account's token for this purpose, if it has one."""
    await connection.execute(_REVOKE, account_id, purpose)


async def delete_expired(connection: Connection) -> None:
    """Deletes tokens that have expired."""
    await connection.execute(_DELETE_EXPIRED)


async def enqueue_reset(connection: Connection, email_key: str) -> None:
    """Queues a password reset for an e-mail, whether or not it has an account."""
    await connection.execute(_ENQUEUE_RESET, email_key)


async def dequeue_reset(connection: Connection) -> str | None:
    """Removes the oldest queued e-mail and returns it; None when the queue is empty."""
    email_key: str | None = await connection.fetchval(_DEQUEUE_RESET)
    return email_key
