"""Deletes what no longer has an effect: expired sessions and tokens, revoked keys, old counters, and successors of
refresh tokens after the grace period.
"""

from infra.messaging.topology import REVOKED_SESSIONS
from services.user.deps import UserDeps
from services.user.domain.second_factor import PENDING_SECONDS
from services.user.store import api_keys, email_tokens, failed_logins, request_counts, second_factors, sessions

BATCH_SIZE = 1000


async def delete_expired(deps: UserDeps) -> bool:
    """Deletes one batch; returns whether there may be more."""
    async with deps.db.connection() as connection:
        await failed_logins.delete_expired(connection, deps.login_throttle.limits.window_seconds)
        await request_counts.delete_expired(connection, deps.request_throttle.limits.window_seconds)
        await email_tokens.delete_expired(connection)
        await api_keys.delete_revoked(connection, REVOKED_SESSIONS.ttl_seconds)
        await second_factors.delete_unconfirmed(connection, PENDING_SECONDS)
        erased = await sessions.erase_successors(connection, deps.refresh_grace_seconds, BATCH_SIZE)
        deleted = await sessions.delete_expired(connection, BATCH_SIZE)
        return BATCH_SIZE in (erased, deleted)
