"""Keys with which machines ask: made by administrators, shown once, known by their digests."""

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
from infra.foundation import pagination as cursor
from infra.foundation.ids import new_id, now
from infra.messaging.rpc import Reply, Request
from services.user.deps import UserDeps
from services.user.domain import accounts as domain
from services.user.store import api_keys

KEY_BYTES = 32


async def make_api_key(desk: UserDeps, ask: Request[MakeApiKey]) -> Reply[NewApiKey]:
    _require_future(ask.body.expires_at)
    key = API_KEY_PREFIX + secrets.token_urlsafe(KEY_BYTES)
    async with desk.db.transaction(ask) as tx:
        await api_keys.require_capacity(tx.connection, ask.user.user_id)
        made = await api_keys.add(tx.connection, new_id(), ask.user.user_id, ask.body, domain.hash_token(key))
        return tx.reply(NewApiKey(**dict(made), key=key))


def _require_future(moment: InputTimestamp | None) -> None:
    if moment is not None and not now() < moment < now() + timedelta(days=MAX_API_KEY_DAYS):
        raise InvalidRequest(errors=[FieldError(pointer="/expires_at", detail="is not within the next ten years")])


async def list_api_keys(desk: UserDeps, ask: Request[PageParams]) -> ListPage[ApiKey]:
    """Everybody's, the newest first."""
    async with desk.db.connection() as connection:
        found = await api_keys.newest(connection, cursor.decode_id_cursor(ask.body.after), ask.body.limit + 1)
    page, following = cursor.paginate(found, ask.body.limit)
    return ListPage(items=page, next=following)


async def revoke_api_key(desk: UserDeps, ask: Request[ApiKeyRef]) -> Reply[Empty]:
    async with desk.db.transaction(ask) as tx:
        await api_keys.revoke(tx.connection, ask.body.id)
        return tx.reply(Empty())


async def find_api_key(desk: UserDeps, ask: Request[FindApiKey]) -> ApiKeyGrant:
    async with desk.db.connection() as connection:
        return await api_keys.find(connection, bytes.fromhex(ask.body.digest), admins_need_totp=desk.admins_need_totp)
