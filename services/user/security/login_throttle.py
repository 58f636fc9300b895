"""Failed proofs of who somebody is: refused when there were too many, counted before they are told.

A wrong code counts as a wrong password does, by account and address. Codes are short, though, and whoever guesses them
knows the password already and may come from many addresses: wrong ones count by account alone as well, and the next one
waits, a little at first and then for hours. A recovery code cannot be guessed and never waits, so that its owner gets
in at any time.
"""

from typing import NoReturn

from pydantic import SecretStr

from contracts.user import InvalidCode, InvalidCredentials, SecondFactorRequired, TooManyAttempts, TotpOff
from infra.database.audit_log import BY_ANYONE
from infra.database.postgres import Connection
from infra.foundation.failpoints import crash_point
from services.user.deps import Desk
from services.user.domain import accounts as domain
from services.user.domain.accounts import Account, Attempt, Failure
from services.user.security import totp
from services.user.security.totp import Factor, Proven, Typed
from services.user.store import failed_logins as failures
from services.user.store import second_factors


async def refuse_if_too_many(connection: Connection, desk: Desk, attempt: Attempt) -> list[Failure]:
    """After too many failures not even the right password is listened to. Those that are too few for that."""
    found = await failures.recent(connection, attempt, desk.limits)
    seconds = domain.wait(found, desk.limits)
    if seconds is not None:
        raise TooManyAttempts(retry_after=seconds)
    return found


async def fail(desk: Desk, attempt: Attempt) -> NoReturn:
    """Counts a wrong password."""
    async with desk.db.transaction() as tx:
        await failures.line_up(tx.connection, attempt)
        found = await refuse_if_too_many(tx.connection, desk, attempt)
        await failures.add(tx.connection, attempt)
        if domain.wait([*found, Failure(own=True, age=0)], desk.limits) is not None:
            tx.note("user.logins_refused", BY_ANYONE, attempt.address)
    crash_point("user.failure_noted")
    raise InvalidCredentials


async def judged(desk: Desk, account: Account, attempt: Attempt, code: SecretStr | None) -> Proven:
    """What a code proves. It is not used up yet: that is for the transaction that has its effect, and of two who were
    found right here one may still come too late there. A wrong one is counted, one after another.
    """
    async with desk.db.transaction() as tx:
        await failures.line_up(tx.connection, attempt)
        await refuse_if_too_many(tx.connection, desk, attempt)
        if code is None:
            raise SecondFactorRequired
        factor = await second_factors.lock(tx.connection, account.id)
        if factor is None or not (account.totp or factor.waits):
            raise InvalidCode if account.totp else TotpOff
        typed = totp.read(code)
        proven = await _proven(tx.connection, desk, factor, typed)
        if proven is not None:
            return proven
        await failures.add(tx.connection, attempt)
        if not typed.is_recovery:
            await second_factors.count_wrong(tx.connection, account.id)
            if factor.wrong + 1 >= totp.WRONG_AT_ONCE:
                tx.note("user.codes_refused", BY_ANYONE, attempt.address, subject=account.id)
    raise InvalidCode


async def _proven(connection: Connection, desk: Desk, factor: Factor, typed: Typed) -> Proven | None:
    if typed.is_recovery:
        digest = desk.authenticators.digest(factor.account_id, typed)
        kept = await second_factors.has_recovery(connection, factor.account_id, digest)
        return Proven(factor.secret, recovery=digest) if kept else None
    if factor.wait is not None:
        raise TooManyAttempts(retry_after=factor.wait)
    step = desk.authenticators.step(factor, typed)
    return Proven(factor.secret, step) if step is not None else None


async def use_up(connection: Connection, account: Account, proven: Proven) -> None:
    """Of all who bring one code at once, one goes on from here."""
    if not await second_factors.take(connection, account.id, proven):
        raise InvalidCode
