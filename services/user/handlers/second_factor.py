"""Second factors: turned on with a code, off with a code, and by an administrator for somebody who has lost all."""

from contracts.failure import Forbidden, NotFound
from contracts.identity import Identity
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
from infra.messaging.rpc import Reply, Request
from services.user.deps import UserDeps
from services.user.domain import accounts as domain
from services.user.domain.accounts import AccountRecord, ThrottleKey
from services.user.security import totp
from services.user.security.login_throttle import consume_code, refuse_if_throttled, reject_password, verify_code
from services.user.store import accounts, second_factors, sessions
from services.user.store import failed_logins as failures


async def start_totp(desk: UserDeps, ask: Request[StartTotp]) -> Reply[TotpEnrollment]:
    """A secret for an authenticator, in place of an earlier one that nobody confirmed."""
    account, attempt = await _own(desk, ask.user, ask.client_ip)
    if account.totp:
        raise TotpAlreadyOn
    if not await desk.password_hasher.verify(ask.body.password, account.password_hash):
        await reject_password(desk, attempt)
    secret, sealed = desk.totp.new_secret(account.id)
    async with desk.db.transaction(ask) as tx:
        await failures.lock_address(tx.connection, attempt)
        await refuse_if_throttled(tx.connection, desk, attempt)
        if not await accounts.lock_if_unchanged(tx.connection, account):
            raise InvalidCredentials
        await second_factors.save_pending(tx.connection, account.id, sealed)
        return tx.reply(TotpEnrollment(secret=secret, uri=desk.totp.provisioning_uri(secret, account.email)))


async def confirm_totp(desk: UserDeps, ask: Request[ConfirmTotp]) -> Reply[RecoveryCodeList]:
    """Turns it on. The session that asks stays, the others end: they were opened with a password alone."""
    account, attempt = await _own(desk, ask.user, ask.client_ip)
    if account.totp:
        raise TotpAlreadyOn
    proven = await verify_code(desk, account, attempt, ask.body.code)
    async with desk.db.transaction(ask) as tx:
        await sessions.lock_sessions(tx.connection, account.id)
        if not await second_factors.set_enabled(tx.connection, account.id, enabled=True):
            raise TotpAlreadyOn
        await consume_code(tx.connection, account, proven)
        codes = await _new_codes(desk, tx.connection, account)
        await sessions.end_all(tx.connection, account.id, except_session_id=ask.user.session_id)
        tx.audit_changes(account.id, before={"totp": False}, after={"totp": True})
        tx.publish(TotpEnabled(user_id=account.id))
        return tx.reply(codes)


async def renew_recovery_codes(desk: UserDeps, ask: Request[RenewRecoveryCodes]) -> Reply[RecoveryCodeList]:
    """For whoever has the authenticator; one recovery code does not make ten."""
    account, attempt = await _own(desk, ask.user, ask.client_ip)
    if not account.totp:
        raise TotpNotOn
    if totp.parse_code(ask.body.code).is_recovery:
        raise InvalidCode
    proven = await verify_code(desk, account, attempt, ask.body.code)
    async with desk.db.transaction(ask) as tx:
        await consume_code(tx.connection, account, proven)
        tx.audit_changes(account.id)
        return tx.reply(await _new_codes(desk, tx.connection, account))


async def disable_totp(desk: UserDeps, ask: Request[DisableTotp]) -> Reply[Empty]:
    account, attempt = await _own(desk, ask.user, ask.client_ip)
    if not account.totp:
        raise TotpNotOn
    if domain.needs_totp(account, admins_need_totp=desk.admins_need_totp):
        raise TotpRequired
    if not await desk.password_hasher.verify(ask.body.password, account.password_hash):
        await reject_password(desk, attempt)
    proven = await verify_code(desk, account, attempt, ask.body.code)
    async with desk.db.transaction(ask) as tx:
        await sessions.lock_sessions(tx.connection, account.id)
        if not await second_factors.set_enabled(tx.connection, account.id, enabled=False):
            raise TotpNotOn
        await consume_code(tx.connection, account, proven)
        await second_factors.delete(tx.connection, account.id)
        tx.audit_changes(account.id, before={"totp": True}, after={"totp": False})
        tx.publish(TotpDisabled(user_id=account.id))
        return tx.reply(Empty())


async def remove_totp(desk: UserDeps, ask: Request[UserRef]) -> Reply[Empty]:
    """For somebody who has lost authenticator and codes. One's own needs a code, so that a stolen token is not enough.

    Their sessions end; who had none keeps them.
    """
    account_id = ask.body.id
    if account_id == ask.user.user_id:
        raise Forbidden("Turn off your own second factor with a code, or have another administrator do it.")
    async with desk.db.transaction(ask) as tx:
        await sessions.lock_sessions(tx.connection, account_id)
        if await accounts.by_id(tx.connection, account_id) is None:
            raise NotFound
        if await second_factors.set_enabled(tx.connection, account_id, enabled=False):
            await sessions.end_all(tx.connection, account_id)
            tx.audit_changes(before={"totp": True}, after={"totp": False})
            tx.publish(TotpDisabled(user_id=account_id))
        await second_factors.delete(tx.connection, account_id)
        return tx.reply(Empty())


async def _own(desk: UserDeps, who: Identity, client: str) -> tuple[AccountRecord, ThrottleKey]:
    """The account of whoever asks, if there were not too many failures from there."""
    async with desk.db.connection() as connection:
        account = await accounts.by_id(connection, who.user_id)
        if account is None:
            raise NotFound
        attempt = domain.throttle_key(account.email, client, desk.pepper)
        await refuse_if_throttled(connection, desk, attempt)
    return account, attempt


async def _new_codes(desk: UserDeps, connection: Connection, account: AccountRecord) -> RecoveryCodeList:
    codes = totp.new_recovery_codes()
    digests = [desk.totp.recovery_code_digest(account.id, totp.parse_code(code)) for code in codes]
    await second_factors.replace_recovery_codes(connection, account.id, digests)
    return RecoveryCodeList(recovery_codes=codes)
