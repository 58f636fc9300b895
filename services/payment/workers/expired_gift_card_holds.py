"""Releases holds on gift cards that neither an order nor a payment came for."""

from functools import partial

from infra.foundation.background import PeriodicTask
from services.payment.deps import PaymentDeps
from services.payment.store import gift_card_holds

BATCH_SIZE = 100
INTERVAL_SECONDS = 5.0


def task(deps: PaymentDeps) -> PeriodicTask:
    """Returns the background task."""
    return PeriodicTask("gift card holds", partial(release_expired, deps), interval_seconds=INTERVAL_SECONDS)


async def release_expired(deps: PaymentDeps) -> bool:
    """Releases a batch of holds whose time is over. Returns whether there may be more."""
    async with deps.db.connection() as connection:
        expired = await gift_card_holds.find_expired(connection, BATCH_SIZE)
        if expired:
            await gift_card_holds.release(connection, expired)
    return len(expired) == BATCH_SIZE
