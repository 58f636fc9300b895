"""SQL of sessions and their refresh tokens, which are stored as digests."""

from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from contracts.failure import NotFound
from contracts.user import InvalidRefreshToken, UserSession
from infra.database.postgres import Connection
from services.user.domain.accounts import AccountRecord
from services.user.store.accounts import account_from_row

HIGHEST_ID = UUID(int=2**128 - 1)

_CREATE = """
WITH opened AS (
    INSERT INTO session (id, account_id, expires_at, address) VALUES ($1, $2, now() + $4::interval, $5)
)
INSERT INTO refresh_token (digest, session_id, expires_at) VALUES ($3, $1, now() + $4::interval)
"""
_SPEND = """
UPDATE refresh_token SET spent_at = clock_timestamp()
WHERE digest = $1 AND spent_at IS NULL AND expires_at > now()
RETURNING session_id
"""
_LOCK_OWNER = """
SELECT a.id, a.email, a.password_hash, a.first_name, a.last_name, a.role, a.is_active, a.email_verified, a.version,
       a.totp, a.created_at, a.updated_at
FROM session s JOIN account a ON a.id = s.account_id
WHERE s.id = $1 AND s.revoked_at IS NULL AND a.is_active
FOR UPDATE OF s FOR SHARE OF a
"""
_ROTATE = """
WITH continued AS (
         UPDATE session SET expires_at = now() + $3::interval, used_at = now(), address = $4 WHERE id = $1
     ),
     sealed AS (UPDATE refresh_token SET successor = $6 WHERE digest = $5)
INSERT INTO refresh_token (digest, session_id, expires_at) VALUES ($2, $1, now() + $3::interval)
"""
_REVOKE = """
UPDATE session SET revoked_at = now()
WHERE revoked_at IS NULL AND id = (SELECT session_id FROM refresh_token WHERE digest = $1)
"""
_REVOKE_REUSED = """
WITH reused AS (SELECT session_id FROM refresh_token WHERE digest = $1 AND spent_at IS NOT NULL),
     revoked AS (
         UPDATE session SET revoked_at = now() FROM reused WHERE id = session_id AND revoked_at IS NULL RETURNING id
     )
SELECT session_id, account_id, EXISTS (SELECT FROM revoked) AS ended FROM reused JOIN session ON id = session_id
"""
_UNSPENT_SUCCESSOR = """
SELECT spent.session_id
FROM refresh_token spent JOIN refresh_token next ON next.digest = $3 AND next.session_id = spent.session_id
WHERE spent.digest = $1 AND spent.spent_at > clock_timestamp() - make_interval(secs => $2) AND next.spent_at IS NULL
"""
_SEALED_SUCCESSOR = "SELECT successor FROM refresh_token WHERE digest = $1"
_ERASE_SUCCESSORS = """
WITH erased AS (
    UPDATE refresh_token SET successor = NULL WHERE digest IN (
        SELECT digest FROM refresh_token
        WHERE successor IS NOT NULL AND spent_at < now() - make_interval(secs => $1)
        LIMIT $2
    )
    RETURNING true
)
SELECT count(*) FROM erased
"""
_LOCK_SESSIONS = "SELECT id FROM session WHERE account_id = $1 AND revoked_at IS NULL ORDER BY id FOR UPDATE"
_END_ALL = """
UPDATE session SET revoked_at = now() WHERE account_id = $1 AND revoked_at IS NULL AND ($2::uuid IS NULL OR id <> $2)
"""
_END = """
UPDATE session SET revoked_at = now()
WHERE id = $2 AND account_id = $1 AND revoked_at IS NULL AND expires_at > now()
RETURNING id
"""
_ACTIVE = """
SELECT id, created_at, used_at, expires_at, address FROM session
WHERE account_id = $1 AND revoked_at IS NULL AND expires_at > now() AND id < $2
ORDER BY id DESC LIMIT $3
"""
_UNPUBLISHED = """
SELECT id FROM session
WHERE revoked_at IS NOT NULL AND told_at IS NULL AND revoked_at > now() - make_interval(secs => $1)
ORDER BY revoked_at LIMIT $2
"""
_MARK_PUBLISHED = "UPDATE session SET told_at = now() WHERE id = ANY($1::uuid[])"
_DELETE_EXPIRED = """
WITH ended AS (DELETE FROM session WHERE id IN (SELECT id FROM session WHERE expires_at < now() LIMIT $1)),
     old AS (
         DELETE FROM refresh_token
         WHERE digest IN (SELECT digest FROM refresh_token WHERE expires_at < now() LIMIT $1)
         RETURNING true
     )
SELECT count(*) FROM old
"""


@dataclass(frozen=True, slots=True)
class SpentToken:
    """A spent refresh token: its digest, and its successor encrypted under the token itself."""

    digest: bytes
    sealed_successor: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ReusedToken:
    """The session of a token that was presented again; `session_ended` is true when this ended it."""

    session_id: UUID
    account_id: UUID
    session_ended: bool


