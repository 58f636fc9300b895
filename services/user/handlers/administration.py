"""What administrators do with other accounts. One administrator who can sign in always remains."""

from uuid import UUID

from contracts.failure import NotFound, PreconditionFailed
from contracts.identity import Role
from contracts.model import ListPage
from contracts.user import ListUsers, UpdateUser, User, UserBanned, UserRef, UserRoleChanged, UserUnbanned
from infra.database.postgres import Connection
from infra.foundation.pagination import decode_id_cursor, paginate
from infra.messaging.rpc_client import Reply, Request
from services.user.deps import UserDeps
from services.user.domain.accounts import AccountRecord, require_other_admin
from services.user.domain.emails import normalize_email
from services.user.store import accounts, administration, api_keys, sessions
from services.user.store.administration import UserFilter


async def list_users(deps: UserDeps, request: Request[ListUsers]) -> ListPage[User]:
    """Returns the accounts that match the filters, newest first."""
    body = request.body
    criteria = UserFilter(
        email=normalize_email(body.email) if body.email else None,
        role=body.role,
        is_active=body.is_active,
        after=decode_id_cursor(body.after),
    )
    async with deps.db.connection() as connection:
        found = await administration.newest(connection, criteria, body.limit + 1)
    page, next_cursor = paginate([account.to_contract() for account in found], body.limit)
    return ListPage(items=page, next=next_cursor)


async def get_user(deps: UserDeps, request: Request[UserRef]) -> Reply[User]:
    """Returns any account."""
    async with deps.db.connection() as connection:
        account = await _require_account(connection, request.body.id)
    return Reply(account.to_contract(), account.version)


async def update_user(deps: UserDeps, request: Request[UpdateUser]) -> Reply[User]:
    """Changes an account's name or role. A change of role ends the account's sessions and API keys."""
    body = request.body
    async with deps.db.transaction(request) as tx:
        await sessions.lock_sessions(tx.connection, body.id)
        admins = await administration.lock_admins(tx.connection)
        before = await _require_account(tx.connection, body.id)
        if body.role is Role.CUSTOMER:
            require_other_admin(body.id, admins)
        account = await administration.change(
            tx.connection,
            body.id,
            first_name=body.first_name,
            last_name=body.last_name,
            role=body.role,
            versions=request.if_match,
        )
        if account is None:
            raise PreconditionFailed
        tx.audit_changes(before={"role": before.role}, after={"role": account.role})
        if account.role is not before.role:
            await sessions.end_all(tx.connection, body.id)
            await api_keys.revoke_all(tx.connection, body.id)
            tx.publish(UserRoleChanged(user_id=body.id, role=account.role))
        return tx.reply(account.to_contract(), version=account.version)


async def ban(deps: UserDeps, request: Request[UserRef]) -> Reply[User]:
    """Closes an account and ends its sessions and API keys; repeating it changes nothing."""
    account_id = request.body.id
    async with deps.db.transaction(request) as tx:
        await sessions.lock_sessions(tx.connection, account_id)
        require_other_admin(account_id, await administration.lock_admins(tx.connection))
        account = await administration.set_active(tx.connection, account_id, active=False)
        if account is not None:
            await sessions.end_all(tx.connection, account_id)
            await api_keys.revoke_all(tx.connection, account_id)
            tx.publish(UserBanned(user_id=account_id))
            tx.audit_changes(before={"is_active": True}, after={"is_active": False})
        account = account or await _require_account(tx.connection, account_id)
        return tx.reply(account.to_contract(), version=account.version)


async def unban(deps: UserDeps, request: Request[UserRef]) -> Reply[User]:
    """Opens a banned account again; repeating it changes nothing."""
    account_id = request.body.id
    async with deps.db.transaction(request) as tx:
        account = await administration.set_active(tx.connection, account_id, active=True)
        if account is not None:
            tx.publish(UserUnbanned(user_id=account_id))
            tx.audit_changes(before={"is_active": False}, after={"is_active": True})
        account = account or await _require_account(tx.connection, account_id)
        return tx.reply(account.to_contract(), version=account.version)


async def _require_account(connection: Connection, account_id: UUID) -> AccountRecord:
    account = await accounts.by_id(connection, account_id)
    if account is None:
        raise NotFound
    return account
