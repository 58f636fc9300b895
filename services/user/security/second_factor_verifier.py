"""Verification of second-factor codes, with wrong codes counted before they are reported.

A wrong code counts like a wrong password, by account and address. Authenticator codes are short, though, and an
attacker who guesses them knows the password already and may come from many addresses. Wrong ones therefore also count
by account alone, and the next one has to wait: seconds at first, hours later. A recovery code cannot be guessed and
never waits, so the owner gets in at any time.
"""

from dataclasses import dataclass

from pydantic import SecretStr

from contracts.user import InvalidCode, SecondFactorRequired, TooManyAttempts, TotpNotOn
from infra.database.audit_log import ANONYMOUS_ACTOR
from infra.database.postgres import Connection, Database
from services.user.domain.accounts import AccountRecord
from services.user.domain.attempt_limits import ThrottleKey
from services.user.domain.second_factor import (
    WRONG_CODES_BEFORE_WAIT,
    EnteredCode,
    SecondFactor,
    VerifiedCode,
    parse_code,
)
from services.user.security.login_throttle import LoginThrottle
from services.user.security.totp import TotpCodes
from services.user.store import failed_logins, second_factors


@dataclass(frozen=True)
class CodeVerifier:
    """Checks codes against an account's second factor and counts wrong ones."""

    db: Database
    throttle: LoginThrottle
    totp: TotpCodes

    async def verify(self, account: AccountRecord, key: ThrottleKey, code: SecretStr | None) -> VerifiedCode:
        """Returns what a correct code proves; counts a wrong one and raises `InvalidCode`.

        The code is not used up yet: the transaction that has its effect calls `consume`, and of two requests that
        were verified here with the same code, only one passes there.
        """
        async with self.db.transaction() as tx:
            await self.throttle.lock_and_require_allowed(tx.connection, key)
            if code is None:
                raise SecondFactorRequired
            factor = await second_factors.lock(tx.connection, account.id)
            if factor is None or not (account.totp or factor.is_pending):
                raise InvalidCode if account.totp else TotpNotOn
            entered = parse_code(code)
            verified = await self._match(tx.connection, factor, entered)
            if verified is not None:
                return verified
            await failed_logins.add(tx.connection, key)
            if not entered.is_recovery_code:
                await second_factors.count_wrong_code(tx.connection, account.id)
                if factor.wrong_codes + 1 >= WRONG_CODES_BEFORE_WAIT:
                    tx.audit("user.codes_refused", ANONYMOUS_ACTOR, key.address, subject=account.id)
        raise InvalidCode

    async def _match(self, connection: Connection, factor: SecondFactor, entered: EnteredCode) -> VerifiedCode | None:
        if entered.is_recovery_code:
            digest = self.totp.recovery_code_digest(factor.account_id, entered)
            exists = await second_factors.has_recovery_code(connection, factor.account_id, digest)
            return VerifiedCode(factor.secret, recovery_digest=digest) if exists else None
        if factor.retry_after_seconds is not None:
            raise TooManyAttempts(retry_after=factor.retry_after_seconds)
        step = self.totp.matching_step(factor, entered)
        return VerifiedCode(factor.secret, step) if step is not None else None

    async def consume(self, connection: Connection, account: AccountRecord, code: VerifiedCode) -> None:
        """Uses a verified code up; raises `InvalidCode` when a concurrent request used it first."""
        if not await second_factors.consume_code(connection, account.id, code):
            raise InvalidCode
