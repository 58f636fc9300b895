"""Queries about payments: from customers, administrators and the order service."""

from uuid import UUID

from contracts.failure import NotFound
from contracts.model import ListPage
from contracts.payment import ListPayments, PaidOrdersRequest, Payment, PaymentRef
from infra.foundation import pagination
from infra.messaging.rpc_client import Request
from services.payment.deps import PaymentDeps
from services.payment.handlers.order_access import is_own, opens_order, opens_payment
from services.payment.store import payments


async def get(deps: PaymentDeps, request: Request[PaymentRef]) -> Payment:
    """Returns a payment to its customer, to the guest of its order or to an administrator."""
    opened = await opens_payment(deps, request, request.body.id)
    is_admin = request.identity is not None and request.identity.is_admin
    async with deps.db.connection() as connection:
        payment = await payments.find(connection, request.body.id)
    if payment is None or not (opened or is_admin or is_own(payment, request.identity)):
        raise NotFound
    return payment.to_contract()


async def paid(deps: PaymentDeps, request: Request[PaidOrdersRequest]) -> ListPage[Payment]:
    """Returns the payments that have captured the money of these orders, the oldest first."""
    async with deps.db.connection() as connection:
        found = await payments.list_captured(connection, request.body.order_ids)
    return ListPage[Payment](items=[payment.to_contract() for payment in found])


async def list_payments(deps: PaymentDeps, request: Request[ListPayments]) -> ListPage[Payment]:
    """Lists payments, the newest first: a customer's own, those of a guest's order, or all for an administrator."""
    body = request.body
    user_id = await _listed_user(deps, request)
    async with deps.db.connection() as connection:
        found = await payments.list_page(
            connection,
            user_id=user_id,
            order_id=body.order_id,
            before=pagination.decode_id_cursor(body.after),
            limit=body.limit + 1,
        )
    page, next_cursor = pagination.paginate([payment.to_contract() for payment in found], body.limit)
    return ListPage[Payment](items=page, next=next_cursor)


async def _listed_user(deps: PaymentDeps, request: Request[ListPayments]) -> UUID | None:
    """The customer whose payments are listed; None for those of all, or of the order whose token was sent."""
    order_id, identity = request.body.order_id, request.identity
    if identity is not None and identity.is_admin:
        return None
    if order_id is not None and await opens_order(deps, order_id, request.order_token):
        return None
    if identity is None:
        raise NotFound("There is no such order. Name the order in `order_id` and send its token as `Order-Access`.")
    return identity.user_id
