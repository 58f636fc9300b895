"""Forgetting what is of no more use: expired sessions and proofs, revoked keys, and what no longer counts."""

from infra.messaging.topology import ENDED
from services.user.deps import Desk
from services.user.security.totp import PENDING
from services.user.store import api_keys, second_factors, sessions
from services.user.store import email_tokens as proofs
from services.user.store import failed_logins as failures
from services.user.store import request_counts as requests

PIECE = 1000


async def forget(desk: Desk) -> bool:
    """One piece; whether there may be more."""
    async with desk.db.connection() as connection:
        await failures.prune(connection, desk.limits.window)
        await requests.prune(connection, desk.request_limits.window)
        await proofs.prune(connection)
        await api_keys.prune(connection, ENDED.seconds)
        await second_factors.prune(connection, PENDING)
        return await sessions.prune(connection, PIECE) == PIECE
