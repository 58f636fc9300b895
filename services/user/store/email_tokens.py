"""Proofs: mailed tokens, known by their digests, and who waits to have one mailed."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from contracts.failure import NotFound
from contracts.user import EmailTokenPurpose, InvalidEmailToken
from infra.database.postgres import Connection
from services.user.domain.accounts import AccountRecord
from services.user.store.accounts import account_from_row

_PUT = """
INSERT INTO proof (id, account_id, purpose, seed, digest, expires_at)
VALUES ($1, $2, $3, $4, $5, now() + $6::interval)
ON CONFLICT ON CONSTRAINT proof_one_a_purpose DO UPDATE
    SET id = excluded.id, seed = excluded.seed, digest = excluded.digest, expires_at = excluded.expires_at
"""
_LETTER = """
SELECT p.seed, p.purpose, p.expires_at, a.email, a.first_name, a.last_name
FROM proof p JOIN account a ON a.id = p.account_id
WHERE p.id = $1 AND p.expires_at > now() AND a.is_active
"""
_HOLDER = """
SELECT a.id, a.email, a.password_hash, a.first_name, a.last_name, a.role, a.is_active, a.email_verified, a.version,
       a.totp, a.created_at, a.updated_at
FROM proof p JOIN account a ON a.id = p.account_id
WHERE p.digest = $1 AND p.purpose = $2 AND p.expires_at > now() AND a.is_active
"""
_USE = "DELETE FROM proof WHERE digest = $1 AND purpose = $2 AND expires_at > now() RETURNING account_id"
_WITHDRAW = "DELETE FROM proof WHERE account_id = $1 AND purpose = $2"
_PRUNE = "DELETE FROM proof WHERE expires_at < now()"
_LINE_UP = "INSERT INTO forgotten (email_key) VALUES ($1)"
_NEXT_FORGOTTEN = """
DELETE FROM forgotten WHERE position = (
    SELECT position FROM forgotten ORDER BY position LIMIT 1 FOR UPDATE SKIP LOCKED
) RETURNING email_key
"""


@dataclass(frozen=True, slots=True)
class EmailTokenRecord:
    """What a mail with a token is made of."""

    seed: bytes = field(repr=False)
    purpose: EmailTokenPurpose
    expires_at: datetime
    email: str = field(repr=False)
    first_name: str = field(repr=False)
    last_name: str = field(repr=False)


async def save(
    connection: Connection,
    proof_id: UUID,
    account_id: UUID,
    purpose: EmailTokenPurpose,
    *,
    seed: bytes,
    digest: bytes,
    lifetime: timedelta,
) -> None:
    """Keeps a proof; the one before for the same purpose is void."""
    await connection.execute(_PUT, proof_id, account_id, purpose, seed, digest, lifetime)


async def find_for_mail(connection: Connection, proof_id: UUID) -> EmailTokenRecord:
    """`NotFound` for one that is void, used or expired, or whose account is closed."""
    row = await connection.fetchrow(_LETTER, proof_id)
    if row is None:
        raise NotFound
    return EmailTokenRecord(**{**row, "purpose": EmailTokenPurpose(row["purpose"])})


async def find_account(connection: Connection, digest: bytes, purpose: EmailTokenPurpose) -> AccountRecord:
    """Whose proof it is, while it is good."""
    row = await connection.fetchrow(_HOLDER, digest, purpose)
    if row is None:
        raise InvalidEmailToken
    return account_from_row(row)


async def consume(connection: Connection, digest: bytes, purpose: EmailTokenPurpose) -> UUID:
    """Uses a proof up, once, whoever else tries; the account it is of."""
    account_id: UUID | None = await connection.fetchval(_USE, digest, purpose)
    if account_id is None:
        raise InvalidEmailToken
    return account_id


async def revoke(connection: Connection, account_id: UUID, purpose: EmailTokenPurpose) -> None:
    """Makes the proof of an account void, if there is one."""
    await connection.execute(_WITHDRAW, account_id, purpose)


async def delete_expired(connection: Connection) -> None:
    await connection.execute(_PRUNE)


async def enqueue_reset(connection: Connection, email_key: str) -> None:
    """Notes that somebody forgot a password, known or not."""
    await connection.execute(_LINE_UP, email_key)


async def dequeue_reset(connection: Connection) -> str | None:
    """Takes the oldest note."""
    key: str | None = await connection.fetchval(_NEXT_FORGOTTEN)
    return key
