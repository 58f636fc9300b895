"""Failed proofs of who somebody is: refused when there were too many, counted before they are told.

A wrong code counts as a wrong password does, by account and address. Codes are short, though, and whoever guesses them
knows the password already and may come from many addresses: wrong ones count by account alone as well, and the next one
waits, a little at first and then for hours. A recovery code cannot be guessed and never waits, so that its owner gets
in at any time.
"""

from typing import NoReturn

from pydantic import SecretStr

from contracts.user import InvalidCode, InvalidCredentials, SecondFactorRequired, TooManyAttempts, TotpNotOn
from infra.database.audit_log import ANONYMOUS_ACTOR
from infra.database.postgres import Connection
from infra.foundation.failpoints import failpoint
from services.user.deps import UserDeps
from services.user.domain import accounts as domain
from services.user.domain.accounts import AccountRecord, FailedLogin, ThrottleKey
from services.user.security import totp
from services.user.security.totp import EnteredCode, SecondFactor, VerifiedCode
from services.user.store import failed_logins as failures
from services.user.store import second_factors


async def refuse_if_throttled(connection: Connection, desk: UserDeps, attempt: ThrottleKey) -> list[FailedLogin]:
    """After too many failures not even the right password is listened to. Those that are too few for that."""
    found = await failures.recent(connection, attempt, desk.login_limits)
    seconds = domain.login_wait_seconds(found, desk.login_limits)
    if seconds is not None:
        raise TooManyAttempts(retry_after=seconds)
    return found


async def reject_password(desk: UserDeps, attempt: ThrottleKey) -> NoReturn:
    """Counts a wrong password."""
    async with desk.db.transaction() as tx:
        await failures.lock_address(tx.connection, attempt)
        found = await refuse_if_throttled(tx.connection, desk, attempt)
        await failures.add(tx.connection, attempt)
        if (
            domain.login_wait_seconds([*found, FailedLogin(same_account=True, age_seconds=0)], desk.login_limits)
            is not None
        ):
            tx.audit("user.logins_refused", ANONYMOUS_ACTOR, attempt.address)
    failpoint("user.failure_noted")
    raise InvalidCredentials


async def verify_code(
    desk: UserDeps, account: AccountRecord, attempt: ThrottleKey, code: SecretStr | None
) -> VerifiedCode:
    """What a code proves. It is not used up yet: that is for the transaction that has its effect, and of two who were
    found right here one may still come too late there. A wrong one is counted, one after another.
    """
    async with desk.db.transaction() as tx:
        await failures.lock_address(tx.connection, attempt)
        await refuse_if_throttled(tx.connection, desk, attempt)
        if code is None:
            raise SecondFactorRequired
        factor = await second_factors.lock(tx.connection, account.id)
        if factor is None or not (account.totp or factor.is_pending):
            raise InvalidCode if account.totp else TotpNotOn
        typed = totp.parse_code(code)
        proven = await _proven(tx.connection, desk, factor, typed)
        if proven is not None:
            return proven
        await failures.add(tx.connection, attempt)
        if not typed.is_recovery:
            await second_factors.count_wrong_code(tx.connection, account.id)
            if factor.wrong + 1 >= totp.WRONG_CODES_BEFORE_WAIT:
                tx.audit("user.codes_refused", ANONYMOUS_ACTOR, attempt.address, subject=account.id)
    raise InvalidCode


async def _proven(
    connection: Connection, desk: UserDeps, factor: SecondFactor, typed: EnteredCode
) -> VerifiedCode | None:
    if typed.is_recovery:
        digest = desk.totp.recovery_code_digest(factor.account_id, typed)
        kept = await second_factors.has_recovery_code(connection, factor.account_id, digest)
        return VerifiedCode(factor.secret, recovery_digest=digest) if kept else None
    if factor.retry_after_seconds is not None:
        raise TooManyAttempts(retry_after=factor.retry_after_seconds)
    step = desk.totp.matching_step(factor, typed)
    return VerifiedCode(factor.secret, step) if step is not None else None


async def consume_code(connection: Connection, account: AccountRecord, proven: VerifiedCode) -> None:
    """Of all who bring one code at once, one goes on from here."""
    if not await second_factors.consume_code(connection, account.id, proven):
        raise InvalidCode
