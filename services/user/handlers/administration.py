"""What administrators do with other people's accounts. There is always one left who can sign in."""

from uuid import UUID

from contracts.failure import NotFound, PreconditionFailed
from contracts.identity import Role
from contracts.model import ListPage
from contracts.user import ListUsers, UpdateUser, User, UserBanned, UserRef, UserRoleChanged, UserUnbanned
from infra.database.postgres import Connection
from infra.foundation import pagination as cursor
from infra.messaging.rpc import Reply, Request
from services.user.deps import UserDeps
from services.user.domain import accounts as domain
from services.user.domain.accounts import AccountRecord
from services.user.store import accounts, administration, api_keys, sessions
from services.user.store.administration import UserFilter


async def list_users(desk: UserDeps, ask: Request[ListUsers]) -> ListPage[User]:
    """The newest first."""
    body = ask.body
    wanted = UserFilter(
        email=domain.normalize_email(body.email) if body.email else None,
        role=body.role,
        is_active=body.is_active,
        after=cursor.decode_id_cursor(body.after),
    )
    async with desk.db.connection() as connection:
        found = await administration.newest(connection, wanted, body.limit + 1)
    page, following = cursor.paginate(found, body.limit)
    return ListPage(items=[account.user for account in page], next=following)


async def get_user(desk: UserDeps, ask: Request[UserRef]) -> Reply[User]:
    async with desk.db.connection() as connection:
        account = await _known(connection, ask.body.id)
    return Reply(account.user, account.version)


async def update_user(desk: UserDeps, ask: Request[UpdateUser]) -> Reply[User]:
    """Changes a name or a role. Who may do more or less than before signs in anew."""
    body = ask.body
    async with desk.db.transaction(ask) as tx:
        await sessions.lock_sessions(tx.connection, body.id)
        admins = await administration.lock_admins(tx.connection)
        before = await _known(tx.connection, body.id)
        if body.role is Role.CUSTOMER:
            domain.require_other_admin(body.id, admins)
        account = await administration.change(
            tx.connection,
            body.id,
            first_name=body.first_name,
            last_name=body.last_name,
            role=body.role,
            version=ask.if_match,
        )
        if account is None:
            raise PreconditionFailed
        tx.audit_changes(before={"role": before.role}, after={"role": account.role})
        if account.role is not before.role:
            await sessions.end_all(tx.connection, body.id)
            await api_keys.revoke_all(tx.connection, body.id)
            tx.publish(UserRoleChanged(user_id=body.id, role=account.role))
        return tx.reply(account.user, version=account.version)


async def ban(desk: UserDeps, ask: Request[UserRef]) -> Reply[User]:
    """Closes an account, ends its sessions and the API keys that it made; a second time changes nothing."""
    async with desk.db.transaction(ask) as tx:
        await sessions.lock_sessions(tx.connection, ask.body.id)
        domain.require_other_admin(ask.body.id, await administration.lock_admins(tx.connection))
        account = await administration.set_active(tx.connection, ask.body.id, active=False)
        if account is not None:
            await sessions.end_all(tx.connection, ask.body.id)
            await api_keys.revoke_all(tx.connection, ask.body.id)
            tx.publish(UserBanned(user_id=ask.body.id))
            tx.audit_changes(before={"is_active": True}, after={"is_active": False})
        account = account or await _known(tx.connection, ask.body.id)
        return tx.reply(account.user, version=account.version)


async def unban(desk: UserDeps, ask: Request[UserRef]) -> Reply[User]:
    async with desk.db.transaction(ask) as tx:
        account = await administration.set_active(tx.connection, ask.body.id, active=True)
        if account is not None:
            tx.publish(UserUnbanned(user_id=ask.body.id))
            tx.audit_changes(before={"is_active": False}, after={"is_active": True})
        account = account or await _known(tx.connection, ask.body.id)
        return tx.reply(account.user, version=account.version)


async def _known(connection: Connection, account_id: UUID) -> AccountRecord:
    account = await accounts.by_id(connection, account_id)
    if account is None:
        raise NotFound
    return account
