"""Commands of customers and administrators: pay, cancel, ship, deliver, change the address."""

from uuid import UUID

from contracts import payment
from contracts.failure import NotFound
from contracts.order import CancelOrder, Order, OrderStatus, PayOrder, UpdateOrder
from contracts.payment import ChargeLookup, ChargeOrder, Payment
from infra.database.postgres import Transaction
from infra.foundation.failpoints import failpoint
from infra.foundation.ids import now
from infra.messaging.rpc_client import Reply, Request
from services.order.deps import OrderDeps
from services.order.domain import states
from services.order.domain.access import OrderCaller, is_owner, require_access, require_owner
from services.order.domain.cancellations import is_whole
from services.order.domain.gift_cards import gift_card_part
from services.order.domain.orders import OrderRecord, reject_card_number, require_version
from services.order.handlers import fulfilments
from services.order.handlers.guest_order_access import caller_of
from services.order.store import queries, transitions
from services.order.workers import saga


async def pay(deps: OrderDeps, request: Request[PayOrder]) -> Payment:
    """Asks payment to charge the caller's own order. If the order is cancelled meanwhile, payment refunds it."""
    reject_card_number(request.body.payment_method)
    caller = caller_of(deps, request, request.body.id)
    async with deps.db.connection() as connection:
        record = require_owner(await queries.find(connection, request.body.id), caller)
    charge = ChargeOrder(
        order_id=record.order.id,
        user_id=record.order.user_id,
        amount=record.order.total,
        payment_method=request.body.payment_method,
        gift_cards=gift_card_part(record.order, record.gift_card_hold_id),
    )
    key = request.idempotency_key.digest.hex() if request.idempotency_key else None
    if key is not None and record.order.status is not OrderStatus.PENDING:
        return await _earlier_reply(deps, charge, key, record.order.status)
    states.require_payable(record.order.status)
    charged = await deps.rpc.request(payment.CHARGE, charge, idempotency_key=key)
    failpoint("order.charge_requested")
    return charged


async def _earlier_reply(deps: OrderDeps, charge: ChargeOrder, key: str, status: OrderStatus) -> Payment:
    """Returns payment's reply to the same request, when that reply was lost and the order has changed since.

    Nothing is charged.
    """
    try:
        return await deps.rpc.request(payment.CHARGED, ChargeLookup(charge=charge, key=key))
    except NotFound:
        states.require_payable(status)
        raise


async def cancel(deps: OrderDeps, request: Request[CancelOrder]) -> Reply[Order]:
    """Cancels units of an order, or all that has not left.

    Catalog and payment consume the event and return the stock and the money.
    """
    order_id, items = request.body.id, request.body.items
    caller = caller_of(deps, request, order_id)
    async with deps.db.transaction(request) as tx:
        record = await _lock(tx, order_id, caller, request.if_match)
        transition = states.CANCEL_AS_OWNER if is_owner(record, caller) else states.CANCEL_AS_ADMIN
        states.require_allowed(transition, record.order.status)
        if is_whole(record.order, items):
            cancelled = await saga.make_transition(tx, transition, order_id)
            assert cancelled is not None, "the row is locked, so its status has not changed"
        else:
            assert transition.reason is not None, "every cancellation has a reason"
            cancelled = await fulfilments.cancel_units(tx, record, items, transition.reason)
        tx.audit_changes(before={"status": record.order.status}, after={"status": cancelled.order.status})
        tx.on_commit(lambda: failpoint("order.cancelled"))
        return tx.reply(cancelled.order, version=cancelled.version)


async def update(deps: OrderDeps, request: Request[UpdateOrder]) -> Reply[Order]:
    """Sends what has not left of an order, marks all as delivered, or changes the address. For administrators."""
    caller = caller_of(deps, request, request.body.id)
    async with deps.db.transaction(request) as tx:
        record = await _lock(tx, request.body.id, caller, request.if_match)
        updated = await _update(tx, request.body, record)
        tx.audit_changes(before={"status": record.order.status}, after={"status": updated.order.status})
        tx.on_commit(lambda: failpoint("order.updated"))
        return tx.reply(updated.order, version=updated.version)


async def _update(tx: Transaction, body: UpdateOrder, record: OrderRecord) -> OrderRecord:
    order = record.order
    if body.status is not None:
        if states.transition_to(body.status) is states.SHIP:
            return await fulfilments.send(tx, record, None, body.tracking)
        return await fulfilments.deliver_all(tx, record)
    assert body.shipping_address is not None, "the contract requires one of the two"
    states.require_address_changeable(order.status)
    return await transitions.change_address(tx.connection, order.id, order.status, body.shipping_address, at=now())


async def _lock(tx: Transaction, order_id: UUID, caller: OrderCaller, if_match: frozenset[int] | None) -> OrderRecord:
    record = require_access(await queries.lock(tx.connection, order_id), caller)
    require_version(record, if_match)
    return record
