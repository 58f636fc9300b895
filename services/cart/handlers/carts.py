"""Creates and reads carts, and hands their lines to the order service."""

from dataclasses import replace

from contracts import cart as contract
from contracts.cart import CartEmpty, CartRef, Checkout, CheckoutLine, CheckoutRequest
from contracts.failure import NotFound
from contracts.identity import Identity, Role
from contracts.model import Empty
from infra.database.mongo import Session
from infra.foundation.failpoints import failpoint
from infra.messaging.rpc_client import Reply, Request
from services.cart.deps import CartDeps
from services.cart.domain.carts import cart_reference, mark_seen
from services.cart.handlers.cart_access import MY_CART_ID, find_cart, new_cart, own_cart
from services.cart.write_cache import cart_key


async def create(deps: CartDeps, request: Request[Empty]) -> Reply[contract.Cart]:
    """Creates a cart for a guest. A customer always gets the same one."""
    if request.identity is not None:
        cart = await own_cart(deps, request.identity.user_id)
        failpoint("cart.opened")
        return deps.reply(cart, await deps.prices.quotes_for(cart.lines_by_sku))
    cart = new_cart(deps, None)

    async def insert(session: Session | None) -> Reply[contract.Cart]:
        await deps.carts.insert(cart, session)
        return deps.reply(cart, {})

    return await deps.mongo.run_idempotent(request, insert)


async def get(deps: CartDeps, request: Request[CartRef]) -> Reply[contract.Cart]:
    """Reads a cart at current prices.

    A change that the reply marks counts as seen from then on. It is written only when there is one.
    """
    cart = await find_cart(deps, request.body.id, request.identity)
    quotes = await deps.prices.quotes_for(cart.lines_by_sku)
    seen = cart
    if (lines := mark_seen(cart, quotes)) is not None:
        await deps.carts.save_seen_lines(cart, lines)
        failpoint("cart.seen_lines_saved")
        seen = replace(cart, lines=lines)
    deps.write_cache.put(cart_key(request.body.id, request.identity), seen)
    return deps.reply(cart, quotes)


async def checkout(deps: CartDeps, request: Request[CheckoutRequest]) -> Checkout:
    """Returns the lines that an order is made from.

    The order service holds and prices the lines itself, and refuses those that are not on sale.
    """
    user_id = request.body.user_id
    customer = Identity(user_id=user_id, role=Role.CUSTOMER) if user_id else None
    if request.body.id == MY_CART_ID and customer is None:
        raise NotFound
    cart = await find_cart(deps, request.body.id, customer)
    if not cart.lines:
        raise CartEmpty
    # The next write most likely finds the cart emptied by the order, once that was paid.
    emptied = replace(cart, lines=(), coupon=None, version=cart.version + 1)
    deps.write_cache.put(cart_key(request.body.id, customer), emptied)
    lines = [CheckoutLine(sku=line.sku, quantity=line.quantity, product_id=line.product_id) for line in cart.lines]
    coupon = cart.coupon.terms.code if cart.coupon else None
    return Checkout(cart_id=cart_reference(cart.id), version=cart.version, lines=lines, coupon=coupon)
