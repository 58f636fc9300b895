"""Putting orders right, on an operator's word: what has one right answer, and that once however often it is asked.

What payment has taken is asked for first, outside any transaction; the saga decides what it means. An order whose
history does not lead to its status is left as it is: nobody but a person knows which of the two is right.
"""

import time
from collections.abc import Mapping, Sequence
from uuid import UUID

from contracts import catalog, payment
from contracts.catalog import HoldMismatch, OutOfStock, PlaceHold, RequestedLine, SkuUnknown
from contracts.payment import PaidOrdersRequest, Payment, PaymentStatus
from contracts.repair import RepairedItem, RepairRequest, RepairResult
from infra.database.postgres import Transaction
from infra.messaging.rpc import Request
from services.order.deps import OrderDeps
from services.order.domain import events as told
from services.order.domain import states
from services.order.domain.orders import OrderRecord
from services.order.store import queries as reading
from services.order.store import repair as repairing
from services.order.workers import saga

EXTRA_HOLD_SECONDS = 60
"""Seconds by which a hold that is made here lasts longer than any other, so that it is known again."""


async def repair(shop: OrderDeps, ask: Request[RepairRequest]) -> RepairResult:
    taken = await _taken(shop, ask.body.ids)
    return RepairResult(
        items=[
            RepairedItem(id=order_id, did=await _mend(shop, ask, order_id, taken.get(order_id, ())))
            for order_id in ask.body.ids
        ]
    )


async def _taken(shop: OrderDeps, order_ids: Sequence[UUID]) -> Mapping[UUID, Sequence[Payment]]:
    """The payments that have taken the money of each order, the first one first."""
    found: dict[UUID, list[Payment]] = {}
    for one in (await shop.rpc.request(payment.PAID, PaidOrdersRequest(order_ids=list(order_ids)))).items:
        found.setdefault(one.order_id, []).append(one)
    return found


async def _mend(shop: OrderDeps, ask: Request[RepairRequest], order_id: UUID, taken: Sequence[Payment]) -> list[str]:
    async with shop.db.transaction() as tx:
        tx.audit_action(ask, order_id)
        found = await reading.lock(tx.connection, order_id)
        if found is None:
            return []
        did = await _move_on(tx, found, taken)
        if ask.body.say and not did:
            did = await _say(tx, found)
        waits = await repairing.is_awaiting_payment(tx.connection, order_id)
    return did + (await _hold(shop, found) if waits else [])


async def _hold(shop: OrderDeps, found: OrderRecord) -> list[str]:
    """Stock for an order that still waits to be paid; where there is none any more, its payment will find that out."""
    lines = [RequestedLine(sku=item.sku, quantity=item.quantity) for item in found.order.items]
    seconds = int(shop.pay_within_seconds + shop.hold_margin_seconds) + EXTRA_HOLD_SECONDS
    begun = time.monotonic()
    try:
        hold = await shop.rpc.request(catalog.HOLD, PlaceHold(hold_id=found.hold_id, lines=lines, seconds=seconds))
    except (OutOfStock, SkuUnknown, HoldMismatch):
        return []
    age = seconds - (hold.seconds_left or 0)
    return ["its stock is held anew"] if age <= time.monotonic() - begun else []


async def _move_on(tx: Transaction, found: OrderRecord, taken: Sequence[Payment]) -> list[str]:
    """What it would be had it heard of everything, and of the time that has passed."""
    order_id, did = found.order.id, []
    by = _payment_of(found, taken)
    if by is not None:
        if await saga.take(tx, states.CAPTURE, order_id, payment_id=by.id):
            did.append(f"paid by {by.id}, as payment says")
        if by.status is PaymentStatus.REFUNDED and await saga.take(tx, states.REFUND, order_id):
            did.append("refunded, as payment says")
    elif await repairing.is_overdue(tx.connection, order_id) and await saga.take(tx, states.EXPIRE_UNPAID, order_id):
        did.append("given up: nobody has paid it in time")
    return did


def _payment_of(found: OrderRecord, taken: Sequence[Payment]) -> Payment | None:
    """The payment that has paid the order, or else the one that should have: which has not given the money back."""
    if found.order.payment_id is not None:
        return next((one for one in taken if one.id == found.order.payment_id), None)
    kept = [one for one in taken if one.status is not PaymentStatus.REFUNDED]
    return next(iter([*kept, *taken]), None)


async def _say(tx: Transaction, found: OrderRecord) -> list[str]:
    cart, charge = await repairing.placement_details(tx.connection, found.order.id)
    events = told.past_events(found, cart, charge=charge)
    tx.publish(*events)
    return [f"said again: {event.name}" for event in events]
