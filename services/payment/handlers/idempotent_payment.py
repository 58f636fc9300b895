"""What operations that wait for a gateway share: one effect per idempotency key, and a reply with the outcome.

The reply is stored under the key only after the outcome was awaited. Until then the reserved id ensures one effect,
however often the request is repeated.
"""

from typing import Any
from uuid import UUID

from contracts.failure import NotFound
from contracts.payment import Payment
from infra.foundation.failpoints import failpoint
from infra.foundation.ids import new_id
from infra.messaging.rpc_client import Reply, Request
from services.payment.deps import PaymentDeps
from services.payment.domain.payments import PaymentRecord
from services.payment.store import idempotency_key_reservations, payments


async def reserve_id(deps: PaymentDeps, request: Request[Any]) -> UUID:
    """Returns the id of the payment or refund to create: a new one, or the one reserved under the idempotency key."""
    if request.idempotency_key is None:
        return new_id()
    async with deps.db.connection() as connection:
        reserved = await idempotency_key_reservations.reserve(connection, request.idempotency_key, new_id())
    failpoint("payment.reserved")
    return reserved


async def reply_with_payment(deps: PaymentDeps, request: Request[Any], payment_id: UUID) -> Payment | Reply[Payment]:
    """Returns the payment as it is now, and stores the reply under the request's idempotency key, if it has one."""
    if request.idempotency_key is None:
        async with deps.db.connection() as connection:
            return _to_contract(await payments.find(connection, payment_id))
    async with deps.db.transaction(request, audited=False) as tx:
        return tx.reply(_to_contract(await payments.find(tx.connection, payment_id)))


def _to_contract(payment: PaymentRecord | None) -> Payment:
    if payment is None:
        raise NotFound
    return payment.to_contract()
