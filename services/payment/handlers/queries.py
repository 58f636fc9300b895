"""Queries about payments: from customers, administrators and the order service."""

from contracts.failure import NotFound
from contracts.model import ListPage
from contracts.payment import ListPayments, PaidOrdersRequest, Payment, PaymentRef
from infra.foundation import pagination
from infra.messaging.rpc import Request
from services.payment.deps import PaymentDeps
from services.payment.store import payments


async def get(deps: PaymentDeps, request: Request[PaymentRef]) -> Payment:
    """Returns a payment to its customer or an administrator."""
    async with deps.db.connection() as connection:
        payment = await payments.find(connection, request.body.id)
    if payment is None or not (request.user.is_admin or payment.user_id == request.user.user_id):
        raise NotFound
    return payment.to_contract()


async def paid(deps: PaymentDeps, request: Request[PaidOrdersRequest]) -> ListPage[Payment]:
    """Returns the payments that have captured the money of these orders, the oldest first."""
    async with deps.db.connection() as connection:
        found = await payments.list_captured(connection, request.body.order_ids)
    return ListPage[Payment](items=[payment.to_contract() for payment in found])


async def list_payments(deps: PaymentDeps, request: Request[ListPayments]) -> ListPage[Payment]:
    """Lists payments, the newest first: a customer's own ones, or any for an administrator."""
    body = request.body
    async with deps.db.connection() as connection:
        found = await payments.list_page(
            connection,
            user_id=None if request.user.is_admin else request.user.user_id,
            order_id=body.order_id,
            before=pagination.decode_id_cursor(body.after),
            limit=body.limit + 1,
        )
    page, next_cursor = pagination.paginate([payment.to_contract() for payment in found], body.limit)
    return ListPage[Payment](items=page, next=next_cursor)
