"""Sessions and their refresh tokens, which are known by their digests alone."""

from datetime import timedelta
from uuid import UUID

from contracts.user import InvalidRefreshToken
from infra.postgres import Connection
from services.user.domain import Account
from services.user.store.accounts import account_in

_OPEN = """
WITH opened AS (INSERT INTO session (id, account_id, expires_at) VALUES ($1, $2, now() + $4::interval))
INSERT INTO refresh_token (digest, session_id, expires_at) VALUES ($3, $1, now() + $4::interval)
"""
_SPEND = """
UPDATE refresh_token SET spent_at = now()
WHERE digest = $1 AND spent_at IS NULL AND expires_at > now()
RETURNING session_id
"""
_OWNER = """
SELECT a.id, a.email, a.password_hash, a.first_name, a.last_name, a.role, a.is_active, a.email_verified, a.version,
       a.created_at, a.updated_at
FROM session s JOIN account a ON a.id = s.account_id
WHERE s.id = $1 AND s.revoked_at IS NULL AND a.is_active
FOR UPDATE OF s FOR SHARE OF a
"""
_CONTINUE = """
WITH continued AS (UPDATE session SET expires_at = now() + $3::interval WHERE id = $1)
INSERT INTO refresh_token (digest, session_id, expires_at) VALUES ($2, $1, now() + $3::interval)
"""
_REVOKE = """
UPDATE session SET revoked_at = now()
WHERE revoked_at IS NULL AND id = (SELECT session_id FROM refresh_token WHERE digest = $1)
"""
_REVOKE_REUSED = """
WITH reused AS (SELECT session_id FROM refresh_token WHERE digest = $1 AND spent_at IS NOT NULL),
     revoked AS (UPDATE session SET revoked_at = now() FROM reused WHERE id = session_id AND revoked_at IS NULL)
SELECT session_id FROM reused
"""
_PRUNE = """
WITH ended AS (DELETE FROM session WHERE id IN (SELECT id FROM session WHERE expires_at < now() LIMIT $1)),
     old AS (
         DELETE FROM refresh_token
         WHERE digest IN (SELECT digest FROM refresh_token WHERE expires_at < now() LIMIT $1)
         RETURNING true
     )
SELECT count(*) FROM old
"""


async def open_new(
    connection: Connection, session_id: UUID, account_id: UUID, token: bytes, lifetime: timedelta
) -> None:
    """A session with its first refresh token."""
    await connection.execute(_OPEN, session_id, account_id, token, lifetime)


async def spend(connection: Connection, token: bytes) -> UUID:
    """Spends a refresh token, once, whoever else tries; the session it is of. `InvalidRefreshToken` if it cannot be."""
    session_id: UUID | None = await connection.fetchval(_SPEND, token)
    if session_id is None:
        raise InvalidRefreshToken
    return session_id


async def owner(connection: Connection, session_id: UUID) -> Account:
    """The account of a session; neither changes until the commit. `InvalidRefreshToken` if one of them has ended."""
    row = await connection.fetchrow(_OWNER, session_id)
    if row is None:
        raise InvalidRefreshToken
    return account_in(row)


async def go_on(connection: Connection, session_id: UUID, token: bytes, lifetime: timedelta) -> None:
    """The session's next refresh token."""
    await connection.execute(_CONTINUE, session_id, token, lifetime)


async def revoke(connection: Connection, token: bytes) -> None:
    """Ends the session that a token is of, if there is one."""
    await connection.execute(_REVOKE, token)


async def revoke_reused(connection: Connection, token: bytes) -> UUID | None:
    """Ends the session of a token that was spent before, and says which; None when it was not."""
    session_id: UUID | None = await connection.fetchval(_REVOKE_REUSED, token)
    return session_id


async def prune(connection: Connection, most: int) -> int:
    """Forgets tokens and sessions that have expired; how many tokens."""
    found: int = await connection.fetchval(_PRUNE, most)
    return found
