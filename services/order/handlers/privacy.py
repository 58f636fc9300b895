"""Personal data in orders: exports all of it to the person, and erases it on request.

An order that has not been shipped cannot be delivered once its address is erased. An administrator cancels it, and its
money is refunded. Invoices and credit notes stay as they are: the law has a shop keep them. Who erased their data has
no access to the order any more, and so none to its invoice.
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
from infra.foundation import pagination
from infra.foundation.failpoints import failpoint
from infra.messaging.rpc_client import Request
from services.order.deps import OrderDeps
from services.order.domain.orders import with_all_notes
from services.order.store import invoices
from services.order.store import privacy as store

BATCH_SIZE = 200
PAGE_SIZE = 20
ERASED_ADDRESS = Address(name="erased", line1="erased", city="erased", postal_code="erased", country="ZZ")
"""What replaces an address. The order keeps its own country, on which taxes depend."""


async def guest_orders(deps: OrderDeps, request: Request[GuestOrdersRequest]) -> GuestOrderIds:
    """Returns the ids of orders that guests placed with one of these e-mails."""
    body = request.body
    async with deps.db.connection() as connection:
        order_ids = await store.list_of_guests(connection, body.emails, body.user_id, body.after, BATCH_SIZE)
    return GuestOrderIds(order_ids=order_ids)


async def erase(deps: OrderDeps, request: Request[EraseUserData]) -> EraseProgress:
    """Erases a batch of the person's orders; with the last batch, the replies stored under idempotency keys too.

    The orders come first, so that a reply stored meanwhile holds no personal data.
    """
    user_id, order_ids = request.body.user_id, request.body.order_ids
    async with deps.db.connection() as connection:
        more = await store.erase(connection, user_id, order_ids, ERASED_ADDRESS, BATCH_SIZE)
    failpoint("order.erased")
    if not more:
        await deps.db.forget_replies(user_id, [str(identifier) for identifier in (user_id, *order_ids)])
    return EraseProgress(more=more)


async def export(deps: OrderDeps, request: Request[ExportUserData]) -> UserDataPart:
    """Returns a page of the person's orders with all notes on them, the oldest first, and their invoices."""
    body = request.body
    after = pagination.decode_id_cursor(body.after)
    async with deps.db.connection() as connection:
        records = await store.list_for_export(connection, body.user_id, body.emails, after, PAGE_SIZE + 1)
        orders = [with_all_notes(record, with_authors=False) for record in records]
        page, next_cursor = pagination.paginate(orders, PAGE_SIZE)
        issued = await invoices.list_of_orders(connection, [order.id for order in page])
    return UserDataPart(orders=page, invoices=[invoice.to_contract() for invoice in issued], next=next_cursor)
