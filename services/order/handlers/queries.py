"""Reading orders: for their customers, for administrators, and for the services that charge and tell."""

from datetime import UTC, datetime

from contracts.failure import Forbidden, NotFound
from contracts.model import ListPage, Timestamp
from contracts.order import GuestContact, GuestContactRequest, ListOrders, Order, OrderRef, PayableList, PayablesRequest
from infra.foundation import pagination as cursor
from infra.messaging.rpc import Reply, Request
from services.order.deps import OrderDeps
from services.order.domain.order_numbers import parse_order_number
from services.order.domain.orders import require_access
from services.order.store import queries as store
from services.order.store.queries import OrderFilter

_FIRST, _LAST = datetime(1970, 1, 2, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)


async def get(shop: OrderDeps, ask: Request[OrderRef]) -> Reply[Order]:
    async with shop.db.connection() as connection:
        found = require_access(await store.find(connection, ask.body.id), ask.user)
    return Reply(found.order, found.version)


async def list_orders(shop: OrderDeps, ask: Request[ListOrders]) -> ListPage[Order]:
    """The newest first: one's own, or for an administrator everybody's."""
    wanted = _wanted(ask)
    if wanted is None:
        return ListPage[Order](items=[])
    async with shop.db.connection() as connection:
        found = await store.list_newest(connection, wanted, ask.body.limit + 1)
    page, following = cursor.paginate([kept.order for kept in found], ask.body.limit)
    return ListPage[Order](items=page, next=following)


def _wanted(ask: Request[ListOrders]) -> OrderFilter | None:
    """What the list is to hold; None where a mistyped number names no order."""
    body, who = ask.body, ask.user
    if not who.is_admin and body.user_id not in (None, who.user_id):
        raise Forbidden
    serial = parse_order_number(body.number) if body.number is not None else None
    if body.number is not None and serial is None:
        return None
    return OrderFilter(
        user_id=body.user_id if who.is_admin else who.user_id,
        status=body.status,
        serial=serial,
        since=_storable(body.from_),
        until=_storable(body.to),
        after=cursor.decode_id_cursor(body.after),
    )


def _storable(at: Timestamp | None) -> Timestamp | None:
    """A moment that the store can hold: outside of these there are no orders."""
    return min(max(at, _FIRST), _LAST) if at else None


async def payables(shop: OrderDeps, ask: Request[PayablesRequest]) -> PayableList:
    """What payment charges. Orders that do not exist are not in it."""
    async with shop.db.connection() as connection:
        return PayableList(items=await store.list_payables(connection, ask.body.order_ids))


async def guest(shop: OrderDeps, ask: Request[GuestContactRequest]) -> GuestContact:
    async with shop.db.connection() as connection:
        found = await store.find_guest(connection, ask.body.order_id)
    if found is None:
        raise NotFound
    return found
