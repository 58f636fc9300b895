"""Who may see and pay an order: its customer, administrators, or a guest with the order's token.

Only the order service can tell whether a token is right. It is asked before any transaction, and also for a payment
that does not exist, so that a refusal takes as long as any other.
"""

from typing import Any
from uuid import UUID

from contracts import order
from contracts.failure import NotFound
from contracts.identity import Identity
from contracts.order import Payable, PayablesRequest
from infra.foundation.ids import new_id
from infra.messaging.rpc_client import Request
from services.payment.deps import PaymentDeps
from services.payment.domain.payments import PaymentRecord
from services.payment.store import payments


async def find_payable(deps: PaymentDeps, order_id: UUID, token: str) -> Payable | None:
    """Returns what is to be charged for the order, and whether the token is that of the order."""
    reply = await deps.rpc.request(order.PAYABLES, PayablesRequest(order_ids=[order_id], access_token=token or None))
    return next((one for one in reply.items if one.order_id == order_id), None)


async def opens_order(deps: PaymentDeps, order_id: UUID, token: str) -> bool:
    """Whether the token is that of a guest's order."""
    if not token:
        return False
    payable = await find_payable(deps, order_id, token)
    return payable is not None and payable.open_to_token


async def opens_payment(deps: PaymentDeps, request: Request[Any], payment_id: UUID) -> bool:
    """Whether the caller sent the token of the guest's order that the payment pays.

    Raises `NotFound` for a guest with another token, before anything else is done with the payment.
    """
    opened = False
    if request.order_token:
        async with deps.db.connection() as connection:
            payment = await payments.find(connection, payment_id)
        opened = await opens_order(deps, payment.order_id if payment else new_id(), request.order_token)
    if request.identity is None and not opened:
        raise NotFound
    return opened


def is_own(payment: PaymentRecord, identity: Identity | None) -> bool:
    """Whether the payment is one of this customer. A guest's payment is no one's own."""
    return identity is not None and payment.user_id == identity.user_id
