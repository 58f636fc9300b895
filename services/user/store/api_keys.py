"""SQL of API keys, which are stored as digests only."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from contracts.failure import Forbidden, InvalidToken, NotFound
from contracts.user import MAX_API_KEYS, ApiKey, ApiKeyGrant, MakeApiKey, TooManyApiKeys
from infra.database.postgres import Connection

HIGHEST_ID = UUID(int=2**128 - 1)
LAST_USE_PRECISION_SECONDS = 60.0
"""Seconds between two updates of the time at which a key was last used."""

_COLUMNS = "id, name, scopes, made_by, created_at, expires_at, used_at AS last_used_at"
# The account's row is locked: of two concurrent additions the second counts the first, and a ban that comes after one
# also revokes the new key.
_LOCK_ADMIN = "SELECT id FROM account WHERE id = $1 AND is_active AND role = 'admin' FOR UPDATE"
_COUNT = "SELECT count(*) FROM api_key WHERE made_by = $1 AND revoked_at IS NULL"
_ADD = f"""
INSERT INTO api_key (id, made_by, name, scopes, expires_at, digest) VALUES ($1, $2, $3, $4, $5, $6) RETURNING {_COLUMNS}
"""  # noqa: S608 - our own columns
_LIST = f"""
SELECT {_COLUMNS} FROM api_key WHERE revoked_at IS NULL AND id < $1 ORDER BY id DESC LIMIT $2
"""  # noqa: S608 - as above
_MADE_BY = f"SELECT {_COLUMNS} FROM api_key WHERE made_by = $1 ORDER BY id"  # noqa: S608 - as above
_FIND = """
WITH found AS (
         SELECT k.id, k.scopes, k.expires_at, k.used_at FROM api_key k JOIN account a ON a.id = k.made_by
         WHERE k.digest = $1 AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
               AND a.is_active AND a.role = 'admin' AND (a.totp OR NOT $2)
     ),
     used AS (
         UPDATE api_key SET used_at = now() FROM found
         WHERE api_key.id = found.id
               AND (found.used_at IS NULL OR found.used_at < now() - make_interval(secs => $3))
     )
SELECT id, scopes, expires_at FROM found
"""
_REVOKE = "UPDATE api_key SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL RETURNING id"
_REVOKE_ALL = "UPDATE api_key SET revoked_at = now() WHERE made_by = $1 AND revoked_at IS NULL"
_UNPUBLISHED = """
SELECT id FROM api_key
WHERE revoked_at IS NOT NULL AND told_at IS NULL AND revoked_at > now() - make_interval(secs => $1)
ORDER BY revoked_at LIMIT $2
"""
_MARK_PUBLISHED = "UPDATE api_key SET told_at = now() WHERE id = ANY($1::uuid[])"
_DELETE_REVOKED = "DELETE FROM api_key WHERE revoked_at < now() - make_interval(secs => $1)"


async def require_capacity(connection: Connection, admin_id: UUID) -> None:
    """Locks the account until the commit; raises when it is no administrator's or has no room for another key."""
    if await connection.fetchval(_LOCK_ADMIN, admin_id) is None:
        raise Forbidden
    if await connection.fetchval(_COUNT, admin_id) >= MAX_API_KEYS:
        raise TooManyApiKeys


async def add(connection: Connection, key_id: UUID, admin_id: UUID, request: MakeApiKey, digest: bytes) -> ApiKey:
    """Inserts a key and returns it."""
    row = await connection.fetchrow(_ADD, key_id, admin_id, request.name, request.scopes, request.expires_at, digest)
    assert row is not None, "INSERT ... RETURNING returns the row"
    return _to_contract(row)


async def newest(connection: Connection, before: UUID | None, limit: int) -> list[ApiKey]:
    """Returns up to `limit` keys that are not revoked, newest first, including expired ones."""
    return [_to_contract(row) for row in await connection.fetch(_LIST, before or HIGHEST_ID, limit)]


async def made_by(connection: Connection, admin_id: UUID) -> list[ApiKey]:
    """Returns all stored keys that the administrator made, including revoked ones."""
    return [_to_contract(row) for row in await connection.fetch(_MADE_BY, admin_id)]


async def find(connection: Connection, digest: bytes, *, admins_need_totp: bool) -> ApiKeyGrant:
    """A key that is good, as who made it is an administrator still. Notes that it is in use."""
    row = await connection.fetchrow(_FIND, digest, admins_need_totp, LAST_USE_PRECISION_SECONDS)
    if row is None:
        raise InvalidToken
    return ApiKeyGrant.model_validate(dict(row), strict=False)


async def revoke(connection: Connection, key_id: UUID) -> None:
    """Revokes a key; raises `NotFound` when there is no active one with this id."""
    if await connection.fetchval(_REVOKE, key_id) is None:
        raise NotFound


async def revoke_all(connection: Connection, admin_id: UUID) -> None:
    """Revokes every key that an administrator made, when the account loses the role, is banned or erased."""
    await connection.execute(_REVOKE_ALL, admin_id)


async def unpublished(connection: Connection, seconds: float, limit: int) -> list[UUID]:
    """Returns up to `limit` keys revoked within the last `seconds` that are not yet published to the edges."""
    return [row["id"] for row in await connection.fetch(_UNPUBLISHED, seconds, limit)]


async def mark_published(connection: Connection, key_ids: list[UUID]) -> None:
    """Records that the edges know of these revocations."""
    await connection.execute(_MARK_PUBLISHED, key_ids)


async def delete_revoked(connection: Connection, seconds: float) -> None:
    """Deletes keys that were revoked more than `seconds` ago: no edge caches them any more."""
    await connection.execute(_DELETE_REVOKED, seconds)


def _to_contract(row: Mapping[str, Any]) -> ApiKey:
    return ApiKey.model_validate(dict(row), strict=False)
