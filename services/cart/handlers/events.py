"""Removes the ordered units from a cart when the order was paid; lines added since stay.

Until then the cart keeps its lines, so that it can be ordered again when the payment is declined.

The cart stores the orders that it has applied, in the same write that removes their lines. One write is both the
effect and its inbox entry, so no transaction delays a customer who keeps adding.
"""

from collections import Counter
from collections.abc import Sequence

from contracts.operator_redelivery import RedeliveryOutcome
from contracts.order import OrderPaid, OrderPlaced
from infra.database.mongo import Session
from infra.foundation.failpoints import failpoint
from infra.foundation.ids import now
from infra.messaging.consumer import RetryLater
from services.cart.deps import CartDeps
from services.cart.domain.carts import CartLine, CartRecord, UnitsBySku, after_order, lines_from_guest
from services.cart.handlers.cart_access import MAX_ATTEMPTS
from services.cart.store.carts import CartOrder


async def order_paid(deps: CartDeps, _session: Session | None, event: OrderPaid) -> RedeliveryOutcome:
    """Removes the ordered units from the cart, once for each order.

    In most cases the cart has not changed since the order was placed, and a statement that it shares with other orders
    is enough. Where one of their carts has changed, each order that is not applied yet is applied by itself. An event
    without a cart is of an order that was not placed from one, or an older release has published it.
    """
    if event.cart_id is None or event.cart_version is None:
        return RedeliveryOutcome.IGNORED
    if await deps.order_writer.load(CartOrder(event.cart_id, event.cart_version, event.order_id)):
        failpoint("cart.emptied")
        return RedeliveryOutcome.APPLIED
    for _ in range(MAX_ATTEMPTS):
        cart = await deps.carts.find_by_reference(event.cart_id, now())
        if cart is None:
            return RedeliveryOutcome.IGNORED
        if cart.has_applied(event.order_id, event.cart_version):
            return RedeliveryOutcome.ALREADY_APPLIED
        if cart.merged_into is not None:
            outcome = await _apply_after_merge(deps, cart, cart.merged_into, event, event.cart_version)
        else:
            left = after_order(cart, _ordered_units(event), event.cart_version)
            outcome = await _apply(deps, cart, left, event, event.cart_version)
        if outcome is not None:
            return outcome
    raise RetryLater


async def order_placed(_deps: CartDeps, _session: Session | None, _event: OrderPlaced) -> RedeliveryOutcome:
    """Changes nothing: the cart keeps its lines until the order is paid.

    An older release emptied carts by this event. What it received and did not acknowledge is delivered once more.
    """
    return RedeliveryOutcome.IGNORED


def _ordered_units(event: OrderPaid) -> UnitsBySku:
    ordered = Counter[str]()
    for item in event.items:
        ordered[item.sku] += item.quantity
    return ordered


async def _apply(
    deps: CartDeps, cart: CartRecord, left: Sequence[CartLine], event: OrderPaid, version: int
) -> RedeliveryOutcome | None:
    """Writes the lines that are left; None when the cart has changed since it was read."""
    if not await deps.carts.apply_order(cart, left, event.order_id, version):
        return None
    failpoint("cart.order_applied")
    return RedeliveryOutcome.APPLIED


async def _apply_after_merge(
    deps: CartDeps, guest: CartRecord, target_id: str, event: OrderPaid, version: int
) -> RedeliveryOutcome | None:
    """Removes a guest's order from the customer's cart that the guest's cart was merged into.

    Versions of the customer's cart say nothing about the guest's orders. So the guest's cart records the order too,
    and never drops it.
    """
    cart = await deps.carts.find(target_id, now())
    if cart is None:
        return RedeliveryOutcome.IGNORED
    if event.order_id in cart.ordered:
        outcome: RedeliveryOutcome | None = RedeliveryOutcome.ALREADY_APPLIED
    else:
        from_guest = lines_from_guest(guest, _ordered_units(event), version)
        left = after_order(cart, from_guest, guest.merged_at)
        outcome = await _apply(deps, cart, left, event, 0)
    if outcome is not None:
        await deps.carts.record_order(guest.id, event.order_id, version)
    return outcome
