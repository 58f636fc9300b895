"""Reading orders: for their customers, for administrators, and for the services that charge and tell."""

from datetime import UTC, datetime

from contracts.failure import Forbidden, NotFound
from contracts.model import Listing, Time
from contracts.order import Guest, GuestOf, ListOrders, Order, OrderOf, Payables, PayablesOf
from infra.foundation import pagination as cursor
from infra.messaging.rpc import Answer, Ask
from services.order.deps import Shop
from services.order.domain.order_numbers import serial_of
from services.order.domain.orders import permit
from services.order.store import queries as store
from services.order.store.queries import Wanted

_FIRST, _LAST = datetime(1970, 1, 2, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)


async def get(shop: Shop, ask: Ask[OrderOf]) -> Answer[Order]:
    async with shop.db.connection() as connection:
        found = permit(await store.find(connection, ask.body.id), ask.who)
    return Answer(found.order, found.version)


async def list_orders(shop: Shop, ask: Ask[ListOrders]) -> Listing[Order]:
    """The newest first: one's own, or for an administrator everybody's."""
    wanted = _wanted(ask)
    if wanted is None:
        return Listing[Order](items=[])
    async with shop.db.connection() as connection:
        found = await store.newest(connection, wanted, ask.body.limit + 1)
    page, following = cursor.page([kept.order for kept in found], ask.body.limit)
    return Listing[Order](items=page, next=following)


def _wanted(ask: Ask[ListOrders]) -> Wanted | None:
    """What the list is to hold; None where a mistyped number names no order."""
    body, who = ask.body, ask.who
    if not who.is_admin and body.user_id not in (None, who.user_id):
        raise Forbidden
    serial = serial_of(body.number) if body.number is not None else None
    if body.number is not None and serial is None:
        return None
    return Wanted(
        user_id=body.user_id if who.is_admin else who.user_id,
        status=body.status,
        serial=serial,
        since=_storable(body.from_),
        until=_storable(body.to),
        after=cursor.id_in(body.after),
    )


def _storable(at: Time | None) -> Time | None:
    """A moment that the store can hold: outside of these there are no orders."""
    return min(max(at, _FIRST), _LAST) if at else None


async def payables(shop: Shop, ask: Ask[PayablesOf]) -> Payables:
    """What payment charges. Orders that do not exist are not in it."""
    async with shop.db.connection() as connection:
        return Payables(items=await store.payables(connection, ask.body.order_ids))


async def guest(shop: Shop, ask: Ask[GuestOf]) -> Guest:
    async with shop.db.connection() as connection:
        found = await store.guest(connection, ask.body.order_id)
    if found is None:
        raise NotFound
    return found
