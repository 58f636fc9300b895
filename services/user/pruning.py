"""Forgetting what is of no more use: expired sessions, and failed logins that no longer count."""

from services.user.desk import Desk
from services.user.store import failures, sessions

PIECE = 1000


async def forget(desk: Desk) -> bool:
    """One piece; whether there may be more."""
    async with desk.db.connection() as connection:
        await failures.prune(connection, desk.limits.window)
        return await sessions.prune(connection, PIECE) == PIECE
