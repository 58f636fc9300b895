"""Sessions and their refresh tokens, which are known by their digests alone."""

from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from contracts.failure import NotFound
from contracts.user import InvalidRefreshToken, UserSession
from infra.database.postgres import Connection
from services.user.domain.accounts import AccountRecord
from services.user.store.accounts import account_from_row

LAST_ID = UUID(int=2**128 - 1)

_OPEN = """
WITH opened AS (
    INSERT INTO session (id, account_id, expires_at, address) VALUES ($1, $2, now() + $4::interval, $5)
)
INSERT INTO refresh_token (digest, session_id, expires_at) VALUES ($3, $1, now() + $4::interval)
"""
_SPEND = """
UPDATE refresh_token SET spent_at = now()
WHERE digest = $1 AND spent_at IS NULL AND expires_at > now()
RETURNING session_id
"""
_OWNER = """
SELECT a.id, a.email, a.password_hash, a.first_name, a.last_name, a.role, a.is_active, a.email_verified, a.version,
       a.totp, a.created_at, a.updated_at
FROM session s JOIN account a ON a.id = s.account_id
WHERE s.id = $1 AND s.revoked_at IS NULL AND a.is_active
FOR UPDATE OF s FOR SHARE OF a
"""
_CONTINUE = """
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
_SUCCESSOR = """
UPDATE refresh_token spent SET successor = NULL FROM refresh_token next
WHERE spent.digest = $1 AND spent.successor IS NOT NULL
      AND spent.spent_at > now() - make_interval(secs => $2)
      AND next.digest = $3 AND next.session_id = spent.session_id AND next.spent_at IS NULL
RETURNING spent.session_id
"""
_SEALED = "SELECT successor FROM refresh_token WHERE digest = $1 AND spent_at > now() - make_interval(secs => $2)"
_LINE_UP = "SELECT id FROM session WHERE account_id = $1 AND revoked_at IS NULL ORDER BY id FOR UPDATE"
_END_ALL = """
UPDATE session SET revoked_at = now() WHERE account_id = $1 AND revoked_at IS NULL AND ($2::uuid IS NULL OR id <> $2)
"""
_END = """
UPDATE session SET revoked_at = now()
WHERE id = $2 AND account_id = $1 AND revoked_at IS NULL AND expires_at > now()
RETURNING id
"""
_LIST = """
SELECT id, created_at, used_at, expires_at, address FROM session
WHERE account_id = $1 AND revoked_at IS NULL AND expires_at > now() AND id < $2
ORDER BY id DESC LIMIT $3
"""
_UNTOLD = """
SELECT id FROM session
WHERE revoked_at IS NOT NULL AND told_at IS NULL AND revoked_at > now() - make_interval(secs => $1)
ORDER BY revoked_at LIMIT $2
"""
_TOLD = "UPDATE session SET told_at = now() WHERE id = ANY($1::uuid[])"
_PRUNE = """
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
    """A token that was spent: its digest, and its successor sealed under the token itself."""

    digest: bytes
    sealed_successor: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ReusedToken:
    """The session of a token that came a second time; `ended` when it was this that ended it."""

    session_id: UUID
    account_id: UUID
    session_ended: bool


async def create(
    connection: Connection, session_id: UUID, account_id: UUID, token_digest: bytes, lifetime: timedelta, address: str
) -> None:
    """A session with its first refresh token."""
    await connection.execute(_OPEN, session_id, account_id, token_digest, lifetime, address)


async def spend_token(connection: Connection, token_digest: bytes) -> UUID:
    """Spends a refresh token, once, whoever else tries; the session it is of. `InvalidRefreshToken` if it cannot be."""
    session_id: UUID | None = await connection.fetchval(_SPEND, token_digest)
    if session_id is None:
        raise InvalidRefreshToken
    return session_id


async def lock_owner(connection: Connection, session_id: UUID) -> AccountRecord:
    """The account of a session; neither changes until the commit. `InvalidRefreshToken` if one of them has ended."""
    row = await connection.fetchrow(_OWNER, session_id)
    if row is None:
        raise InvalidRefreshToken
    return account_from_row(row)


async def rotate(
    connection: Connection, session_id: UUID, token_digest: bytes, lifetime: timedelta, address: str, spent: SpentToken
) -> None:
    """The session's next refresh token; what was spent for it keeps it, sealed."""
    await connection.execute(
        _CONTINUE, session_id, token_digest, lifetime, address, spent.digest, spent.sealed_successor
    )


async def find_sealed_successor(connection: Connection, token_digest: bytes, grace_seconds: float) -> bytes | None:
    """What a token was spent for less than `grace` seconds ago, as it was sealed."""
    sealed: bytes | None = await connection.fetchval(_SEALED, token_digest, grace_seconds)
    return sealed


async def claim_successor(
    connection: Connection, token_digest: bytes, successor_digest: bytes, grace_seconds: float
) -> UUID | None:
    """The session, where the successor of a spent token may be given once more: it is unspent, and was not given so."""
    session_id: UUID | None = await connection.fetchval(_SUCCESSOR, token_digest, grace_seconds, successor_digest)
    return session_id


async def lock_sessions(connection: Connection, account_id: UUID) -> None:
    """Locks the sessions of an account. Whoever changes both locks these before the account, as a refresh does."""
    await connection.execute(_LINE_UP, account_id)


async def end_all(connection: Connection, account_id: UUID, *, except_session_id: UUID | None = None) -> None:
    """Ends the sessions of an account, save one that is to stay."""
    await connection.execute(_END_ALL, account_id, except_session_id)


async def end(connection: Connection, account_id: UUID, session_id: UUID) -> None:
    """Ends one of an account's sessions."""
    if await connection.fetchval(_END, account_id, session_id) is None:
        raise NotFound


async def active(
    connection: Connection, account_id: UUID, *, before: UUID | None, limit: int, current: UUID | None
) -> list[UserSession]:
    """Sessions that go on, the newest first."""
    rows = await connection.fetch(_LIST, account_id, before or LAST_ID, limit)
    return [UserSession.model_validate({**row, "current": row["id"] == current}, strict=False) for row in rows]


async def revoke(connection: Connection, token_digest: bytes) -> None:
    """Ends the session that a token is of, if there is one."""
    await connection.execute(_REVOKE, token_digest)


async def revoke_reused(connection: Connection, token_digest: bytes) -> ReusedToken | None:
    """Ends the session of a token that was spent before, and says which; None when it was not."""
    row = await connection.fetchrow(_REVOKE_REUSED, token_digest)
    return ReusedToken(row["session_id"], row["account_id"], row["ended"]) if row else None


async def unpublished(connection: Connection, seconds: float, limit: int) -> list[UUID]:
    """Sessions that ended within so many seconds, and that the edges may not know of."""
    return [row["id"] for row in await connection.fetch(_UNTOLD, seconds, limit)]


async def mark_published(connection: Connection, session_ids: list[UUID]) -> None:
    await connection.execute(_TOLD, session_ids)


async def delete_expired(connection: Connection, limit: int) -> int:
    """Forgets tokens and sessions that have expired; how many tokens."""
    found: int = await connection.fetchval(_PRUNE, limit)
    return found
