"""What customers and administrators do with an order: pay, cancel, ship, deliver, send elsewhere."""

from uuid import UUID

from contracts import payment
from contracts.failure import NotFound
from contracts.identity import Identity
from contracts.order import Order, OrderRef, OrderStatus, PayOrder, UpdateOrder
from contracts.payment import ChargeLookup, ChargeOrder, Payment
from infra.database.postgres import Transaction
from infra.foundation.failpoints import failpoint
from infra.foundation.ids import now
from infra.messaging.rpc import Reply, Request
from services.order.deps import OrderDeps
from services.order.domain import states
from services.order.domain.orders import OrderRecord, reject_card_number, require_access, require_version
from services.order.domain.states import Transition
from services.order.store import queries as reading
from services.order.store import transitions as moving
from services.order.workers import saga


async def pay(shop: OrderDeps, ask: Request[PayOrder]) -> Payment:
    """Has payment charge one's own order. Should it be cancelled meanwhile, payment gives the money back."""
    reject_card_number(ask.body.payment_method)
    async with shop.db.connection() as connection:
        found = await reading.find(connection, ask.body.id)
    if found is None or found.order.user_id != ask.user.user_id:
        raise NotFound
    charge = ChargeOrder(
        order_id=found.order.id,
        user_id=found.order.user_id,
        amount=found.order.total,
        payment_method=ask.body.payment_method,
    )
    key = ask.idempotency_key.digest.hex() if ask.idempotency_key else None
    if key is not None and found.order.status is not OrderStatus.PENDING:
        return await _told_before(shop, charge, key, found.order.status)
    states.require_payable(found.order.status)
    charged = await shop.rpc.request(payment.CHARGE, charge, idempotency_key=key)
    failpoint("order.charge_asked")
    return charged


async def _told_before(shop: OrderDeps, charge: ChargeOrder, key: str, status: OrderStatus) -> Payment:
    """What the same request was told whose answer got lost, after which the order has moved on; nothing is charged."""
    try:
        return await shop.rpc.request(payment.CHARGED, ChargeLookup(charge=charge, key=key))
    except NotFound:
        states.require_payable(status)
        raise


async def cancel(shop: OrderDeps, ask: Request[OrderRef]) -> Reply[Order]:
    """Held stock returns, money goes back: catalog and payment hear of it."""
    async with shop.db.transaction(ask) as tx:
        found = await _locked(tx, ask.body.id, ask.user, ask.if_match)
        own = found.order.user_id == ask.user.user_id
        cancelled = await _take(tx, states.CANCEL_AS_OWNER if own else states.CANCEL_AS_ADMIN, found)
        tx.audit_changes(before={"status": found.order.status}, after={"status": cancelled.order.status})
        tx.on_commit(lambda: failpoint("order.cancelled"))
        return tx.reply(cancelled.order, version=cancelled.version)


async def update(shop: OrderDeps, ask: Request[UpdateOrder]) -> Reply[Order]:
    """An administrator says that the goods left or arrived, or where they are to go."""
    async with shop.db.transaction(ask) as tx:
        found = await _locked(tx, ask.body.id, ask.user, ask.if_match)
        updated = await _updated(tx, ask.body, found)
        tx.audit_changes(before={"status": found.order.status}, after={"status": updated.order.status})
        tx.on_commit(lambda: failpoint("order.updated"))
        return tx.reply(updated.order, version=updated.version)


async def _updated(tx: Transaction, request: UpdateOrder, found: OrderRecord) -> OrderRecord:
    if request.status is not None:
        return await _take(tx, states.transition_to(request.status), found, request)
    assert request.shipping_address is not None, "its contract says so"
    states.require_address_changeable(found.order.status)
    return await moving.change_address(
        tx.connection, found.order.id, found.order.status, request.shipping_address, at=now()
    )


async def _locked(tx: Transaction, order_id: UUID, who: Identity, if_match: int | None) -> OrderRecord:
    found = require_access(await reading.lock(tx.connection, order_id), who)
    require_version(found, if_match)
    return found


async def _take(
    tx: Transaction, step: Transition, found: OrderRecord, request: UpdateOrder | None = None
) -> OrderRecord:
    states.require_allowed(step, found.order.status)
    moved = await saga.take(tx, step, found.order.id, tracking=request.tracking if request else None)
    assert moved is not None, "its row is locked"
    return moved
