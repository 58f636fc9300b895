"""Second factors: turned on with a code, off with a code, and by an administrator for somebody who has lost all."""

from contracts.failure import Forbidden, NotFound
from contracts.identity import Identity
from contracts.model import Empty
from contracts.user import (
    ConfirmTotp,
    DisableTotp,
    InvalidCode,
    InvalidCredentials,
    PendingTotp,
    RecoveryCodes,
    RenewRecoveryCodes,
    StartTotp,
    TotpOff,
    TotpOn,
    TotpRequired,
    TotpTurnedOff,
    TotpTurnedOn,
    UserOf,
)
from infra.database.postgres import Connection
from infra.messaging.rpc import Answer, Ask
from services.user.deps import Desk
from services.user.domain import accounts as domain
from services.user.domain.accounts import Account, Attempt
from services.user.security import totp
from services.user.security.login_throttle import fail, judged, refuse_if_too_many, use_up
from services.user.store import accounts, second_factors, sessions
from services.user.store import failed_logins as failures


async def start_totp(desk: Desk, ask: Ask[StartTotp]) -> Answer[PendingTotp]:
    """A secret for an authenticator, in place of an earlier one that nobody confirmed."""
    account, attempt = await _own(desk, ask.who, ask.client)
    if account.totp:
        raise TotpOn
    if not await desk.hasher.matches(ask.body.password, account.password_hash):
        await fail(desk, attempt)
    secret, sealed = desk.authenticators.new(account.id)
    async with desk.db.transaction(ask) as tx:
        await failures.line_up(tx.connection, attempt)
        await refuse_if_too_many(tx.connection, desk, attempt)
        if not await accounts.still_opens(tx.connection, account):
            raise InvalidCredentials
        await second_factors.put(tx.connection, account.id, sealed)
        return tx.answer(PendingTotp(secret=secret, uri=desk.authenticators.uri(secret, account.email)))


async def confirm_totp(desk: Desk, ask: Ask[ConfirmTotp]) -> Answer[RecoveryCodes]:
    """Turns it on. The session that asks stays, the others end: they were opened with a password alone."""
    account, attempt = await _own(desk, ask.who, ask.client)
    if account.totp:
        raise TotpOn
    proven = await judged(desk, account, attempt, ask.body.code)
    async with desk.db.transaction(ask) as tx:
        await sessions.line_up(tx.connection, account.id)
        if not await second_factors.turn(tx.connection, account.id, on=True):
            raise TotpOn
        await use_up(tx.connection, account, proven)
        codes = await _new_codes(desk, tx.connection, account)
        await sessions.end_all(tx.connection, account.id, but=ask.who.session_id)
        tx.detail(account.id, before={"totp": False}, after={"totp": True})
        tx.say(TotpTurnedOn(user_id=account.id))
        return tx.answer(codes)


async def renew_recovery_codes(desk: Desk, ask: Ask[RenewRecoveryCodes]) -> Answer[RecoveryCodes]:
    """For whoever has the authenticator; one recovery code does not make ten."""
    account, attempt = await _own(desk, ask.who, ask.client)
    if not account.totp:
        raise TotpOff
    if totp.read(ask.body.code).is_recovery:
        raise InvalidCode
    proven = await judged(desk, account, attempt, ask.body.code)
    async with desk.db.transaction(ask) as tx:
        await use_up(tx.connection, account, proven)
        tx.detail(account.id)
        return tx.answer(await _new_codes(desk, tx.connection, account))


async def disable_totp(desk: Desk, ask: Ask[DisableTotp]) -> Answer[Empty]:
    account, attempt = await _own(desk, ask.who, ask.client)
    if not account.totp:
        raise TotpOff
    if domain.needs_totp(account, of_admins=desk.admins_need_totp):
        raise TotpRequired
    if not await desk.hasher.matches(ask.body.password, account.password_hash):
        await fail(desk, attempt)
    proven = await judged(desk, account, attempt, ask.body.code)
    async with desk.db.transaction(ask) as tx:
        await sessions.line_up(tx.connection, account.id)
        if not await second_factors.turn(tx.connection, account.id, on=False):
            raise TotpOff
        await use_up(tx.connection, account, proven)
        await second_factors.remove(tx.connection, account.id)
        tx.detail(account.id, before={"totp": True}, after={"totp": False})
        tx.say(TotpTurnedOff(user_id=account.id))
        return tx.answer(Empty())


async def remove_totp(desk: Desk, ask: Ask[UserOf]) -> Answer[Empty]:
    """For somebody who has lost authenticator and codes. One's own needs a code, so that a stolen token is not enough.

    Their sessions end; who had none keeps them.
    """
    account_id = ask.body.id
    if account_id == ask.who.user_id:
        raise Forbidden("Turn off your own second factor with a code, or have another administrator do it.")
    async with desk.db.transaction(ask) as tx:
        await sessions.line_up(tx.connection, account_id)
        if await accounts.by_id(tx.connection, account_id) is None:
            raise NotFound
        if await second_factors.turn(tx.connection, account_id, on=False):
            await sessions.end_all(tx.connection, account_id)
            tx.detail(before={"totp": True}, after={"totp": False})
            tx.say(TotpTurnedOff(user_id=account_id))
        await second_factors.remove(tx.connection, account_id)
        return tx.answer(Empty())


async def _own(desk: Desk, who: Identity, client: str) -> tuple[Account, Attempt]:
    """The account of whoever asks, if there were not too many failures from there."""
    async with desk.db.connection() as connection:
        account = await accounts.by_id(connection, who.user_id)
        if account is None:
            raise NotFound
        attempt = domain.attempt(account.email, client, desk.pepper)
        await refuse_if_too_many(connection, desk, attempt)
    return account, attempt


async def _new_codes(desk: Desk, connection: Connection, account: Account) -> RecoveryCodes:
    codes = totp.recovery_codes()
    digests = [desk.authenticators.digest(account.id, totp.read(code)) for code in codes]
    await second_factors.put_recovery(connection, account.id, digests)
    return RecoveryCodes(recovery_codes=codes)
