"""What an order tells of somebody: all of it to them, and nothing to anybody once they want it erased.

An order that has not left yet cannot be delivered any more then; an administrator cancels it, and its money goes back.
"""

from contracts.order import Address
from contracts.privacy import (
    EraseProgress,
    EraseUserData,
    ExportUserData,
    GuestOrderIds,
    GuestOrdersRequest,
    UserDataPart,
)
from infra.foundation import pagination as cursor
from infra.foundation.failpoints import failpoint
from infra.messaging.rpc import Request
from services.order.deps import OrderDeps
from services.order.domain.orders import take_fitting
from services.order.store import privacy as store

BATCH_SIZE = 200
PAGE_SIZE = 20
MAX_PAGE_BYTES = 500_000
ERASED_ADDRESS = Address(name="erased", line1="erased", city="erased", postal_code="erased", country="ZZ")
"""What stands for an address. The country is the order's own: taxes are told by it."""


async def guest_orders(shop: OrderDeps, ask: Request[GuestOrdersRequest]) -> GuestOrderIds:
    async with shop.db.connection() as connection:
        return GuestOrderIds(
            order_ids=await store.list_of_guests(connection, ask.body.emails, ask.body.after, BATCH_SIZE)
        )


async def erase(shop: OrderDeps, ask: Request[EraseUserData]) -> EraseProgress:
    """The orders first: an answer that is given meanwhile does not bring back what they told."""
    user_id, order_ids = ask.body.user_id, ask.body.order_ids
    async with shop.db.connection() as connection:
        more = await store.erase(connection, user_id, order_ids, ERASED_ADDRESS, BATCH_SIZE)
    failpoint("order.erased")
    if not more:
        await shop.db.forget_replies(user_id, [str(one) for one in (user_id, *order_ids)])
    return EraseProgress(more=more)


async def export(shop: OrderDeps, ask: Request[ExportUserData]) -> UserDataPart:
    body = ask.body
    after = cursor.decode_id_cursor(body.after)
    async with shop.db.connection() as connection:
        found = await store.list_for_export(connection, body.user_id, body.emails, after, PAGE_SIZE + 1)
    page = take_fitting([kept.order for kept in found[:PAGE_SIZE]], MAX_PAGE_BYTES)
    more = len(found) > len(page)
    return UserDataPart(orders=page, next=cursor.encode_cursor(str(page[-1].id)) if more else None)
