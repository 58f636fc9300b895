"""Forgetting what is of no more use: expired sessions and proofs, revoked keys, and what no longer counts."""

from infra.messaging.topology import REVOKED_SESSIONS
from services.user.deps import UserDeps
from services.user.security.totp import PENDING_SECONDS
from services.user.store import api_keys, second_factors, sessions
from services.user.store import email_tokens as proofs
from services.user.store import failed_logins as failures
from services.user.store import request_counts as requests

BATCH_SIZE = 1000


async def delete_expired(desk: UserDeps) -> bool:
    """One piece; whether there may be more."""
    async with desk.db.connection() as connection:
        await failures.delete_expired(connection, desk.login_limits.window_seconds)
        await requests.delete_expired(connection, desk.request_limits.window_seconds)
        await proofs.delete_expired(connection)
        await api_keys.delete_revoked(connection, REVOKED_SESSIONS.ttl_seconds)
        await second_factors.delete_unconfirmed(connection, PENDING_SECONDS)
        return await sessions.delete_expired(connection, BATCH_SIZE) == BATCH_SIZE
