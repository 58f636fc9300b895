"""What asks that wait for a gateway have in common: one thing a key, and an answer once its outcome is known."""

from typing import Any
from uuid import UUID

from contracts.failure import NotFound
from contracts.payment import Payment
from infra.foundation.failpoints import failpoint
from infra.foundation.ids import new_id
from infra.messaging.rpc import Reply, Request
from services.payment.deps import PaymentDeps
from services.payment.domain import payments as domain
from services.payment.store import idempotency_keys as reservations
from services.payment.store import payments


async def reserve_id(shop: PaymentDeps, ask: Request[Any]) -> UUID:
    """The id of what this ask makes: a new one, or the one that its idempotency key has made before.

    The answer is kept under the key only when it waited for the outcome; the id sees to it that there is one effect,
    however often the same key is asked meanwhile.
    """
    if ask.idempotency_key is None:
        return new_id()
    async with shop.db.connection() as connection:
        reserved = await reservations.reserve(connection, ask.idempotency_key, new_id())
    failpoint("payment.reserved")
    return reserved


async def reply_with_payment(shop: PaymentDeps, ask: Request[Any], payment_id: UUID) -> Payment | Reply[Payment]:
    """The payment as it is now; kept under the ask's key, if it has one."""
    if ask.idempotency_key is None:
        async with shop.db.connection() as connection:
            return _told(await payments.find(connection, payment_id))
    async with shop.db.transaction(ask, audited=False) as tx:
        return tx.reply(_told(await payments.find(tx.connection, payment_id)))


async def prune_idempotency_keys(shop: PaymentDeps) -> bool:
    """Forgets reservations whose keys are free again."""
    async with shop.db.connection() as connection:
        await reservations.prune(connection)
    return False


def _told(payment: domain.PaymentRecord | None) -> Payment:
    if payment is None:
        raise NotFound
    return payment.to_contract()
