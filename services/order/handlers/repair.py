"""Repairs orders when an operator asks for it: what has one right answer, once, however often it is requested.

Payment is first asked what it has captured, outside any transaction; the saga decides what that means. An order whose
history does not lead to its status is left alone: only a person can know which of the two is right.
"""

import time
from collections.abc import Mapping, Sequence
from uuid import UUID

from contracts import catalog, payment
from contracts.catalog import HoldMismatch, OutOfStock, PlaceHold, RequestedLine, SkuUnknown
from contracts.payment import PaidOrdersRequest, Payment, PaymentStatus
from contracts.repair import RepairedItem, RepairRequest, RepairResult
from infra.database.postgres import Transaction
from infra.messaging.rpc_client import Request
from services.order.deps import OrderDeps
from services.order.domain import events, states
from services.order.domain.orders import OrderRecord
from services.order.store import queries
from services.order.store import repair as store
from services.order.workers import invoices, saga

EXTRA_HOLD_SECONDS = 60
"""By how much a hold made here outlasts all others, which tells a new hold from one that existed before."""


async def repair(deps: OrderDeps, request: Request[RepairRequest]) -> RepairResult:
    """Repairs the orders with these ids, and reports what was done to each."""
    payments = await _captured_payments(deps, request.body.ids)
    return RepairResult(
        items=[
            RepairedItem(id=order_id, did=await _repair_order(deps, request, order_id, payments.get(order_id, ())))
            for order_id in request.body.ids
        ]
    )


async def _captured_payments(deps: OrderDeps, order_ids: Sequence[UUID]) -> Mapping[UUID, Sequence[Payment]]:
    """The payments that have captured the money of each order, the first one first."""
    by_order: dict[UUID, list[Payment]] = {}
    for captured in (await deps.rpc.request(payment.PAID, PaidOrdersRequest(order_ids=list(order_ids)))).items:
        by_order.setdefault(captured.order_id, []).append(captured)
    return by_order


async def _repair_order(
    deps: OrderDeps, request: Request[RepairRequest], order_id: UUID, payments: Sequence[Payment]
) -> list[str]:
    async with deps.db.transaction() as tx:
        tx.audit_action(request, order_id)
        record = await queries.lock(tx.connection, order_id)
        if record is None:
            return []
        done = await _catch_up(tx, record, payments)
        if not done and await saga.settle_coupons(tx, record.order.status, [record]):
            done.append("coupon brought into line with the order")
        if await invoices.issue_missing_invoice(tx, deps.invoice_terms, order_id):
            done.append("invoice issued")
        if request.body.republish and not done:
            done = await _republish(tx, record)
        awaiting_payment = await store.is_awaiting_payment(tx.connection, order_id)
    return done + (await _renew_hold(deps, record) if awaiting_payment else [])


async def _renew_hold(deps: OrderDeps, record: OrderRecord) -> list[str]:
    """Holds stock again for an order that waits to be paid. Without stock, the order is cancelled once it is paid."""
    lines = [RequestedLine(sku=item.sku, quantity=item.quantity) for item in record.order.items]
    seconds = int(deps.pay_within_seconds + deps.hold_margin_seconds) + EXTRA_HOLD_SECONDS
    began = time.monotonic()
    try:
        hold = await deps.rpc.request(catalog.HOLD, PlaceHold(hold_id=record.hold_id, lines=lines, seconds=seconds))
    except (OutOfStock, SkuUnknown, HoldMismatch):
        return []
    age = seconds - (hold.seconds_left or 0)
    return ["stock held again"] if age <= time.monotonic() - began else []


async def _catch_up(tx: Transaction, record: OrderRecord, payments: Sequence[Payment]) -> list[str]:
    """Brings the order to where all events, and the time that has passed, should have brought it."""
    order_id, done = record.order.id, []
    paid_by = _payment_of(record, payments)
    if paid_by is not None:
        if await saga.make_transition(tx, states.CAPTURE, order_id, payment_id=paid_by.id):
            done.append(f"marked as paid: payment {paid_by.id} was captured")
        if paid_by.status is PaymentStatus.REFUNDED and await saga.make_transition(tx, states.REFUND, order_id):
            done.append(f"marked as refunded: payment {paid_by.id} was refunded")
    elif await store.is_overdue(tx.connection, order_id) and await saga.make_transition(
        tx, states.EXPIRE_UNPAID, order_id
    ):
        done.append("cancelled: not paid before its deadline")
    return done


def _payment_of(record: OrderRecord, payments: Sequence[Payment]) -> Payment | None:
    """The payment that paid the order; else the one that should have: preferably one that was not refunded."""
    if record.order.payment_id is not None:
        return next((candidate for candidate in payments if candidate.id == record.order.payment_id), None)
    not_refunded = [candidate for candidate in payments if candidate.status is not PaymentStatus.REFUNDED]
    return next(iter([*not_refunded, *payments]), None)


async def _republish(tx: Transaction, record: OrderRecord) -> list[str]:
    past = events.past_events(record, charge=await store.was_charged(tx.connection, record.order.id))
    tx.publish(*past)
    return [f"published again: {event.name}" for event in past]
