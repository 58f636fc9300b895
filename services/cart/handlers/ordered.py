"""An order was made from a cart: what was ordered leaves it once, what came in since stays.

The cart itself remembers the orders it has given its lines to, in the write that takes them out. So one write is the
effect and the note that it was heard, and no transaction stands in the way of a customer who goes on adding.
"""

from contracts.hearing import Outcome
from contracts.order import OrderPlaced
from infra.crash import crash_point
from infra.ids import now
from infra.mongo import Session
from infra.reactor import NotYet
from services.cart.domain import Cart, taking
from services.cart.shop import TRIES, Shop


async def order_placed(shop: Shop, _session: Session | None, event: OrderPlaced) -> Outcome:
    """Mostly nothing has happened to the cart meanwhile, and one statement will do."""
    if event.cart_id is None or event.cart_version is None:
        return Outcome.IGNORED
    if await shop.carts.empty(event.cart_id, event.cart_version, event.order_id):
        crash_point("cart.emptied")
        return Outcome.APPLIED
    for _ in range(TRIES):
        cart = await _where_it_is_now(shop, event)
        if cart is None:
            return Outcome.IGNORED
        if event.order_id in cart.ordered:
            return Outcome.KNOWN
        left = taking(cart, [(item.sku, item.quantity) for item in event.items])
        if await shop.carts.give(cart, left, event.order_id):
            crash_point("cart.given")
            return Outcome.APPLIED
    raise NotYet


async def _where_it_is_now(shop: Shop, event: OrderPlaced) -> Cart | None:
    """The cart that has the lines, or had; a guest may have signed in since, then they are in the customer's."""
    assert event.cart_id is not None
    cart = await shop.carts.find_called(event.cart_id, now())
    if cart is None or event.order_id in cart.ordered or cart.merged_into is None:
        return cart
    return await shop.carts.find(cart.merged_into, now())