async def create(
    connection: Connection, session_id: UUID, account_id: UUID, token_digest: bytes, lifetime: timedelta, address: str
) -> None:
    """Inserts a session with its first refresh token."""
    await connection.execute(_CREATE, session_id, account_id, token_digest, lifetime, address)


async def spend_token(connection: Connection, token_digest: bytes) -> UUID:
    """Spends a refresh token and returns its session; of concurrent requests, one succeeds.

    Raises `InvalidRefreshToken` when it is unknown, spent or expired.
    """
    session_id: UUID | None = await connection.fetchval(_SPEND, token_digest)
    if session_id is None:
        raise InvalidRefreshToken
    return session_id


async def lock_owner(connection: Connection, session_id: UUID) -> AccountRecord:
    """Returns the account of a session, both locked until the commit; raises `InvalidRefreshToken` if one has ended."""
    row = await connection.fetchrow(_LOCK_OWNER, session_id)
    if row is None:
        raise InvalidRefreshToken
    return account_from_row(row)


async def rotate(
    connection: Connection, session_id: UUID, token_digest: bytes, lifetime: timedelta, address: str, spent: SpentToken
) -> None:
    """Inserts the session's next refresh token, and stores it encrypted with the token that was spent for it."""
    await connection.execute(_ROTATE, session_id, token_digest, lifetime, address, spent.digest, spent.sealed_successor)


async def find_sealed_successor(connection: Connection, token_digest: bytes) -> bytes | None:
    """Returns the encrypted successor of a spent token; None when there is none or it is erased."""
    sealed: bytes | None = await connection.fetchval(_SEALED_SUCCESSOR, token_digest)
    return sealed


async def find_session_of_successor(
    connection: Connection, token_digest: bytes, successor_digest: bytes, grace_seconds: float
) -> UUID | None:
    """Returns the session of a token that was spent less than `grace_seconds` ago and whose successor is unspent.

    The age is measured by the database's clock, so that all replicas agree on it.
    """
    session_id: UUID | None = await connection.fetchval(
        _UNSPENT_SUCCESSOR, token_digest, grace_seconds, successor_digest
    )
    return session_id


async def erase_successors(connection: Connection, grace_seconds: float, limit: int) -> int:
    """Erases up to `limit` encrypted successors that are no longer returned; returns their number."""
    erased: int = await connection.fetchval(_ERASE_SUCCESSORS, grace_seconds, limit)
    return erased


async def lock_sessions(connection: Connection, account_id: UUID) -> None:
    """Locks the active sessions of an account.

    A transaction that changes both locks the sessions before the account, as a refresh does, to avoid deadlocks.
    """
    await connection.execute(_LOCK_SESSIONS, account_id)


async def end_all(connection: Connection, account_id: UUID, *, except_session_id: UUID | None = None) -> None:
    """Ends the sessions of an account, except one that stays."""
    await connection.execute(_END_ALL, account_id, except_session_id)


async def end(connection: Connection, account_id: UUID, session_id: UUID) -> None:
    """Ends one of the account's sessions; raises `NotFound` when it has no active one with this id."""
    if await connection.fetchval(_END, account_id, session_id) is None:
        raise NotFound


async def active(
    connection: Connection, account_id: UUID, *, before: UUID | None, limit: int, current: UUID | None
) -> list[UserSession]:
    """Returns up to `limit` active sessions of the account, newest first."""
    rows = await connection.fetch(_ACTIVE, account_id, before or HIGHEST_ID, limit)
    return [UserSession.model_validate({**row, "current": row["id"] == current}, strict=False) for row in rows]


async def revoke(connection: Connection, token_digest: bytes) -> None:
    """Ends the session of a refresh token, if there is one."""
    await connection.execute(_REVOKE, token_digest)


async def revoke_reused(connection: Connection, token_digest: bytes) -> ReusedToken | None:
    """Ends the session of a token that was spent before and returns it; None when the token was not spent."""
    row = await connection.fetchrow(_REVOKE_REUSED, token_digest)
    return ReusedToken(row["session_id"], row["account_id"], row["ended"]) if row else None


async def unpublished(connection: Connection, seconds: float, limit: int) -> list[UUID]:
    """Returns up to `limit` sessions ended within the last `seconds` that are not yet published to the edges."""
    return [row["id"] for row in await connection.fetch(_UNPUBLISHED, seconds, limit)]


async def mark_published(connection: Connection, session_ids: list[UUID]) -> None:
    """Records that the edges know that these sessions have ended."""
    await connection.execute(_MARK_PUBLISHED, session_ids)


async def delete_expired(connection: Connection, limit: int) -> int:
    """Deletes up to `limit` expired tokens and as many sessions; returns the number of tokens."""
    deleted: int = await connection.fetchval(_DELETE_EXPIRED, limit)
    return deleted
