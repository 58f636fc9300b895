"""Queries about orders: from customers, administrators, and the catalog, payment and notification services."""

from datetime import UTC, datetime

from contracts.failure import Forbidden, NotFound
from contracts.model import ListPage, Timestamp
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
from services.order.domain.order_numbers import parse_order_number
from services.order.handlers.guest_order_access import caller_of
from services.order.store import queries as store
from services.order.store.queries import OrderFilter

_MIN_TIME, _MAX_TIME = datetime(1970, 1, 2, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)


async def get(deps: OrderDeps, request: Request[OrderRef]) -> Reply[Order]:
    """Returns an order to its customer, its guest or an administrator, with its version."""
    caller = caller_of(deps, request, request.body.id)
    async with deps.db.connection() as connection:
        record = require_access(await store.find(connection, request.body.id), caller)
    return Reply(record.order, record.version)


async def list_orders(deps: OrderDeps, request: Request[ListOrders]) -> ListPage[Order]:
    """Lists orders, the newest first: a customer's own ones, or any for an administrator."""
    order_filter = _order_filter(request)
    if order_filter is None:
        return ListPage[Order](items=[])
    async with deps.db.connection() as connection:
        records = await store.list_newest(connection, order_filter, request.body.limit + 1)
    page, next_cursor = pagination.paginate([record.order for record in records], request.body.limit)
    return ListPage[Order](items=page, next=next_cursor)


def _order_filter(request: Request[ListOrders]) -> OrderFilter | None:
    """The filter of the list; None when the number is mistyped, so that no order can match."""
    body, identity = request.body, request.user
    if not identity.is_admin and body.user_id not in (None, identity.user_id):
        raise Forbidden
    serial = parse_order_number(body.number) if body.number is not None else None
    if body.number is not None and serial is None:
        return None
    return OrderFilter(
        user_id=body.user_id if identity.is_admin else identity.user_id,
        status=body.status,
        serial=serial,
        since=_storable(body.from_),
        until=_storable(body.to),
        after=pagination.decode_id_cursor(body.after),
    )


def _storable(at: Timestamp | None) -> Timestamp | None:
    """The nearest time that the database and the ids can hold. No order lies outside of that range."""
    return min(max(at, _MIN_TIME), _MAX_TIME) if at else None


async def payables(deps: OrderDeps, request: Request[PayablesRequest]) -> PayableList:
    """Returns what payment needs to charge these orders, and which of them the guest's token that payment got opens.

    Orders that do not exist are left out.
    """
    token = request.body.access_token or ""
    opened = [order_id for order_id in request.body.order_ids if deps.order_tokens.opens(order_id, token)]
    async with deps.db.connection() as connection:
        return PayableList(items=await store.list_payables(connection, request.body.order_ids, opened))


async def guest(deps: OrderDeps, request: Request[GuestContactRequest]) -> GuestContact:
    """Returns the e-mail and name of the guest who placed an order, for notification."""
    async with deps.db.connection() as connection:
        contact = await store.find_guest(connection, request.body.order_id)
    if contact is None:
        raise NotFound
    return contact


async def find_purchase(deps: OrderDeps, request: Request[PurchaseQuery]) -> ProductPurchase:
    """Returns the order by which a customer has bought a product, for catalog: only buyers may review it."""
    async with deps.db.connection() as connection:
        return ProductPurchase(
            order_id=await store.find_purchase(connection, request.body.user_id, request.body.product_id)
        )
