"""Throttling of requests that send mail or reveal whether an e-mail has an account."""

from dataclasses import dataclass

from contracts.user import TooManyAttempts
from infra.database.postgres import Connection, Database
from services.user.domain.attempt_limits import RequestLimits, ThrottleKey, seconds_until_expired
from services.user.store import request_counts
from services.user.store.request_counts import CountedRequest, RequestCount


@dataclass(frozen=True)
class RequestThrottle:
    """Counts requests by account and client address and refuses further ones beyond the limits."""

    db: Database
    limits: RequestLimits

    async def count_token_mail(self, connection: Connection, key: ThrottleKey) -> bool:
        """Counts a request for a token mail and returns whether the account may get it.

        Beyond an account's limit the request is dropped silently, since an error would reveal that the account exists.
        Beyond an address's limit `TooManyAttempts` is raised.
        """
        await request_counts.lock_address(connection, key)
        count = await request_counts.count(connection, CountedRequest.TOKEN_MAIL, key, self.limits.window_seconds)
        self._require_address_below_limit(count)
        await request_counts.add(connection, CountedRequest.TOKEN_MAIL, key)
        return count.for_account < self.limits.per_account

    async def require_few_taken_emails(self, key: ThrottleKey) -> None:
        """Refuses an address that learned too often that an e-mail has an account: it is probing for e-mails."""
        async with self.db.connection() as connection:
            count = await request_counts.count(connection, CountedRequest.EMAIL_TAKEN, key, self.limits.window_seconds)
        self._require_address_below_limit(count)

    async def count_taken_email(self, key: ThrottleKey) -> None:
        """Counts a registration that was refused because the e-mail has an account."""
        async with self.db.connection() as connection:
            await request_counts.add(connection, CountedRequest.EMAIL_TAKEN, key)

    def _require_address_below_limit(self, count: RequestCount) -> None:
        if count.from_address >= self.limits.per_address:
            seconds = seconds_until_expired(count.oldest_age_seconds, self.limits.window_seconds)
            raise TooManyAttempts(retry_after=seconds)
