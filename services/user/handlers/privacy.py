"""What somebody may ask for of their own data: all of it, or that it be gone."""

import asyncio
import secrets

from contracts.failure import NotFound
from contracts.model import Empty
from contracts.privacy import EXPORT, KEEPERS, ExportPerson, HeldPart
from contracts.user import (
    ErasedIn,
    Erasure,
    ErasureOf,
    ErasureStatus,
    Export,
    ExportTooLarge,
    SignedIn,
)
from infra.database.postgres import Connection
from infra.foundation.failpoints import crash_point
from infra.foundation.ids import now
from infra.messaging.rpc import Answer, Ask, Asker
from services.user.deps import TOKEN_BYTES, Desk
from services.user.domain import accounts as domain
from services.user.store import accounts, addresses, administration, api_keys, erasures, sessions
from services.user.store.erasures import Receipt

LARGEST = 1_000_000
"""Bytes: a message takes little more."""
PIECE = 100


async def export(desk: Desk, ask: Ask[Empty]) -> Answer[Export]:
    """Whole, or not at all: a service that does not answer fails it."""
    async with desk.db.connection() as connection:
        account = await accounts.by_id(connection, ask.who.user_id)
        if account is None:
            raise NotFound
        kept = await addresses.page(connection, account.id, None, PIECE)
        signed_in = await _signed_in(connection, ask)
        keys = await api_keys.of(connection, account.id)
    emails = sorted({account.email.lower(), domain.email_key(account.email)}) if account.email_verified else []
    wanted = ExportPerson(user_id=account.id, emails=emails)
    parts = await asyncio.gather(*(_held(desk.asker, service, wanted) for service in KEEPERS))
    held = _joined([part for several in parts for part in several])
    answer = Answer(
        Export(
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
    if len(answer.body) > LARGEST:
        raise ExportTooLarge
    return answer


async def _signed_in(connection: Connection, ask: Ask[Empty]) -> list[SignedIn]:
    who = ask.who
    signed_in: list[SignedIn] = []
    while True:
        before = signed_in[-1].id if signed_in else None
        found = await sessions.living(connection, who.user_id, before=before, most=PIECE, current=who.session_id)
        signed_in += found
        if len(found) < PIECE:
            return signed_in


async def _held(asker: Asker, service: str, wanted: ExportPerson) -> list[HeldPart]:
    """All that a service holds, part by part, but never more than can be answered."""
    parts, size = [await asker.ask(EXPORT[service], wanted)], 0
    while (after := parts[-1].next) is not None:
        size += len(parts[-1].model_dump_json())
        if size > LARGEST:
            raise ExportTooLarge
        parts.append(await asker.ask(EXPORT[service], wanted.model_copy(update={"after": after})))
    return parts


def _joined(parts: list[HeldPart]) -> HeldPart:
    return HeldPart(
        carts=[one for part in parts for one in part.carts],
        orders=[one for part in parts for one in part.orders],
        payments=[one for part in parts for one in part.payments],
        notifications=[one for part in parts for one in part.notifications],
    )


async def erase(desk: Desk, ask: Ask[Empty]) -> Answer[Erasure]:
    """Closes the account for good, and ends its sessions and API keys; the saga does the rest."""
    who, handle = ask.who.user_id, secrets.token_urlsafe(TOKEN_BYTES)
    async with desk.db.transaction(ask) as tx:
        await sessions.line_up(tx.connection, who)
        domain.spare(who, await administration.lock_admins(tx.connection))
        asked_at = await erasures.begin(tx.connection, domain.digest(handle), who, desk.erase_wait)
        if asked_at is None:
            raise NotFound
        await sessions.end_all(tx.connection, who)
        await api_keys.revoke_all(tx.connection, who)
        tx.afterwards(lambda: crash_point("privacy.closed"))
        return tx.answer(_receipt(handle, Receipt({}, asked_at, None)))


async def erasure(desk: Desk, ask: Ask[ErasureOf]) -> Erasure:
    async with desk.db.connection() as connection:
        found = await erasures.receipt(connection, domain.digest(ask.body.id))
    if found is None:
        raise NotFound
    return _receipt(ask.body.id, found)


def _receipt(handle: str, receipt: Receipt) -> Erasure:
    return Erasure(
        id=handle,
        status=ErasureStatus.RUNNING if receipt.done_at is None else ErasureStatus.DONE,
        services=[ErasedIn(service=service, erased_at=at) for service, at in receipt.services.items()],
        asked_at=receipt.asked_at,
        done_at=receipt.done_at,
    )
