"""What asks that wait for a gateway have in common: one thing a key, and an answer once its outcome is known."""

from typing import Any
from uuid import UUID

from contracts.failure import NotFound
from contracts.payment import Payment
from infra.foundation.failpoints import crash_point
from infra.foundation.ids import new_id
from infra.messaging.rpc import Answer, Ask
from services.payment.deps import Shop
from services.payment.domain import payments as domain
from services.payment.store import idempotency_keys as reservations
from services.payment.store import payments


async def id_for(shop: Shop, ask: Ask[Any]) -> UUID:
    """The id of what this ask makes: a new one, or the one that its idempotency key has made before.

    The answer is kept under the key only when it waited for the outcome; the id sees to it that there is one effect,
    however often the same key is asked meanwhile.
    """
    if ask.key is None:
        return new_id()
    async with shop.db.connection() as connection:
        reserved = await reservations.reserve(connection, ask.key, new_id())
    crash_point("payment.reserved")
    return reserved


async def answer(shop: Shop, ask: Ask[Any], payment_id: UUID) -> Payment | Answer[Payment]:
    """The payment as it is now; kept under the ask's key, if it has one."""
    if ask.key is None:
        async with shop.db.connection() as connection:
            return _told(await payments.find(connection, payment_id))
    async with shop.db.transaction(ask, acts=False) as tx:
        return tx.answer(_told(await payments.find(tx.connection, payment_id)))


async def prune(shop: Shop) -> bool:
    """Forgets reservations whose keys are free again."""
    async with shop.db.connection() as connection:
        await reservations.prune(connection)
    return False


def _told(payment: domain.Payment | None) -> Payment:
    if payment is None:
        raise NotFound
    return payment.told()
