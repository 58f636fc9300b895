"""What somebody may ask for of their own data: all of it, or that it be gone."""

import asyncio
import secrets

from contracts.failure import NotFound
from contracts.model import Empty
from contracts.privacy import DATA_HOLDERS, EXPORT, ExportUserData, UserDataPart
from contracts.user import (
    DataExport,
    Erasure,
    ErasureRef,
    ErasureStatus,
    ExportTooLarge,
    ServiceErasure,
    UserSession,
)
from infra.database.postgres import Connection
from infra.foundation.failpoints import failpoint
from infra.foundation.ids import now
from infra.messaging.rpc import Reply, Request, RpcClient
from services.user.deps import TOKEN_BYTES, UserDeps
from services.user.domain import accounts as domain
from services.user.store import accounts, addresses, administration, api_keys, erasures, sessions
from services.user.store.erasures import ErasureReceipt

MAX_EXPORT_BYTES = 1_000_000
"""Bytes: a message takes little more."""
PAGE_SIZE = 100


async def export(desk: UserDeps, ask: Request[Empty]) -> Reply[DataExport]:
    """Whole, or not at all: a service that does not answer fails it."""
    async with desk.db.connection() as connection:
        account = await accounts.by_id(connection, ask.user.user_id)
        if account is None:
            raise NotFound
        kept = await addresses.page(connection, account.id, None, PAGE_SIZE)
        signed_in = await _signed_in(connection, ask)
        keys = await api_keys.made_by(connection, account.id)
    emails = sorted({account.email.lower(), domain.normalize_email(account.email)}) if account.email_verified else []
    wanted = ExportUserData(user_id=account.id, emails=emails)
    parts = await asyncio.gather(*(_held(desk.rpc, service, wanted) for service in DATA_HOLDERS))
    held = _joined([part for several in parts for part in several])
    answer = Reply(
        DataExport(
            id=account.id,
            made_at=now(),
            user=account.user,
            addresses=kept,
            sessions=signed_in,
            api_keys=keys,
            carts=held.carts,
            orders=held.orders,
            payments=held.payments,
            notifications=held.notifications,
        )
    )
    if len(answer.body) > MAX_EXPORT_BYTES:
        raise ExportTooLarge
    return answer


async def _signed_in(connection: Connection, ask: Request[Empty]) -> list[UserSession]:
    who = ask.user
    signed_in: list[UserSession] = []
    while True:
        before = signed_in[-1].id if signed_in else None
        found = await sessions.active(connection, who.user_id, before=before, limit=PAGE_SIZE, current=who.session_id)
        signed_in += found
        if len(found) < PAGE_SIZE:
            return signed_in


async def _held(asker: RpcClient, service: str, wanted: ExportUserData) -> list[UserDataPart]:
    """All that a service holds, part by part, but never more than can be answered."""
    parts, size = [await asker.request(EXPORT[service], wanted)], 0
    while (after := parts[-1].next) is not None:
        size += len(parts[-1].model_dump_json())
        if size > MAX_EXPORT_BYTES:
            raise ExportTooLarge
        parts.append(await asker.request(EXPORT[service], wanted.model_copy(update={"after": after})))
    return parts


def _joined(parts: list[UserDataPart]) -> UserDataPart:
    return UserDataPart(
        carts=[one for part in parts for one in part.carts],
        orders=[one for part in parts for one in part.orders],
        payments=[one for part in parts for one in part.payments],
        notifications=[one for part in parts for one in part.notifications],
    )


async def erase(desk: UserDeps, ask: Request[Empty]) -> Reply[Erasure]:
    """Closes the account for good, and ends its sessions and API keys; the saga does the rest."""
    who, handle = ask.user.user_id, secrets.token_urlsafe(TOKEN_BYTES)
    async with desk.db.transaction(ask) as tx:
        await sessions.lock_sessions(tx.connection, who)
        domain.require_other_admin(who, await administration.lock_admins(tx.connection))
        asked_at = await erasures.begin(tx.connection, domain.hash_token(handle), who, desk.erase_delay_seconds)
        if asked_at is None:
            raise NotFound
        await sessions.end_all(tx.connection, who)
        await api_keys.revoke_all(tx.connection, who)
        tx.on_commit(lambda: failpoint("privacy.closed"))
        return tx.reply(_receipt(handle, ErasureReceipt({}, asked_at, None)))


async def get_erasure(desk: UserDeps, ask: Request[ErasureRef]) -> Erasure:
    async with desk.db.connection() as connection:
        found = await erasures.receipt(connection, domain.hash_token(ask.body.id))
    if found is None:
        raise NotFound
    return _receipt(ask.body.id, found)


def _receipt(handle: str, receipt: ErasureReceipt) -> Erasure:
    return Erasure(
        id=handle,
        status=ErasureStatus.RUNNING if receipt.done_at is None else ErasureStatus.DONE,
        services=[ServiceErasure(service=service, erased_at=at) for service, at in receipt.services.items()],
        asked_at=receipt.asked_at,
        done_at=receipt.done_at,
    )
