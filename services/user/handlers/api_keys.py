"""Keys with which machines ask: made by administrators, shown once, known by their digests."""

import secrets
from datetime import timedelta

from contracts.failure import FieldError, Invalid
from contracts.model import Empty, Instant, Listing, Page
from contracts.user import (
    KEY_PREFIX,
    LONGEST_LIFE,
    ApiKey,
    ApiKeyOf,
    ApiKeyWithDigest,
    KnownApiKey,
    MadeApiKey,
    MakeApiKey,
)
from infra.foundation import pagination as cursor
from infra.foundation.ids import new_id, now
from infra.messaging.rpc import Answer, Ask
from services.user.deps import Desk
from services.user.domain import accounts as domain
from services.user.store import api_keys

KEY_BYTES = 32


async def make_api_key(desk: Desk, ask: Ask[MakeApiKey]) -> Answer[MadeApiKey]:
    _require_future(ask.body.expires_at)
    key = KEY_PREFIX + secrets.token_urlsafe(KEY_BYTES)
    async with desk.db.transaction(ask) as tx:
        await api_keys.require_room(tx.connection, ask.who.user_id)
        made = await api_keys.add(tx.connection, new_id(), ask.who.user_id, ask.body, domain.digest(key))
        return tx.answer(MadeApiKey(**dict(made), key=key))


def _require_future(moment: Instant | None) -> None:
    if moment is not None and not now() < moment < now() + timedelta(days=LONGEST_LIFE):
        raise Invalid(errors=[FieldError(pointer="/expires_at", detail="is not within the next ten years")])


async def list_api_keys(desk: Desk, ask: Ask[Page]) -> Listing[ApiKey]:
    """Everybody's, the newest first."""
    async with desk.db.connection() as connection:
        found = await api_keys.newest(connection, cursor.id_in(ask.body.after), ask.body.limit + 1)
    page, following = cursor.page(found, ask.body.limit)
    return Listing(items=page, next=following)


async def revoke_api_key(desk: Desk, ask: Ask[ApiKeyOf]) -> Answer[Empty]:
    async with desk.db.transaction(ask) as tx:
        await api_keys.revoke(tx.connection, ask.body.id)
        return tx.answer(Empty())


async def find_api_key(desk: Desk, ask: Ask[ApiKeyWithDigest]) -> KnownApiKey:
    async with desk.db.connection() as connection:
        return await api_keys.find(connection, bytes.fromhex(ask.body.digest), admins_need_totp=desk.admins_need_totp)
