"""Placing an order: first the stock is held, then one transaction writes the order, its event and its reply.

All requests to place the same order share one hold: its id is derived from the cart's version, or else from the
idempotency key and the request. So a customer who tries again after a crash between the two steps finds the stock that
the first try has held, and two requests at the same moment make one order. A hold without an order is released, or it
expires.
"""

from uuid import UUID, uuid5

from contracts import cart, catalog, user
from contracts.catalog import Hold, HoldMismatch, PlaceHold, RequestedLine
from contracts.failure import Fail, IdempotencyInProgress, InternalError, TimedOut, Unavailable
from contracts.order import Address, Order, PlaceOrder
from infra.foundation.failpoints import failpoint
from infra.foundation.ids import new_id, now
from infra.messaging.idempotency import AlreadyProcessed, IdempotencyKey
from infra.messaging.rpc import Reply, Request
from services.order.deps import OrderDeps
from services.order.domain import events
from services.order.domain.order_numbers import format_order_number
from services.order.domain.orders import (
    Buyer,
    CartVersion,
    OrderDraft,
    draft_order,
    reject_card_number,
    require_same_buyer,
    resolve_buyer,
)
from services.order.store import insert as store
from services.order.workers import hold_release

_HOLD_NAMESPACE = UUID("7a1c5a0e-5d4b-4a0e-9c61-2f0c8f3b6d11")
"""The namespace of derived hold ids."""

UNCERTAIN_ERRORS = (TimedOut, Unavailable, InternalError)
"""After these it is unknown whether catalog has held the stock."""


async def place(deps: OrderDeps, request: Request[PlaceOrder]) -> Reply[Order]:
    """Holds every line or none and writes the order. The same request again returns the same order."""
    reject_card_number(request.body.payment_method)
    buyer = resolve_buyer(request.identity, request.body)
    body = await _with_address(deps, request)
    cart_version, lines = await _requested_lines(deps, body, buyer)
    hold_id, is_private = (
        derive_hold_id(cart_version, request.idempotency_key),
        cart_version is None and request.idempotency_key is None,
    )
    try:
        hold = await _lasting_hold(deps, hold_id, lines)
    except HoldMismatch:
        return await _placed_before(deps, request, buyer, hold_id, cart_version)
    except UNCERTAIN_ERRORS:
        if is_private:
            hold_release.release_later(deps, hold_id)
        raise
    failpoint("order.stock_held")
    try:
        draft = draft_order(body, buyer, hold, cart_version, order_id=new_id(), at=now())
        placed, is_new = await _write(deps, request, draft)
        failpoint("order.written")
    except Exception as error:
        if should_release_hold(error):
            await hold_release.release(deps, hold_id, retry=is_private)
        elif is_private:
            hold_release.release_later(deps, hold_id)
        raise
    if not is_new:
        await hold_release.release(deps, hold_id, retry=is_private)
    return placed


async def _with_address(deps: OrderDeps, request: Request[PlaceOrder]) -> PlaceOrder:
    """The request with a copy of the saved address that it names. Later changes to that do not affect the order."""
    if request.body.address_id is None:
        return request.body
    address_ref = user.CustomerAddressRef(id=request.body.address_id, user_id=request.user.user_id)
    saved = await deps.rpc.request(user.ADDRESS, address_ref)
    address = Address.model_validate(saved.model_dump(exclude={"id"}))
    return request.body.model_copy(update={"shipping_address": address})


async def _requested_lines(
    deps: OrderDeps, body: PlaceOrder, buyer: Buyer
) -> tuple[CartVersion | None, list[RequestedLine]]:
    """The lines to buy, and the cart's version when they come from a cart."""
    if body.items is not None:
        return None, body.items
    assert body.cart_id is not None, "the contract requires one of the two"
    checkout = await deps.rpc.request(cart.CHECKOUT, cart.CheckoutRequest(id=body.cart_id, user_id=buyer.user_id))
    failpoint("order.cart_read")
    lines = [RequestedLine(sku=line.sku, quantity=line.quantity) for line in checkout.lines]
    return CartVersion(checkout.cart_id, checkout.version), lines


def derive_hold_id(cart_version: CartVersion | None, key: IdempotencyKey | None) -> UUID:
    """Returns the hold id shared by all requests for the same order; a new id when nothing identifies the order."""
    if cart_version is not None:
        return uuid5(_HOLD_NAMESPACE, f"cart {cart_version.cart_id} {cart_version.version}")
    if key is not None:
        return uuid5(_HOLD_NAMESPACE, f"key {key.digest.hex()} {key.fingerprint.hex()}")
    return new_id()


def should_release_hold(error: Exception) -> bool:
    """Whether the hold is useless after this error: no order was stored, and no other request is storing one on it.

    When the outcome is unknown, a shared hold stays, so that the next try finds it.
    """
    return isinstance(error, Fail | AlreadyProcessed) and not isinstance(error, IdempotencyInProgress)


async def _lasting_hold(deps: OrderDeps, hold_id: UUID, lines: list[RequestedLine]) -> Hold:
    """A hold that leaves enough time to pay. One left over from an old try is released first and made again."""
    seconds = int(deps.pay_within_seconds + deps.hold_margin_seconds)
    place_hold = PlaceHold(hold_id=hold_id, lines=lines, seconds=seconds)
    hold = await _hold(deps, place_hold)
    if (hold.seconds_left or 0) < deps.hold_margin_seconds + deps.pay_within_seconds / 2:
        await hold_release.release(deps, hold_id, retry=False)
        failpoint("order.stale_hold_released")
        hold = await _hold(deps, place_hold)
    return hold


async def _hold(deps: OrderDeps, place_hold: PlaceHold) -> Hold:
    """The hold, with the seconds left as catalog reports them, since its clock ends the hold.

    Only when catalog does not report them are they computed with this process's clock.
    """
    hold = await deps.rpc.request(catalog.HOLD, place_hold)
    if hold.seconds_left is None:
        return hold.model_copy(update={"seconds_left": (hold.expires_at - now()).total_seconds()})
    return hold


async def _placed_before(
    deps: OrderDeps, request: Request[PlaceOrder], buyer: Buyer, hold_id: UUID, cart_version: CartVersion | None
) -> Reply[Order]:
    """The order that was placed before, when its hold has already ended and cannot be made again."""
    async with deps.db.transaction(request) as tx:
        existing = await store.find_existing(tx.connection, hold_id, cart_version)
        if existing is None:
            raise HoldMismatch
        record = require_same_buyer(existing, buyer)
        return tx.reply(record.order, version=record.version)


async def _write(deps: OrderDeps, request: Request[PlaceOrder], draft: OrderDraft) -> tuple[Reply[Order], bool]:
    """The order, and whether this request has stored it; False when it existed before."""
    async with deps.db.transaction(request) as tx:
        serial = await store.insert(
            tx.connection,
            draft,
            pay_within_seconds=deps.pay_within_seconds,
            hold_margin_seconds=deps.hold_margin_seconds,
        )
        if serial is not None:
            order = draft.order.model_copy(update={"number": format_order_number(serial)})
            tx.publish(events.placed_event(draft, order))
            return tx.reply(order, version=1), True
        existing = await store.find_existing(tx.connection, draft.hold.hold_id, draft.cart)
        record = require_same_buyer(existing, draft.buyer)
        return tx.reply(record.order, version=record.version), False
