"""An order was made from a cart: what was ordered leaves it once, what came in since stays.

The cart itself remembers the orders it has given its lines to, in the write that takes them out. So one write is the
effect and the note that it was heard, and no transaction stands in the way of a customer who goes on adding.
"""

from collections import Counter
from collections.abc import Sequence

from contracts.order import OrderPlaced
from contracts.redelivery import Outcome
from infra.database.mongo import Session
from infra.foundation.failpoints import crash_point
from infra.foundation.ids import now
from infra.messaging.consumer import NotYet
from services.cart.deps import TRIES, Shop
from services.cart.domain.carts import Cart, Line, Units, brought, taking


async def order_placed(shop: Shop, _session: Session | None, event: OrderPlaced) -> Outcome:
    """Mostly nothing has happened to the cart meanwhile, and one statement will do."""
    if event.cart_id is None or event.cart_version is None:
        return Outcome.IGNORED
    if await shop.carts.empty(event.cart_id, event.cart_version, event.order_id):
        crash_point("cart.emptied")
        return Outcome.APPLIED
    for _ in range(TRIES):
        cart = await shop.carts.find_called(event.cart_id, now())
        if cart is None:
            return Outcome.IGNORED
        if cart.gave(event.order_id, event.cart_version):
            return Outcome.KNOWN
        if cart.merged_into is not None:
            outcome = await _given_after_merge(shop, cart, cart.merged_into, event, event.cart_version)
        else:
            left = taking(cart, _ordered(event), event.cart_version)
            outcome = await _given(shop, cart, left, event, event.cart_version)
        if outcome is not None:
            return outcome
    raise NotYet


def _ordered(event: OrderPlaced) -> Units:
    ordered = Counter[str]()
    for item in event.items:
        ordered[item.sku] += item.quantity
    return ordered


async def _given(shop: Shop, cart: Cart, left: Sequence[Line], event: OrderPlaced, version: int) -> Outcome | None:
    """None when the cart has changed since it was read."""
    if not await shop.carts.give(cart, left, event.order_id, version):
        return None
    crash_point("cart.given")
    return Outcome.APPLIED


async def _given_after_merge(shop: Shop, guest: Cart, into: str, event: OrderPlaced, version: int) -> Outcome | None:
    """A guest has signed in since, and the lines are in the customer's cart.

    Its versions are no measure for the guest's orders. So the guest's cart notes them too, for good.
    """
    cart = await shop.carts.find(into, now())
    if cart is None:
        return Outcome.IGNORED
    if event.order_id in cart.ordered:
        outcome: Outcome | None = Outcome.KNOWN
    else:
        left = taking(cart, brought(guest, _ordered(event), version), guest.merged_at)
        outcome = await _given(shop, cart, left, event, 0)
    if outcome is not None:
        await shop.carts.note(guest.id, event.order_id)
    return outcome
