"""What order does about what it hears, and about what it does not hear in time: see `saga`."""

from contracts.catalog import HoldLost
from contracts.failure import NotFound
from contracts.payment import PaymentCaptured, PaymentFailed, PaymentRefunded
from infra.database.postgres import Transaction
from infra.foundation.failpoints import failpoint
from services.order.deps import OrderDeps
from services.order.domain import states
from services.order.store import queries as reading
from services.order.store.transitions import FindBy
from services.order.workers import saga

BATCH_SIZE = 100


async def payment_captured(_shop: OrderDeps, tx: Transaction, event: PaymentCaptured) -> None:
    await saga.apply_fact(tx, states.CAPTURE, event.order_id, payment_id=event.payment_id)


async def payment_failed(_shop: OrderDeps, tx: Transaction, event: PaymentFailed) -> None:
    await saga.apply_fact(tx, states.DECLINE, event.order_id)


async def payment_refunded(_shop: OrderDeps, tx: Transaction, event: PaymentRefunded) -> None:
    """Only all of the money that paid the order makes it refunded."""
    if not event.full:
        return
    found = await reading.lock(tx.connection, event.order_id)
    if found is None:
        raise NotFound(f"there is no order {event.order_id}")
    if found.order.payment_id in (None, event.payment_id):
        await saga.apply_fact(tx, states.REFUND, event.order_id)


async def hold_lost(_shop: OrderDeps, tx: Transaction, event: HoldLost) -> None:
    await saga.take(tx, states.HOLD_LOST, event.hold_id, by=FindBy.HOLD)


async def expire_unpaid(shop: OrderDeps) -> bool:
    """Ends pending orders whose time has passed; whether there may be more."""
    async with shop.db.transaction() as tx:
        ended = await saga.take_due(tx, states.EXPIRE_UNPAID, BATCH_SIZE)
        if ended:
            tx.on_commit(lambda: failpoint("order.unpaid_ended"))
        return ended == BATCH_SIZE
