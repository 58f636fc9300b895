"""API keys, which are known by their digests alone."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from contracts.failure import Forbidden, InvalidToken, NotFound
from contracts.user import MAX_API_KEYS, ApiKey, ApiKeyGrant, MakeApiKey, TooManyApiKeys
from infra.database.postgres import Connection

LAST_ID = UUID(int=2**128 - 1)
LAST_USE_PRECISION_SECONDS = 60.0
"""Seconds between two notes that a key is in use."""

_COLUMNS = "id, name, scopes, made_by, created_at, expires_at, used_at AS last_used_at"
# The account's row is locked: of two at once the second counts the first, and a ban ends what is made before it.
_MAKER = "SELECT id FROM account WHERE id = $1 AND is_active AND role = 'admin' FOR UPDATE"
_COUNT = "SELECT count(*) FROM api_key WHERE made_by = $1 AND revoked_at IS NULL"
_ADD = f"""
INSERT INTO api_key (id, made_by, name, scopes, expires_at, digest) VALUES ($1, $2, $3, $4, $5, $6) RETURNING {_COLUMNS}
"""  # noqa: S608 - our own columns
_LIST = f"""
SELECT {_COLUMNS} FROM api_key WHERE revoked_at IS NULL AND id < $1 ORDER BY id DESC LIMIT $2
"""  # noqa: S608 - as above
_OF = f"SELECT {_COLUMNS} FROM api_key WHERE made_by = $1 ORDER BY id"  # noqa: S608 - as above
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
_UNTOLD = """
SELECT id FROM api_key
WHERE revoked_at IS NOT NULL AND told_at IS NULL AND revoked_at > now() - make_interval(secs => $1)
ORDER BY revoked_at LIMIT $2
"""
_TOLD = "UPDATE api_key SET told_at = now() WHERE id = ANY($1::uuid[])"
_PRUNE = "DELETE FROM api_key WHERE revoked_at < now() - make_interval(secs => $1)"


async def require_capacity(connection: Connection, admin_id: UUID) -> None:
    """There is such an administrator, who has room for another key; so it stays until the commit."""
    if await connection.fetchval(_MAKER, admin_id) is None:
        raise Forbidden
    if await connection.fetchval(_COUNT, admin_id) >= MAX_API_KEYS:
        raise TooManyApiKeys


async def add(connection: Connection, key_id: UUID, admin_id: UUID, request: MakeApiKey, digest: bytes) -> ApiKey:
    row = await connection.fetchrow(_ADD, key_id, admin_id, request.name, request.scopes, request.expires_at, digest)
    assert row is not None, "what is inserted is returned"
    return _key(row)


async def newest(connection: Connection, before: UUID | None, limit: int) -> list[ApiKey]:
    """Those that are not revoked, also where they have expired."""
    return [_key(row) for row in await connection.fetch(_LIST, before or LAST_ID, limit)]


async def made_by(connection: Connection, admin_id: UUID) -> list[ApiKey]:
    """All that somebody has made and are kept, revoked ones as well."""
    return [_key(row) for row in await connection.fetch(_OF, admin_id)]


async def find(connection: Connection, digest: bytes, *, admins_need_totp: bool) -> ApiKeyGrant:
    """A key that is good, as who made it is an administrator still. Notes that it is in use."""
    row = await connection.fetchrow(_FIND, digest, admins_need_totp, LAST_USE_PRECISION_SECONDS)
    if row is None:
        raise InvalidToken
    return ApiKeyGrant.model_validate(dict(row), strict=False)


async def revoke(connection: Connection, key_id: UUID) -> None:
    if await connection.fetchval(_REVOKE, key_id) is None:
        raise NotFound


async def revoke_all(connection: Connection, admin_id: UUID) -> None:
    """The keys of an administrator who is one no longer."""
    await connection.execute(_REVOKE_ALL, admin_id)


async def unpublished(connection: Connection, seconds: float, limit: int) -> list[UUID]:
    """Keys that ended within so many seconds, and that the edges may not know of."""
    return [row["id"] for row in await connection.fetch(_UNTOLD, seconds, limit)]


async def mark_published(connection: Connection, key_ids: list[UUID]) -> None:
    await connection.execute(_TOLD, key_ids)


async def delete_revoked(connection: Connection, seconds: float) -> None:
    """Forgets keys that ended so long ago that no edge knows them."""
    await connection.execute(_PRUNE, seconds)


def _key(row: Mapping[str, Any]) -> ApiKey:
    return ApiKey.model_validate(dict(row), strict=False)
