"""An order was made from a cart: what was ordered leaves it once, what came in since stays.

The cart itself remembers the orders it has given its lines to, in the write that takes them out. So one write is the
effect and the note that it was heard, and no transaction stands in the way of a customer who goes on adding.
"""

from collections import Counter
from collections.abc import Sequence

from contracts.order import OrderPlaced
from contracts.redelivery import RedeliveryOutcome
from infra.database.mongo import Session
from infra.foundation.failpoints import failpoint
from infra.foundation.ids import now
from infra.messaging.consumer import RetryLater
from services.cart.deps import MAX_ATTEMPTS, CartDeps
from services.cart.domain.carts import CartLine, CartRecord, UnitsBySku, after_order, lines_from_guest


async def order_placed(shop: CartDeps, _session: Session | None, event: OrderPlaced) -> RedeliveryOutcome:
    """Mostly nothing has happened to the cart meanwhile, and one statement will do."""
    if event.cart_id is None or event.cart_version is None:
        return RedeliveryOutcome.IGNORED
    if await shop.carts.empty_for_order(event.cart_id, event.cart_version, event.order_id):
        failpoint("cart.emptied")
        return RedeliveryOutcome.APPLIED
    for _ in range(MAX_ATTEMPTS):
        cart = await shop.carts.find_by_reference(event.cart_id, now())
        if cart is None:
            return RedeliveryOutcome.IGNORED
        if cart.has_applied(event.order_id, event.cart_version):
            return RedeliveryOutcome.ALREADY_APPLIED
        if cart.merged_into is not None:
            outcome = await _given_after_merge(shop, cart, cart.merged_into, event, event.cart_version)
        else:
            left = after_order(cart, _ordered(event), event.cart_version)
            outcome = await _given(shop, cart, left, event, event.cart_version)
        if outcome is not None:
            return outcome
    raise RetryLater


def _ordered(event: OrderPlaced) -> UnitsBySku:
    ordered = Counter[str]()
    for item in event.items:
        ordered[item.sku] += item.quantity
    return ordered


async def _given(
    shop: CartDeps, cart: CartRecord, left: Sequence[CartLine], event: OrderPlaced, version: int
) -> RedeliveryOutcome | None:
    """None when the cart has changed since it was read."""
    if not await shop.carts.apply_order(cart, left, event.order_id, version):
        return None
    failpoint("cart.given")
    return RedeliveryOutcome.APPLIED


async def _given_after_merge(
    shop: CartDeps, guest: CartRecord, into: str, event: OrderPlaced, version: int
) -> RedeliveryOutcome | None:
    """A guest has signed in since, and the lines are in the customer's cart.

    Its versions are no measure for the guest's orders. So the guest's cart notes them too, for good.
    """
    cart = await shop.carts.find(into, now())
    if cart is None:
        return RedeliveryOutcome.IGNORED
    if event.order_id in cart.ordered:
        outcome: RedeliveryOutcome | None = RedeliveryOutcome.ALREADY_APPLIED
    else:
        left = after_order(cart, lines_from_guest(guest, _ordered(event), version), guest.merged_at)
        outcome = await _given(shop, cart, left, event, 0)
    if outcome is not None:
        await shop.carts.record_order(guest.id, event.order_id)
    return outcome
