"""The saga of an order: events may arrive in any order, and the order still ends with stock and money in place.

An order changes only where `domain.states` allows it, in one statement that locks its row, with its event in the same
transaction. It never moves back, so a redelivered event changes nothing. Which event does what:

- Order placed: the stock hold exists and outlasts the payment deadline (`pay_by`). With a payment method, payment
  consumes `placed` and charges; otherwise the customer asks for the charge.
- Captured while pending: the order becomes `paid` and catalog sells the hold. Should the hold be gone after all,
  catalog publishes `hold_lost`, and the order is cancelled from `paid`.
- Captured after cancellation: nothing happens here. Payment consumes and remembers every `cancelled`, and refunds what
  is captured for that order before or after it. So the cancelled order is already correct.
- Failed while pending: the order becomes `cancelled` and the stock returns, unless the setting `payment_attempts`
  leaves another try: then it stays pending until its deadline. Failed in any other status: another payment was faster,
  or the order had ended. Nothing happens.
- Two payments, the first failed, the second captured: the event that arrives first decides. If the order became `paid`,
  the failure is ignored. If it became `cancelled`, the second payment is refunded as above.
- Refunded in full: the order becomes `refunded` if this payment paid it. A refund that arrives before its own
  `captured` is retried until that has arrived. A cancelled order stays cancelled.
- Hold lost: the order is cancelled from `pending` and from `paid`; a captured payment is refunded as above. For a hold
  without an order nothing happens. Once a parcel of the order has left the hold was sold, and the event is an old one.
- Not paid until `pay_by`: the order is cancelled. A capture that arrives later is refunded as above.
- Cancelled by a person, from `pending` or `paid`: the same as above.
- Units are cancelled that have not left, of a paid order of which others are kept (`domain.cancellations`): catalog and
  payment consume `units_cancelled` and return their stock and their money.
- A parcel leaves: the order stays `paid` until everything has left (`domain.fulfilments`), and each parcel publishes
  `shipped`.

Catalog consumes `cancelled` and returns the held stock, or the stock it had sold. A cancelled order gives back its
use of a coupon in the transaction that cancels it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from contracts.failure import NotFound
from contracts.order import OrderStatus
from infra.database.postgres import Transaction
from infra.foundation import trace
from infra.foundation.ids import now
from infra.messaging.consumer import RetryLater
from services.order.domain import events, states
from services.order.domain.invoices import InvoiceTerms
from services.order.domain.orders import OrderRecord
from services.order.domain.states import Decision, Transition, decide
from services.order.store import coupon_uses, queries, transitions
from services.order.store.transitions import FindBy
from services.order.workers import invoices


async def make_transition(
    tx: Transaction,
    transition: Transition,
    key: UUID,
    *,
    by: FindBy = FindBy.ID,
    payment_id: UUID | None = None,
) -> OrderRecord | None:
    """Makes the transition and publishes its event. Returns None, and does nothing, when the order cannot make it."""
    record = await transitions.apply(tx.connection, transition, by, key, at=now(), payment_id=payment_id)
    if record is not None:
        await settle_coupons(tx, transition.target, [record])
        tx.publish(*events.transition_events(transition, record))
    return record


async def settle_coupons(tx: Transaction, status: OrderStatus, records: Sequence[OrderRecord]) -> bool:
    """Gives back the coupon uses of cancelled orders, and marks those of paid ones. Returns whether that changed any.

    `status` is that of the orders, which the transaction has locked.
    """
    order_ids = [record.order.id for record in records if record.order.coupon is not None]
    if not order_ids or status is OrderStatus.PENDING:
        return False
    if status is OrderStatus.CANCELLED:
        return await coupon_uses.release(tx.connection, order_ids)
    return await coupon_uses.spend(tx.connection, order_ids)


@dataclass(frozen=True, slots=True)
class Capture:
    """A payment of an order that captured its money, in the trace of its event."""

    order_id: UUID
    payment_id: UUID
    trace_context: trace.Trace
    invoice_terms: InvoiceTerms
    """By which the order gets its invoice."""


async def apply_captures(tx: Transaction, captures: Sequence[Capture]) -> None:
    """Marks the orders as paid in one statement. Of two captures of one order the first counts."""
    first: dict[UUID, Capture] = {}
    for capture in captures:
        first.setdefault(capture.order_id, capture)
    payment_ids = {order_id: capture.payment_id for order_id, capture in first.items()}
    records = await transitions.capture(tx.connection, states.CAPTURE, payment_ids, at=now())
    await settle_coupons(tx, states.CAPTURE.target, records)
    invoices.issue_invoices(tx, captures[0].invoice_terms, records)
    for record in records:
        with trace.activate(first.pop(record.order.id).trace_context):
            tx.publish(*events.transition_events(states.CAPTURE, record))
    for order_id in first:
        await _require_decided(tx, states.CAPTURE, order_id)


async def apply_fact(tx: Transaction, fact: Transition, order_id: UUID, *, payment_id: UUID | None = None) -> None:
    """Applies a fact to an order, ignores it, or raises `RetryLater` when it is too early.

    Raises `NotFound` when the order does not exist.
    """
    if not await make_transition(tx, fact, order_id, payment_id=payment_id):
        await _require_decided(tx, fact, order_id)


async def _require_decided(tx: Transaction, fact: Transition, order_id: UUID) -> None:
    """Raises unless the fact can be ignored."""
    status = await queries.status_of(tx.connection, order_id)
    if status is None:
        raise NotFound(f"There is no order {order_id}.")
    require_not_early(fact, order_id, status)


def require_not_early(fact: Transition, order_id: UUID, status: OrderStatus) -> None:
    """Raises `RetryLater` when another event has to arrive before this fact."""
    if decide(fact, status) is Decision.RETRY:
        raise RetryLater(f"order {order_id} is still {status}")


async def make_due_transitions(tx: Transaction, transition: Transition, limit: int) -> int:
    """Makes the transition with orders whose payment deadline has passed. Returns their number."""
    records = await transitions.apply_due(tx.connection, transition, at=now(), limit=limit)
    await settle_coupons(tx, transition.target, records)
    tx.publish(*(event for record in records for event in events.transition_events(transition, record)))
    return len(records)
