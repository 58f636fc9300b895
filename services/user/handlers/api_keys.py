"""API keys for machines: made by administrators, shown once, recognized by their digests."""

import secrets
from datetime import timedelta

from contracts.failure import FieldError, InvalidRequest
from contracts.model import Empty, InputTimestamp, ListPage, PageParams
from contracts.user import (
    API_KEY_PREFIX,
    MAX_API_KEY_DAYS,
    ApiKey,
    ApiKeyGrant,
    ApiKeyRef,
    FindApiKey,
    MakeApiKey,
    NewApiKey,
)
from infra.foundation.ids import new_id, now
from infra.foundation.pagination import decode_id_cursor, paginate
from infra.messaging.rpc_client import Reply, Request
from services.user.deps import UserDeps
from services.user.domain.tokens import hash_token
from services.user.store import api_keys

KEY_BYTES = 32


async def make_api_key(deps: UserDeps, request: Request[MakeApiKey]) -> Reply[NewApiKey]:
    """Makes a key and returns it; afterwards only its digest is known."""
    _require_expiry_in_range(request.body.expires_at)
    admin_id, key = request.user.user_id, API_KEY_PREFIX + secrets.token_urlsafe(KEY_BYTES)
    async with deps.db.transaction(request) as tx:
        await api_keys.require_capacity(tx.connection, admin_id)
        stored = await api_keys.add(tx.connection, new_id(), admin_id, request.body, hash_token(key))
        return tx.reply(NewApiKey(**dict(stored), key=key))


def _require_expiry_in_range(expires_at: InputTimestamp | None) -> None:
    if expires_at is not None and not now() < expires_at < now() + timedelta(days=MAX_API_KEY_DAYS):
        detail = "must be in the future and within the next ten years"
        raise InvalidRequest(errors=[FieldError(pointer="/expires_at", detail=detail)])


async def list_api_keys(deps: UserDeps, request: Request[PageParams]) -> ListPage[ApiKey]:
    """Returns the keys of all administrators, newest first."""
    body = request.body
    async with deps.db.connection() as connection:
        found = await api_keys.newest(connection, decode_id_cursor(body.after), body.limit + 1)
    page, next_cursor = paginate(found, body.limit)
    return ListPage(items=page, next=next_cursor)


async def revoke_api_key(deps: UserDeps, request: Request[ApiKeyRef]) -> Reply[Empty]:
    """Revokes a key; the edges refuse it from the next request on."""
    async with deps.db.transaction(request) as tx:
        await api_keys.revoke(tx.connection, request.body.id)
        return tx.reply(Empty())


async def find_api_key(deps: UserDeps, request: Request[FindApiKey]) -> ApiKeyGrant:
    """Returns what the key with this digest grants, for the edge."""
    digest = bytes.fromhex(request.body.digest)
    async with deps.db.connection() as connection:
        return await api_keys.find(connection, digest, admins_need_totp=deps.admins_need_totp)
