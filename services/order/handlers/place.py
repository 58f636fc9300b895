"""Placing an order: the stock is held first, then the order is written, its event and its answer with it.

Everybody who tries to place the same thing meets in one hold: its id is made from the cart's version, or else from the
idempotency key and the request. So a customer who tries again after a crash between the two steps finds the stock that
was held the first time, and two who try at the same moment get one order. A hold that no order came for is given back,
or runs out.
"""

from uuid import UUID, uuid5

from contracts import cart, catalog, user
from contracts.catalog import Hold, HoldLine, HoldMismatch, PlaceHold
from contracts.failure import Fail, IdempotencyInProgress, InternalError, TimedOut, Unavailable
from contracts.order import Address, Order, PlaceOrder
from infra.foundation.failpoints import crash_point
from infra.foundation.ids import new_id, now
from infra.messaging.idempotency import Key, Replay
from infra.messaging.rpc import Answer, Ask
from services.order.deps import Shop
from services.order.domain import events as told
from services.order.domain.order_numbers import number_of
from services.order.domain.orders import (
    Buyer,
    CartVersion,
    Draft,
    buyer_of,
    draft,
    refuse_card,
    require_same_buyer,
)
from services.order.store import insert as store

_HOLDS = UUID("7a1c5a0e-5d4b-4a0e-9c61-2f0c8f3b6d11")
"""The namespace of hold ids that are made from something."""

IN_DOUBT = (TimedOut, Unavailable, InternalError)
"""After these nobody knows whether the stock was held."""


async def place(shop: Shop, ask: Ask[PlaceOrder]) -> Answer[Order]:
    """Holds every line or none and writes the order; the same order again for who asks the same again."""
    refuse_card(ask.body.payment_method)
    buyer = buyer_of(ask.identity, ask.body)
    request = await _addressed(shop, ask)
    source, lines = await _lines(shop, request, buyer)
    hold_id, own = hold_id_of(source, ask.key), source is None and ask.key is None
    try:
        hold = await _lasting(shop, hold_id, lines)
    except HoldMismatch:
        return await _placed_before(shop, ask, buyer, hold_id, source)
    except IN_DOUBT:
        if own:
            shop.leftovers.remember(hold_id)
        raise
    crash_point("order.held")
    try:
        drafted = draft(request, buyer, hold, source, order_id=new_id(), at=now())
        placed, first = await _write(shop, ask, drafted)
        crash_point("order.written")
    except Exception as error:
        if gives_back(error):
            await shop.leftovers.give_back(hold_id, keep_trying=own)
        elif own:
            shop.leftovers.remember(hold_id)
        raise
    if not first:
        await shop.leftovers.give_back(hold_id, keep_trying=own)
    return placed


async def _addressed(shop: Shop, ask: Ask[PlaceOrder]) -> PlaceOrder:
    """The request with the address that it names, copied: what becomes of that later does not touch the order."""
    if ask.body.address_id is None:
        return ask.body
    wanted = user.CustomersAddress(id=ask.body.address_id, user_id=ask.who.user_id)
    saved = await shop.asker.ask(user.ADDRESS, wanted)
    to = Address.model_validate(saved.model_dump(exclude={"id"}))
    return ask.body.model_copy(update={"shipping_address": to})


async def _lines(shop: Shop, request: PlaceOrder, buyer: Buyer) -> tuple[CartVersion | None, list[HoldLine]]:
    """What is bought, and the cart's version where it comes from a cart."""
    if request.items is not None:
        return None, request.items
    assert request.cart_id is not None, "its contract says so"
    found = await shop.asker.ask(cart.CHECKOUT, cart.CheckoutOf(id=request.cart_id, user_id=buyer.user_id))
    crash_point("order.cart_read")
    lines = [HoldLine(sku=line.sku, quantity=line.quantity) for line in found.lines]
    return CartVersion(found.cart_id, found.version), lines


def hold_id_of(source: CartVersion | None, key: Key | None) -> UUID:
    """The hold in which everybody meets who places the same; one of its own where nothing tells what is the same."""
    if source is not None:
        return uuid5(_HOLDS, f"cart {source.cart_id} {source.version}")
    if key is not None:
        return uuid5(_HOLDS, f"key {key.digest.hex()} {key.fingerprint.hex()}")
    return new_id()


def gives_back(error: Exception) -> bool:
    """Whether a hold is of no use any more: nothing came of it, and nobody else is writing an order on it just now.

    When it is not known what came of it, one that others may meet in stays, for those who try again to find it.
    """
    return isinstance(error, Fail | Replay) and not isinstance(error, IdempotencyInProgress)


async def _lasting(shop: Shop, hold_id: UUID, lines: list[HoldLine]) -> Hold:
    """A hold with time left to pay in. One that was left behind long ago is given back first and held anew."""
    request = PlaceHold(hold_id=hold_id, lines=lines, seconds=int(shop.pay_within + shop.hold_margin))
    hold = await _held(shop, request)
    if (hold.seconds_left or 0) < shop.hold_margin + shop.pay_within / 2:
        await shop.leftovers.give_back(hold_id, keep_trying=False)
        crash_point("order.old_hold_returned")
        hold = await _held(shop, request)
    return hold


async def _held(shop: Shop, request: PlaceHold) -> Hold:
    """Who ends the hold tells the seconds that are left. Only where they are not told our own clock is believed."""
    hold = await shop.asker.ask(catalog.HOLD, request)
    if hold.seconds_left is None:
        return hold.model_copy(update={"seconds_left": (hold.expires_at - now()).total_seconds()})
    return hold


async def _placed_before(
    shop: Shop, ask: Ask[PlaceOrder], buyer: Buyer, hold_id: UUID, source: CartVersion | None
) -> Answer[Order]:
    """The order whose hold cannot be had again, because it has come to its end meanwhile."""
    async with shop.db.transaction(ask) as tx:
        found = await store.find_first(tx.connection, hold_id, source)
        if found is None:
            raise HoldMismatch
        before = require_same_buyer(found, buyer)
        return tx.answer(before.order, version=before.version)


async def _write(shop: Shop, ask: Ask[PlaceOrder], drafted: Draft) -> tuple[Answer[Order], bool]:
    """The order, and whether it is this one that was written or one that was there first."""
    async with shop.db.transaction(ask) as tx:
        serial = await store.insert(tx.connection, drafted, pay_within=shop.pay_within, margin=shop.hold_margin)
        if serial is not None:
            order = drafted.order.model_copy(update={"number": number_of(serial)})
            tx.say(told.placed(drafted, order))
            return tx.answer(order, version=1), True
        found = await store.find_first(tx.connection, drafted.hold.hold_id, drafted.cart)
        before = require_same_buyer(found, drafted.buyer)
        return tx.answer(before.order, version=before.version), False
