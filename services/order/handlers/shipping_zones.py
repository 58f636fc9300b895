"""Administrators read and edit the shipping zones with their methods."""

from uuid import UUID

from contracts.failure import FieldError, NotFound
from contracts.model import Empty, ListPage, PageParams
from contracts.order import (
    ReplaceShippingZone,
    ShippingPlaceTaken,
    ShippingZone,
    ShippingZoneFields,
    ShippingZoneRef,
)
from infra.database.postgres import Connection
from infra.foundation import pagination
from infra.foundation.ids import new_id
from infra.messaging.rpc_client import Reply, Request
from services.order.deps import OrderDeps
from services.order.domain.shipping import find_taken_place
from services.order.store import pricing_rules
from services.order.store import shipping_zones as store


async def list_shipping_zones(deps: OrderDeps, request: Request[PageParams]) -> ListPage[ShippingZone]:
    """Lists shipping zones, the oldest first."""
    after = pagination.decode_id_cursor(request.body.after)
    async with deps.db.connection() as connection:
        found = await store.list_page(connection, after, request.body.limit + 1)
    page, next_cursor = pagination.paginate(found, request.body.limit)
    return ListPage[ShippingZone](items=page, next=next_cursor)


async def get_shipping_zone(deps: OrderDeps, request: Request[ShippingZoneRef]) -> ShippingZone:
    """Reads a shipping zone."""
    async with deps.db.connection() as connection:
        zone = await store.get(connection, request.body.id)
    if zone is None:
        raise NotFound
    return zone


async def create_shipping_zone(deps: OrderDeps, request: Request[ShippingZoneFields]) -> Reply[ShippingZone]:
    """Creates a shipping zone. With the first one the shop ships to the places of its zones only."""
    async with deps.db.transaction(request) as tx:
        await pricing_rules.begin_change(tx.connection)
        return tx.reply(await _put(tx.connection, new_id(), request.body))


async def replace_shipping_zone(deps: OrderDeps, request: Request[ReplaceShippingZone]) -> Reply[ShippingZone]:
    """Replaces a shipping zone and its methods. Orders that were placed before keep what they pay."""
    async with deps.db.transaction(request) as tx:
        await pricing_rules.begin_change(tx.connection)
        if await store.get(tx.connection, request.body.id) is None:
            raise NotFound
        return tx.reply(await _put(tx.connection, request.body.id, request.body))


async def delete_shipping_zone(deps: OrderDeps, request: Request[ShippingZoneRef]) -> Reply[Empty]:
    """Deletes a shipping zone."""
    async with deps.db.transaction(request) as tx:
        await pricing_rules.begin_change(tx.connection)
        if not await store.delete(tx.connection, request.body.id):
            raise NotFound
        return tx.reply(Empty())


async def _put(connection: Connection, zone_id: UUID, fields: ShippingZoneFields) -> ShippingZone:
    """Stores the zone unless one of its places belongs to another one; the caller has begun a change of the rules."""
    taken = find_taken_place(fields, await store.list_others(connection, zone_id))
    if taken is not None:
        position, name = taken
        detail = f"The zone {name} has this place."
        raise ShippingPlaceTaken(errors=[FieldError(pointer=f"/places/{position}", detail=detail)])
    return await store.put(connection, zone_id, fields)
