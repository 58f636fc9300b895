"""Throttling of logins: a failed attempt is counted before it is reported, and too many are refused.

Failures count by account and client address together, so that a stranger cannot lock an owner out.
"""

from dataclasses import dataclass
from typing import NoReturn

from contracts.user import InvalidCredentials, TooManyAttempts
from infra.database.audit_log import ANONYMOUS_ACTOR
from infra.database.postgres import Connection, Database
from infra.foundation.failpoints import failpoint
from services.user.domain.attempt_limits import FailedLogin, LoginLimits, ThrottleKey, login_wait_seconds
from services.user.store import failed_logins


@dataclass(frozen=True)
class LoginThrottle:
    """Counts failed logins and refuses further ones beyond the limits."""

    db: Database
    limits: LoginLimits

    async def require_allowed(self, connection: Connection, key: ThrottleKey) -> list[FailedLogin]:
        """Returns the recent failures; raises `TooManyAttempts` when a limit is reached, even for a right password."""
        failures = await failed_logins.recent(connection, key, self.limits)
        seconds = login_wait_seconds(failures, self.limits)
        if seconds is not None:
            raise TooManyAttempts(retry_after=seconds)
        return failures

    async def lock_and_require_allowed(self, connection: Connection, key: ThrottleKey) -> list[FailedLogin]:
        """Does the same with the address locked until the commit: concurrent attempts count one after another."""
        await failed_logins.lock_address(connection, key)
        return await self.require_allowed(connection, key)

    async def reject_password(self, key: ThrottleKey) -> NoReturn:
        """Counts a wrong password and raises `InvalidCredentials`, or `TooManyAttempts` beyond the limits."""
        await self.count_wrong_password(key)
        raise InvalidCredentials

    async def count_wrong_password(self, key: ThrottleKey) -> None:
        """Counts a wrong password; raises `TooManyAttempts` beyond the limits."""
        async with self.db.transaction() as tx:
            failures = await self.lock_and_require_allowed(tx.connection, key)
            await failed_logins.add(tx.connection, key)
            failures.append(FailedLogin(same_account=True, age_seconds=0))
            if login_wait_seconds(failures, self.limits) is not None:
                tx.audit("user.logins_refused", ANONYMOUS_ACTOR, key.address)
        failpoint("user.failure_noted")
