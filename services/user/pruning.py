"""Forgetting what is of no more use: expired sessions and proofs, revoked keys, and what no longer counts."""

from infra.streams import ENDED
from services.user.desk import Desk
from services.user.store import api_keys, failures, proofs, requests, second_factors, sessions
from services.user.totp import PENDING

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
