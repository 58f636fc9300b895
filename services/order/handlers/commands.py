"""What customers and administrators do with an order: pay, cancel, ship, deliver, send elsewhere."""

from uuid import UUID

from contracts import payment
from contracts.failure import NotFound
from contracts.identity import Identity
from contracts.order import Order, OrderOf, OrderStatus, PayOrder, UpdateOrder
from contracts.payment import Charge, ChargeUnder, Payment
from infra.database.postgres import Transaction
from infra.foundation.failpoints import crash_point
from infra.foundation.ids import now
from infra.messaging.rpc import Answer, Ask
from services.order.deps import Shop
from services.order.domain import states
from services.order.domain.orders import Kept, permit, refuse_card, require_version
from services.order.domain.states import Step
from services.order.store import queries as reading
from services.order.store import transitions as moving
from services.order.workers import saga


async def pay(shop: Shop, ask: Ask[PayOrder]) -> Payment:
    """Has payment charge one's own order. Should it be cancelled meanwhile, payment gives the money back."""
    refuse_card(ask.body.payment_method)
    async with shop.db.connection() as connection:
        found = await reading.find(connection, ask.body.id)
    if found is None or found.order.user_id != ask.who.user_id:
        raise NotFound
    charge = Charge(
        order_id=found.order.id,
        user_id=found.order.user_id,
        amount=found.order.total,
        payment_method=ask.body.payment_method,
    )
    key = ask.key.digest.hex() if ask.key else None
    if key is not None and found.order.status is not OrderStatus.PENDING:
        return await _told_before(shop, charge, key, found.order.status)
    states.require_payable(found.order.status)
    charged = await shop.asker.ask(payment.CHARGE, charge, key=key)
    crash_point("order.charge_asked")
    return charged


async def _told_before(shop: Shop, charge: Charge, key: str, status: OrderStatus) -> Payment:
    """What the same request was told whose answer got lost, after which the order has moved on; nothing is charged."""
    try:
        return await shop.asker.ask(payment.CHARGED, ChargeUnder(charge=charge, key=key))
    except NotFound:
        states.require_payable(status)
        raise


async def cancel(shop: Shop, ask: Ask[OrderOf]) -> Answer[Order]:
    """Held stock returns, money goes back: catalog and payment hear of it."""
    async with shop.db.transaction(ask) as tx:
        found = await _locked(tx, ask.body.id, ask.who, ask.if_match)
        own = found.order.user_id == ask.who.user_id
        cancelled = await _take(tx, states.CANCEL_AS_OWNER if own else states.CANCEL_AS_ADMIN, found)
        tx.detail(before={"status": found.order.status}, after={"status": cancelled.order.status})
        tx.afterwards(lambda: crash_point("order.cancelled"))
        return tx.answer(cancelled.order, version=cancelled.version)


async def update(shop: Shop, ask: Ask[UpdateOrder]) -> Answer[Order]:
    """An administrator says that the goods left or arrived, or where they are to go."""
    async with shop.db.transaction(ask) as tx:
        found = await _locked(tx, ask.body.id, ask.who, ask.if_match)
        updated = await _updated(tx, ask.body, found)
        tx.detail(before={"status": found.order.status}, after={"status": updated.order.status})
        tx.afterwards(lambda: crash_point("order.updated"))
        return tx.answer(updated.order, version=updated.version)


async def _updated(tx: Transaction, request: UpdateOrder, found: Kept) -> Kept:
    if request.status is not None:
        return await _take(tx, states.update_to(request.status), found, request)
    assert request.shipping_address is not None, "its contract says so"
    states.require_still_here(found.order.status)
    return await moving.readdress(tx.connection, found.order.id, found.order.status, request.shipping_address, at=now())


async def _locked(tx: Transaction, order_id: UUID, who: Identity, if_match: int | None) -> Kept:
    found = permit(await reading.lock(tx.connection, order_id), who)
    require_version(found, if_match)
    return found


async def _take(tx: Transaction, step: Step, found: Kept, request: UpdateOrder | None = None) -> Kept:
    states.require(step, found.order.status)
    moved = await saga.move(tx, step, found.order.id, tracking=request.tracking if request else None)
    assert moved is not None, "its row is locked"
    return moved
