"""What customers may request about their own data: an export of all of it, or its erasure."""

import asyncio
import secrets

from contracts.email_addresses import guest_order_spellings
from contracts.failure import NotFound
from contracts.model import Empty
from contracts.privacy import DATA_HOLDERS, EXPORT, ExportUserData, UserDataPart
from contracts.user import (
    DataExport,
    EraseAccount,
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
from infra.messaging.rpc_client import Reply, Request, RpcClient
from services.user.deps import UserDeps
from services.user.domain.accounts import require_other_admin
from services.user.domain.tokens import hash_token
from services.user.handlers.reauthentication import load_own_account, lock_reauthenticated, reauthenticate
from services.user.store import accounts, addresses, administration, api_keys, erasures, sessions
from services.user.store.erasures import ErasureReceipt

MAX_EXPORT_BYTES = 1_000_000
"""A reply holds little more (`contracts.size_limits.MAX_REPLY_BYTES`)."""
PAGE_SIZE = 100
ERASURE_ID_BYTES = 32


async def export(deps: UserDeps, request: Request[Empty]) -> Reply[DataExport]:
    """Returns everything stored about the caller; fails when any service cannot answer."""
    async with deps.db.connection() as connection:
        account = await accounts.by_id(connection, request.user.user_id)
        if account is None:
            raise NotFound
        saved_addresses = await addresses.page(connection, account.id, None, PAGE_SIZE)
        active_sessions = await _all_active_sessions(connection, request)
        keys = await api_keys.made_by(connection, account.id)
    emails = guest_order_spellings(account.email) if account.email_verified else []
    query = ExportUserData(user_id=account.id, emails=emails)
    parts = await asyncio.gather(*(_export_from(deps.rpc, service, query) for service in DATA_HOLDERS))
    data = _merge([part for service_parts in parts for part in service_parts])
    reply = Reply(
        DataExport(
            id=account.id,
            made_at=now(),
            user=account.to_contract(),
            addresses=saved_addresses,
            sessions=active_sessions,
            api_keys=keys,
            carts=data.carts,
            orders=data.orders,
            invoices=data.invoices,
            payments=data.payments,
            notifications=data.notifications,
            reviews=data.reviews,
        )
    )
    if len(reply.body) > MAX_EXPORT_BYTES:
        raise ExportTooLarge
    return reply


async def _all_active_sessions(connection: Connection, request: Request[Empty]) -> list[UserSession]:
    user = request.user
    found: list[UserSession] = []
    while True:
        before = found[-1].id if found else None
        page = await sessions.active(connection, user.user_id, before=before, limit=PAGE_SIZE, current=user.session_id)
        found += page
        if len(page) < PAGE_SIZE:
            return found


async def _export_from(rpc: RpcClient, service: str, query: ExportUserData) -> list[UserDataPart]:
    """Requests all parts that a service holds, but stops once they exceed what one reply can hold."""
    parts, size = [await rpc.request(EXPORT[service], query)], 0
    while (after := parts[-1].next) is not None:
        size += len(parts[-1].model_dump_json())
        if size > MAX_EXPORT_BYTES:
            raise ExportTooLarge
        parts.append(await rpc.request(EXPORT[service], query.model_copy(update={"after": after})))
    return parts


def _merge(parts: list[UserDataPart]) -> UserDataPart:
    return UserDataPart(
        carts=[cart for part in parts for cart in part.carts],
        orders=[order for part in parts for order in part.orders],
        invoices=[invoice for part in parts for invoice in part.invoices],
        payments=[payment for part in parts for payment in part.payments],
        notifications=[notification for part in parts for notification in part.notifications],
        reviews=[review for part in parts for review in part.reviews],
    )


async def erase(deps: UserDeps, request: Request[EraseAccount]) -> Reply[Erasure]:
    """Closes the account for good and ends its sessions and API keys; the erasure saga does the rest.

    It takes the password again, and a code where one is set, so that a stolen access token is not enough.
    """
    user_id, erasure_id = request.user.user_id, secrets.token_urlsafe(ERASURE_ID_BYTES)
    account, key = await load_own_account(deps, request)
    code = await reauthenticate(deps, account, key, request.body.password, request.body.code)
    async with deps.db.transaction(request) as tx:
        await deps.login_throttle.lock_and_require_allowed(tx.connection, key)
        await sessions.lock_sessions(tx.connection, user_id)
        require_other_admin(user_id, await administration.lock_admins(tx.connection))
        await lock_reauthenticated(deps, tx.connection, account, code)
        asked_at = await erasures.begin(tx.connection, hash_token(erasure_id), user_id, deps.erase_delay_seconds)
        if asked_at is None:
            raise NotFound
        await sessions.end_all(tx.connection, user_id)
        await api_keys.revoke_all(tx.connection, user_id)
        tx.on_commit(lambda: failpoint("privacy.closed"))
        return tx.reply(_to_contract(erasure_id, ErasureReceipt({}, asked_at, None)))


async def get_erasure(deps: UserDeps, request: Request[ErasureRef]) -> Erasure:
    """Returns the progress of an erasure to a caller who knows its id."""
    async with deps.db.connection() as connection:
        receipt = await erasures.receipt(connection, hash_token(request.body.id))
    if receipt is None:
        raise NotFound
    return _to_contract(request.body.id, receipt)


def _to_contract(erasure_id: str, receipt: ErasureReceipt) -> Erasure:
    return Erasure(
        id=erasure_id,
        status=ErasureStatus.RUNNING if receipt.done_at is None else ErasureStatus.DONE,
        services=[ServiceErasure(service=service, erased_at=at) for service, at in receipt.services.items()],
        asked_at=receipt.asked_at,
        done_at=receipt.done_at,
    )
