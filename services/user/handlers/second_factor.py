"""Second factors: owners switch them on and off with a code, and administrators remove lost ones."""

from contracts.failure import Forbidden, NotFound
from contracts.model import Empty
from contracts.user import (
    ConfirmTotp,
    DisableTotp,
    InvalidCode,
    InvalidCredentials,
    RecoveryCodeList,
    RenewRecoveryCodes,
    StartTotp,
    TotpAlreadyOn,
    TotpDisabled,
    TotpEnabled,
    TotpEnrollment,
    TotpNotOn,
    TotpRequired,
    UserRef,
)
from infra.database.postgres import Connection
from infra.messaging.rpc_client import Reply, Request
from services.user.deps import UserDeps
from services.user.domain.accounts import AccountRecord, needs_totp
from services.user.domain.second_factor import parse_code
from services.user.handlers.reauthentication import load_own_account
from services.user.security.totp import new_recovery_codes
from services.user.store import accounts, second_factors, sessions


async def start_totp(deps: UserDeps, request: Request[StartTotp]) -> Reply[TotpEnrollment]:
    """Returns a new secret for an authenticator app; it replaces an earlier one that was not confirmed."""
    account, key = await load_own_account(deps, request)
    if account.totp:
        raise TotpAlreadyOn
    if not await deps.password_hasher.verify(request.body.password, account.password_hash):
        await deps.login_throttle.reject_password(key)
    secret, sealed = deps.totp.new_secret(account.id)
    async with deps.db.transaction(request) as tx:
        await deps.login_throttle.lock_and_require_allowed(tx.connection, key)
        if not await accounts.lock_if_unchanged(tx.connection, account):
            raise InvalidCredentials
        await second_factors.save_pending(tx.connection, account.id, sealed)
        return tx.reply(TotpEnrollment(secret=secret, uri=deps.totp.provisioning_uri(secret, account.email)))


async def confirm_totp(deps: UserDeps, request: Request[ConfirmTotp]) -> Reply[RecoveryCodeList]:
    """Switches the second factor on. The caller's session stays; the others, opened with a password alone, end."""
    account, key = await load_own_account(deps, request)
    if account.totp:
        raise TotpAlreadyOn
    code = await deps.code_verifier.verify(account, key, request.body.code)
    async with deps.db.transaction(request) as tx:
        await sessions.lock_sessions(tx.connection, account.id)
        if not await second_factors.set_enabled(tx.connection, account.id, enabled=True):
            raise TotpAlreadyOn
        await deps.code_verifier.consume(tx.connection, account, code)
        recovery_codes = await _replace_recovery_codes(deps, tx.connection, account)
        await sessions.end_all(tx.connection, account.id, except_session_id=request.user.session_id)
        tx.audit_changes(account.id, before={"totp": False}, after={"totp": True})
        tx.publish(TotpEnabled(user_id=account.id))
        return tx.reply(recovery_codes)


async def renew_recovery_codes(deps: UserDeps, request: Request[RenewRecoveryCodes]) -> Reply[RecoveryCodeList]:
    """Returns new recovery codes for an authenticator code; a recovery code is refused, or one could buy ten."""
    account, key = await load_own_account(deps, request)
    if not account.totp:
        raise TotpNotOn
    if parse_code(request.body.code).is_recovery_code:
        raise InvalidCode
    code = await deps.code_verifier.verify(account, key, request.body.code)
    async with deps.db.transaction(request) as tx:
        await deps.code_verifier.consume(tx.connection, account, code)
        tx.audit_changes(account.id)
        return tx.reply(await _replace_recovery_codes(deps, tx.connection, account))


async def disable_totp(deps: UserDeps, request: Request[DisableTotp]) -> Reply[Empty]:
    """Switches the caller's second factor off, with password and code, unless the account must have one."""
    account, key = await load_own_account(deps, request)
    if not account.totp:
        raise TotpNotOn
    if needs_totp(account, admins_need_totp=deps.admins_need_totp):
        raise TotpRequired
    if not await deps.password_hasher.verify(request.body.password, account.password_hash):
        await deps.login_throttle.reject_password(key)
    code = await deps.code_verifier.verify(account, key, request.body.code)
    async with deps.db.transaction(request) as tx:
        await sessions.lock_sessions(tx.connection, account.id)
        if not await second_factors.set_enabled(tx.connection, account.id, enabled=False):
            raise TotpNotOn
        await deps.code_verifier.consume(tx.connection, account, code)
        await second_factors.delete(tx.connection, account.id)
        tx.audit_changes(account.id, before={"totp": True}, after={"totp": False})
        tx.publish(TotpDisabled(user_id=account.id))
        return tx.reply(Empty())


async def remove_totp(deps: UserDeps, request: Request[UserRef]) -> Reply[Empty]:
    """Removes the second factor of an owner who lost authenticator and recovery codes, and ends their sessions.

    Administrators cannot remove their own this way, so a stolen access token is not enough. An account without a second
    factor keeps its sessions.
    """
    account_id = request.body.id
    if account_id == request.user.user_id:
        raise Forbidden("Turn off your own second factor with a code, or ask another administrator to remove it.")
    async with deps.db.transaction(request) as tx:
        await sessions.lock_sessions(tx.connection, account_id)
        if await accounts.by_id(tx.connection, account_id) is None:
            raise NotFound
        if await second_factors.set_enabled(tx.connection, account_id, enabled=False):
            await sessions.end_all(tx.connection, account_id)
            tx.audit_changes(before={"totp": True}, after={"totp": False})
            tx.publish(TotpDisabled(user_id=account_id))
        await second_factors.delete(tx.connection, account_id)
        return tx.reply(Empty())


async def _replace_recovery_codes(deps: UserDeps, connection: Connection, account: AccountRecord) -> RecoveryCodeList:
    codes = new_recovery_codes()
    digests = [deps.totp.recovery_code_digest(account.id, parse_code(code)) for code in codes]
    await second_factors.replace_recovery_codes(connection, account.id, digests)
    return RecoveryCodeList(recovery_codes=codes)
