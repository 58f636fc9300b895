"""Placing an order: the stock is held first, then the order is written, its event and its answer with it.

Everybody who tries to place the same thing meets in one hold: its id is made from the cart's version, or else from the
idempotency key and the request. So a customer who tries again after a crash between the two steps finds the stock that
was held the first time, and two who try at the same moment get one order. A hold that no order came for is given back,
or runs out.
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
from services.order.domain import events as told
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

_HOLDS = UUID("7a1c5a0e-5d4b-4a0e-9c61-2f0c8f3b6d11")
"""The namespace of hold ids that are made from something."""

UNCERTAIN_ERRORS = (TimedOut, Unavailable, InternalError)
"""After these nobody knows whether the stock was held."""


async def place(shop: OrderDeps, ask: Request[PlaceOrder]) -> Reply[Order]:
    """Holds every line or none and writes the order; the same order again for who asks the same again."""
    reject_card_number(ask.body.payment_method)
    buyer = resolve_buyer(ask.identity, ask.body)
    request = await _addressed(shop, ask)
    source, lines = await _lines(shop, request, buyer)
    hold_id, own = derive_hold_id(source, ask.idempotency_key), source is None and ask.idempotency_key is None
    try:
        hold = await _lasting(shop, hold_id, lines)
    except HoldMismatch:
        return await _placed_before(shop, ask, buyer, hold_id, source)
    except UNCERTAIN_ERRORS:
        if own:
            shop.hold_releaser.release_later(hold_id)
        raise
    failpoint("order.held")
    try:
        drafted = draft_order(request, buyer, hold, source, order_id=new_id(), at=now())
        placed, first = await _write(shop, ask, drafted)
        failpoint("order.written")
    except Exception as error:
        if should_release_hold(error):
            await shop.hold_releaser.release(hold_id, retry=own)
        elif own:
            shop.hold_releaser.release_later(hold_id)
        raise
    if not first:
        await shop.hold_releaser.release(hold_id, retry=own)
    return placed


async def _addressed(shop: OrderDeps, ask: Request[PlaceOrder]) -> PlaceOrder:
    """The request with the address that it names, copied: what becomes of that later does not touch the order."""
    if ask.body.address_id is None:
        return ask.body
    wanted = user.CustomerAddressRef(id=ask.body.address_id, user_id=ask.user.user_id)
    saved = await shop.rpc.request(user.ADDRESS, wanted)
    to = Address.model_validate(saved.model_dump(exclude={"id"}))
    return ask.body.model_copy(update={"shipping_address": to})


async def _lines(shop: OrderDeps, request: PlaceOrder, buyer: Buyer) -> tuple[CartVersion | None, list[RequestedLine]]:
    """What is bought, and the cart's version where it comes from a cart."""
    if request.items is not None:
        return None, request.items
    assert request.cart_id is not None, "its contract says so"
    found = await shop.rpc.request(cart.CHECKOUT, cart.CheckoutRequest(id=request.cart_id, user_id=buyer.user_id))
    failpoint("order.cart_read")
    lines = [RequestedLine(sku=line.sku, quantity=line.quantity) for line in found.lines]
    return CartVersion(found.cart_id, found.version), lines


def derive_hold_id(cart_version: CartVersion | None, key: IdempotencyKey | None) -> UUID:
    """The hold in which everybody meets who places the same; one of its own where nothing tells what is the same."""
    if cart_version is not None:
        return uuid5(_HOLDS, f"cart {cart_version.cart_id} {cart_version.version}")
    if key is not None:
        return uuid5(_HOLDS, f"key {key.digest.hex()} {key.fingerprint.hex()}")
    return new_id()


def should_release_hold(error: Exception) -> bool:
    """Whether a hold is of no use any more: nothing came of it, and nobody else is writing an order on it just now.

    When it is not known what came of it, one that others may meet in stays, for those who try again to find it.
    """
    return isinstance(error, Fail | AlreadyProcessed) and not isinstance(error, IdempotencyInProgress)


async def _lasting(shop: OrderDeps, hold_id: UUID, lines: list[RequestedLine]) -> Hold:
    """A hold with time left to pay in. One that was left behind long ago is given back first and held anew."""
    request = PlaceHold(hold_id=hold_id, lines=lines, seconds=int(shop.pay_within_seconds + shop.hold_margin_seconds))
    hold = await _held(shop, request)
    if (hold.seconds_left or 0) < shop.hold_margin_seconds + shop.pay_within_seconds / 2:
        await shop.hold_releaser.release(hold_id, retry=False)
        failpoint("order.old_hold_returned")
        hold = await _held(shop, request)
    return hold


async def _held(shop: OrderDeps, request: PlaceHold) -> Hold:
    """Who ends the hold tells the seconds that are left. Only where they are not told our own clock is believed."""
    hold = await shop.rpc.request(catalog.HOLD, request)
    if hold.seconds_left is None:
        return hold.model_copy(update={"seconds_left": (hold.expires_at - now()).total_seconds()})
    return hold


async def _placed_before(
    shop: OrderDeps, ask: Request[PlaceOrder], buyer: Buyer, hold_id: UUID, source: CartVersion | None
) -> Reply[Order]:
    """The order whose hold cannot be had again, because it has come to its end meanwhile."""
    async with shop.db.transaction(ask) as tx:
        found = await store.find_existing(tx.connection, hold_id, source)
        if found is None:
            raise HoldMismatch
        before = require_same_buyer(found, buyer)
        return tx.reply(before.order, version=before.version)


async def _write(shop: OrderDeps, ask: Request[PlaceOrder], drafted: OrderDraft) -> tuple[Reply[Order], bool]:
    """The order, and whether it is this one that was written or one that was there first."""
    async with shop.db.transaction(ask) as tx:
        serial = await store.insert(
            tx.connection,
            drafted,
            pay_within_seconds=shop.pay_within_seconds,
            hold_margin_seconds=shop.hold_margin_seconds,
        )
        if serial is not None:
            order = drafted.order.model_copy(update={"number": format_order_number(serial)})
            tx.publish(told.placed_event(drafted, order))
            return tx.reply(order, version=1), True
        found = await store.find_existing(tx.connection, drafted.hold.hold_id, drafted.cart)
        before = require_same_buyer(found, drafted.buyer)
        return tx.reply(before.order, version=before.version), False
