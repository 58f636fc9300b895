"""Reading payments: one's own, or any as an administrator."""

from contracts.failure import NotFound
from contracts.model import ListPage
from contracts.payment import ListPayments, PaidOrdersRequest, Payment, PaymentRef
from infra.foundation import pagination as cursor
from infra.messaging.rpc import Request
from services.payment.deps import PaymentDeps
from services.payment.store import payments


async def get(shop: PaymentDeps, ask: Request[PaymentRef]) -> Payment:
    async with shop.db.connection() as connection:
        payment = await payments.find(connection, ask.body.id)
    if payment is None or not (ask.user.is_admin or payment.user_id == ask.user.user_id):
        raise NotFound
    return payment.to_contract()


async def paid(shop: PaymentDeps, ask: Request[PaidOrdersRequest]) -> ListPage[Payment]:
    async with shop.db.connection() as connection:
        found = await payments.list_captured(connection, ask.body.order_ids)
    return ListPage[Payment](items=[payment.to_contract() for payment in found])


async def list_payments(shop: PaymentDeps, ask: Request[ListPayments]) -> ListPage[Payment]:
    """The newest first: ids are sorted by time."""
    body = ask.body
    async with shop.db.connection() as connection:
        found = await payments.list_page(
            connection,
            user_id=None if ask.user.is_admin else ask.user.user_id,
            order_id=body.order_id,
            before=cursor.decode_id_cursor(body.after),
            limit=body.limit + 1,
        )
    page, following = cursor.paginate(found, body.limit)
    return ListPage[Payment](items=[payment.to_contract() for payment in page], next=following)
