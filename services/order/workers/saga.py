"""The saga of an order: whatever is heard in whatever order, it ends, with stock and money where they belong.

An order moves only where `domain.states` lets it, in one statement that locks its row, with its event in the same
transaction. It never moves back, so that an event heard again changes nothing. Who does what:

- order placed: the hold exists and outlasts the order's deadline (`pay_by`). With a payment method, payment hears
  `placed` and charges; otherwise the customer asks for it.
- captured while pending: `paid`. catalog sells the hold. Were the hold gone all the same, catalog says `hold_lost`,
  and the order is cancelled from `paid`.
- captured once cancelled: nothing here. payment hears every `cancelled`, keeps it, and gives back whatever is captured
  for that order before or after; so the cancelled order is right as it is.
- failed while pending: `cancelled`, the stock returns. Failed in any other status: another payment was faster, or the
  order had ended; nothing.
- two payments, the first failed, the second captured: whichever is heard first decides. Paid: the failure passes.
  Cancelled: the second is refunded as above.
- refunded in full: `refunded`, if it is the payment that paid the order. Heard before its own `captured`, it waits for
  that. A cancelled order stays cancelled.
- hold lost: `cancelled` from pending and from paid; a `paid` that payment has captured is refunded as above. Of a hold
  that no order came for: nothing. Once shipped the hold was sold, and the event is an old one.
- nobody paid until `pay_by`: `cancelled`. A capture on its way at that moment is refunded as above.
- cancelled by hand from pending or paid: the same two cases.

catalog hears `cancelled` and returns the hold's stock, or what it had sold of it.
"""

from uuid import UUID

from contracts.failure import NotFound
from contracts.order import ShipmentTracking
from infra.database.postgres import Transaction
from infra.foundation.ids import now
from infra.messaging.consumer import RetryLater
from services.order.domain import events as told
from services.order.domain.orders import OrderRecord
from services.order.domain.states import Decision, Transition, decide
from services.order.store import queries as reading
from services.order.store import transitions as moving
from services.order.store.transitions import FindBy


async def take(
    tx: Transaction,
    transition: Transition,
    key: UUID,
    *,
    by: FindBy = FindBy.ID,
    payment_id: UUID | None = None,
    tracking: ShipmentTracking | None = None,
) -> OrderRecord | None:
    """Takes the step and says so; None, and nothing done, where the order cannot take it."""
    moved = await moving.apply(tx.connection, transition, by, key, at=now(), payment_id=payment_id, tracking=tracking)
    if moved is not None:
        tx.publish(told.transition_event(transition, moved))
    return moved


async def apply_fact(tx: Transaction, fact: Transition, order_id: UUID, *, payment_id: UUID | None = None) -> None:
    """A fact about an order: moves it, passes, or comes again. One about no order at all cannot be."""
    if await take(tx, fact, order_id, payment_id=payment_id):
        return
    status = await reading.status_of(tx.connection, order_id)
    if status is None:
        raise NotFound(f"there is no order {order_id}")
    if decide(fact, status) is Decision.RETRY:
        raise RetryLater(f"order {order_id} is still {status}")


async def take_due(tx: Transaction, transition: Transition, limit: int) -> int:
    """Takes the step with orders whose deadline has passed; how many they were."""
    moved = await moving.apply_due(tx.connection, transition, at=now(), limit=limit)
    tx.publish(*(told.transition_event(transition, kept) for kept in moved))
    return len(moved)
