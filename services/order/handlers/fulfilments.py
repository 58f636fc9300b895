"""Parcels of orders: administrators send them, change their tracking, and mark them as delivered.

Units that have not left can be cancelled instead.
"""

from collections.abc import Sequence
from uuid import UUID

from contracts.failure import NotFound
from contracts.order import (
    CancelReason,
    CreateFulfilment,
    Order,
    OrderStatus,
    ShipmentTracking,
    SkuQuantity,
    UpdateFulfilment,
)
from infra.database.postgres import Transaction
from infra.foundation.ids import new_id, now
from infra.messaging.rpc_client import Reply, Request
from services.order.deps import OrderDeps
from services.order.domain import cancellations, events, states
from services.order.domain import fulfilments as domain
from services.order.domain.orders import OrderRecord, require_version
from services.order.store import fulfilments as store
from services.order.store import queries


async def create_fulfilment(deps: OrderDeps, request: Request[CreateFulfilment]) -> Reply[Order]:
    """Sends a parcel of a paid order. The last one makes the order shipped."""
    body = request.body
    async with deps.db.transaction(request) as tx:
        record = await _lock(tx, body.id, request.if_match)
        return _reply(tx, record, await send(tx, record, body.items, body.tracking))


async def update_fulfilment(deps: OrderDeps, request: Request[UpdateFulfilment]) -> Reply[Order]:
    """Changes a parcel. When all parcels of a shipped order are delivered, the order is."""
    body = request.body
    async with deps.db.transaction(request) as tx:
        record = await _lock(tx, await store.find_order(tx.connection, body.id), request.if_match)
        is_delivered = body.status is OrderStatus.DELIVERED
        order = domain.update_fulfilment(record.order, body.id, body.tracking, is_delivered=is_delivered, at=now())
        return _reply(tx, record, await _save(tx, record, order))


async def send(
    tx: Transaction, record: OrderRecord, items: Sequence[SkuQuantity] | None, tracking: ShipmentTracking | None
) -> OrderRecord:
    """Sends a parcel of these units, or of all that have not left. The transaction has locked the order."""
    order = domain.add_fulfilment(record.order, items, tracking, fulfilment_id=new_id(), at=now())
    saved = await store.save_fulfilments(tx.connection, record.order, order)
    tx.publish(events.shipped_event(saved, len(order.fulfilments)))
    return saved


async def deliver_all(tx: Transaction, record: OrderRecord) -> OrderRecord:
    """Marks all parcels of a shipped order as delivered. The transaction has locked the order."""
    return await _save(tx, record, domain.deliver_all(record.order, at=now()))


async def cancel_units(
    tx: Transaction, record: OrderRecord, items: Sequence[SkuQuantity] | None, reason: CancelReason
) -> OrderRecord:
    """Cancels these units of a paid order, or all that have not left, and keeps the others.

    Catalog and payment consume the event and return the stock and the money. The transaction has locked the order.
    """
    order, cancellation = cancellations.cancel_units(
        record.order, items, reason, earlier=len(record.cancellations), cancellation_id=new_id(), at=now()
    )
    saved = await store.save_cancellation(tx.connection, record.order, order, cancellation)
    tx.publish(events.units_cancelled_event(saved, cancellation))
    _publish_delivery(tx, record, saved)
    return saved


async def _lock(tx: Transaction, order_id: UUID, if_match: frozenset[int] | None) -> OrderRecord:
    record = await queries.lock(tx.connection, order_id)
    if record is None:
        raise NotFound
    require_version(record, if_match)
    return record


async def _save(tx: Transaction, record: OrderRecord, order: Order) -> OrderRecord:
    """Stores the parcels of the order unless nothing has changed."""
    if order == record.order:
        return record
    saved = await store.save_fulfilments(tx.connection, record.order, order)
    _publish_delivery(tx, record, saved)
    return saved


def _publish_delivery(tx: Transaction, record: OrderRecord, saved: OrderRecord) -> None:
    """Publishes that the order has arrived, if it just has."""
    if saved.order.status is OrderStatus.DELIVERED and record.order.status is not OrderStatus.DELIVERED:
        tx.publish(*events.transition_events(states.DELIVER, saved))


def _reply(tx: Transaction, record: OrderRecord, changed: OrderRecord) -> Reply[Order]:
    before, after = record.order, changed.order
    tx.audit_changes(
        before={"status": before.status, "fulfilment": before.fulfilment},
        after={"order_id": after.id, "status": after.status, "fulfilment": after.fulfilment},
    )
    return tx.reply(after, version=changed.version)
