"""Deletes expired idempotency keys, and the counts of gift card guesses that mean nothing any more."""

from functools import partial

from infra.foundation.background import PeriodicTask
from services.payment.deps import PaymentDeps
from services.payment.store import gift_card_guesses, idempotency_key_reservations

HOUR_SECONDS = 3600.0


def task(deps: PaymentDeps) -> PeriodicTask:
    """Returns the background task, which runs once an hour."""
    return PeriodicTask("prune idempotency keys", partial(prune_idempotency_keys, deps), interval_seconds=HOUR_SECONDS)


async def prune_idempotency_keys(deps: PaymentDeps) -> bool:
    """Deletes the reserved ids whose idempotency keys have expired, and full buckets of guesses."""
    async with deps.db.connection() as connection:
        await idempotency_key_reservations.prune(connection)
        await gift_card_guesses.prune(connection)
    return False
