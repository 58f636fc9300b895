"""Handlers of the events that order consumes. `workers.saga` describes what each event does.

Captures of a batch are applied together, by `tx.flush()`: before the commit, or before the next event of another kind,
so that the event that arrived first decides.
"""

from contracts.catalog import HoldLost
from contracts.failure import NotFound
from contracts.payment import PaymentCaptured, PaymentFailed, PaymentRefunded
from infra.database.postgres import Transaction
from infra.foundation import trace
from services.order.deps import OrderDeps
from services.order.domain import states
from services.order.store import queries, transitions
from services.order.store.transitions import FindBy
from services.order.workers import invoices, saga


async def payment_captured(deps: OrderDeps, tx: Transaction, event: PaymentCaptured) -> None:
    """Marks the order as paid, together with the other orders whose captures arrive in the same batch."""
    tx.collect(saga.apply_captures, saga.Capture(event.order_id, event.payment_id, trace.current(), deps.invoice_terms))


async def payment_failed(deps: OrderDeps, tx: Transaction, event: PaymentFailed) -> None:
    """Cancels the order if it is still pending and no attempt to pay it is left."""
    await tx.flush()
    if deps.payment_attempts > 1:
        failed = await transitions.add_failed_payment(tx.connection, event.order_id, event.payment_id)
        if failed is not None and failed < deps.payment_attempts:
            return
    await saga.apply_fact(tx, states.DECLINE, event.order_id)


async def payment_refunded(deps: OrderDeps, tx: Transaction, event: PaymentRefunded) -> None:
    """Issues a credit note, and marks the order as refunded when all of the money that paid it went back.

    Money of a payment that did not pay the order was never invoiced.
    """
    await tx.flush()
    record = await queries.lock(tx.connection, event.order_id)
    if record is None:
        raise NotFound(f"There is no order {event.order_id}.")
    if record.order.payment_id not in (None, event.payment_id):
        return
    if event.full:
        await saga.apply_fact(tx, states.REFUND, event.order_id)
    else:
        saga.require_not_early(states.REFUND, event.order_id, record.order.status)
    if record.order.payment_id is not None:
        invoices.issue_credit_note(tx, deps.invoice_terms, event.order_id, event.refund_id, event.amount.amount)


async def hold_lost(_deps: OrderDeps, tx: Transaction, event: HoldLost) -> None:
    """Cancels the order that stood on the lost hold, if there is one."""
    await tx.flush()
    await saga.make_transition(tx, states.HOLD_LOST, event.hold_id, by=FindBy.HOLD)
