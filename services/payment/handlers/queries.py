"""Reading payments: one's own, or any as an administrator."""

from contracts.failure import NotFound
from contracts.model import Listing
from contracts.payment import ListPayments, Payment, PaymentOf, PaymentsOf
from infra.foundation import pagination as cursor
from infra.messaging.rpc import Ask
from services.payment.deps import Shop
from services.payment.store import payments


async def get(shop: Shop, ask: Ask[PaymentOf]) -> Payment:
    async with shop.db.connection() as connection:
        payment = await payments.find(connection, ask.body.id)
    if payment is None or not (ask.who.is_admin or payment.user_id == ask.who.user_id):
        raise NotFound
    return payment.told()


async def paid(shop: Shop, ask: Ask[PaymentsOf]) -> Listing[Payment]:
    async with shop.db.connection() as connection:
        found = await payments.taken(connection, ask.body.order_ids)
    return Listing[Payment](items=[payment.told() for payment in found])


async def list_payments(shop: Shop, ask: Ask[ListPayments]) -> Listing[Payment]:
    """The newest first: ids are sorted by time."""
    body = ask.body
    async with shop.db.connection() as connection:
        found = await payments.list_page(
            connection,
            user_id=None if ask.who.is_admin else ask.who.user_id,
            order_id=body.order_id,
            before=cursor.id_in(body.after),
            limit=body.limit + 1,
        )
    page, following = cursor.page(found, body.limit)
    return Listing[Payment](items=[payment.told() for payment in page], next=following)
