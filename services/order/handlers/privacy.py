"""What an order tells of somebody: all of it to them, and nothing to anybody once they want it erased.

An order that has not left yet cannot be delivered any more then; an administrator cancels it, and its money goes back.
"""

from contracts.order import Address
from contracts.privacy import ErasedPart, ErasePerson, ExportPerson, GuestOrders, GuestOrdersOf, HeldPart
from infra.foundation import pagination as cursor
from infra.foundation.failpoints import crash_point
from infra.messaging.rpc import Ask
from services.order.deps import Shop
from services.order.domain.orders import fitting
from services.order.store import privacy as store

PIECE = 200
PAGE = 20
PAGE_BYTES = 500_000
NOWHERE = Address(name="erased", line1="erased", city="erased", postal_code="erased", country="ZZ")
"""What stands for an address. The country is the order's own: taxes are told by it."""


async def guest_orders(shop: Shop, ask: Ask[GuestOrdersOf]) -> GuestOrders:
    async with shop.db.connection() as connection:
        return GuestOrders(order_ids=await store.of_guest(connection, ask.body.emails, ask.body.after, PIECE))


async def erase(shop: Shop, ask: Ask[ErasePerson]) -> ErasedPart:
    """The orders first: an answer that is given meanwhile does not bring back what they told."""
    user_id, order_ids = ask.body.user_id, ask.body.order_ids
    async with shop.db.connection() as connection:
        more = await store.erase(connection, user_id, order_ids, NOWHERE, PIECE)
    crash_point("order.erased")
    if not more:
        await shop.db.forget(user_id, [str(one) for one in (user_id, *order_ids)])
    return ErasedPart(more=more)


async def export(shop: Shop, ask: Ask[ExportPerson]) -> HeldPart:
    body = ask.body
    after = cursor.id_in(body.after)
    async with shop.db.connection() as connection:
        found = await store.held(connection, body.user_id, body.emails, after, PAGE + 1)
    page = fitting([kept.order for kept in found[:PAGE]], PAGE_BYTES)
    more = len(found) > len(page)
    return HeldPart(orders=page, next=cursor.encode(str(page[-1].id)) if more else None)
