"""Queries about orders: from customers, administrators, and the catalog, payment and notification services."""

from pydantic import SecretStr

from contracts.failure import NotFound
from contracts.model import ListPage
from contracts.order import (
    GuestContact,
    GuestContactRequest,
    ListOrders,
    Order,
    OrderRef,
    PayableList,
    PayablesRequest,
    ProductPurchase,
    PurchaseQuery,
)
from infra.foundation import pagination
from infra.messaging.rpc_client import Reply, Request
from services.order.deps import OrderDeps
from services.order.domain.access import require_access
from services.order.domain.orders import with_all_notes
from services.order.handlers.guest_order_access import caller_of
from services.order.handlers.order_filters import build_filter, find_email
from services.order.store import queries as store


async def get(deps: OrderDeps, request: Request[OrderRef]) -> Reply[Order]:
    """Returns an order to its customer, its guest or an administrator, with its version.

    Administrators get the internal notes too.
    """
    caller = caller_of(deps, request, request.body.id)
    async with deps.db.connection() as connection:
        record = require_access(await store.find(connection, request.body.id), caller)
    is_admin = caller.identity is not None and caller.identity.is_admin
    return Reply(with_all_notes(record) if is_admin else record.order, record.version)


async def list_orders(deps: OrderDeps, request: Request[ListOrders]) -> ListPage[Order]:
    """Lists orders, the newest first: a customer's own ones, or any for an administrator."""
    body, identity = request.body, request.user
    after = pagination.decode_id_cursor(body.after)
    email = await find_email(deps, body, identity)
    async with deps.db.connection() as connection:
        order_filter = await build_filter(connection, body, identity, email=email, after=after)
        if order_filter is None:
            return ListPage[Order](items=[])
        records = await store.list_newest(connection, order_filter, body.limit + 1)
    page, next_cursor = pagination.paginate([record.order for record in records], body.limit)
    return ListPage[Order](items=page, next=next_cursor)


async def payables(deps: OrderDeps, request: Request[PayablesRequest]) -> PayableList:
    """Returns what payment needs to charge these orders, and which of them the guest's token that payment got opens.

    Orders that do not exist are left out.
    """
    token = request.body.access_token or ""
    opened = [order_id for order_id in request.body.order_ids if deps.order_tokens.opens(order_id, token)]
    async with deps.db.connection() as connection:
        return PayableList(items=await store.list_payables(connection, request.body.order_ids, opened))


async def guest(deps: OrderDeps, request: Request[GuestContactRequest]) -> GuestContact:
    """Returns the e-mail and name of an order's guest, for notification, and the order's token if that is asked for."""
    order_id, with_token = request.body.order_id, request.body.with_access_token
    async with deps.db.connection() as connection:
        contact = await store.find_guest(connection, order_id, unclaimed=with_token)
    if contact is None:
        raise NotFound
    token = SecretStr(deps.order_tokens.token_of(order_id)) if with_token else None
    return contact.model_copy(update={"access_token": token})


async def find_purchase(deps: OrderDeps, request: Request[PurchaseQuery]) -> ProductPurchase:
    """Returns the order by which a customer has bought a product, for catalog: only buyers may review it."""
    async with deps.db.connection() as connection:
        return ProductPurchase(
            order_id=await store.find_purchase(connection, request.body.user_id, request.body.product_id)
        )
