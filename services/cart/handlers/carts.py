"""Carts are opened, read, and taken to the till."""

from dataclasses import replace

from contracts import cart as contract
from contracts.cart import CartEmpty, CartRef, Checkout, CheckoutLine, CheckoutRequest
from contracts.failure import NotFound
from contracts.identity import Identity, Role
from contracts.model import Empty
from infra.database.mongo import Session
from infra.foundation.failpoints import failpoint
from infra.messaging.rpc import Reply, Request
from services.cart.deps import MINE, CartDeps
from services.cart.domain.carts import cart_reference, mark_seen


async def create(shop: CartDeps, ask: Request[Empty]) -> Reply[contract.Cart]:
    """A guest gets a new cart, a customer always the same."""
    if ask.identity is not None:
        cart = await shop.own_cart(ask.identity.user_id)
        failpoint("cart.opened")
        return shop.reply(cart, await shop.prices.quotes_for(cart.lines_by_sku))
    cart = shop.new_cart(None)

    async def insert(session: Session | None) -> Reply[contract.Cart]:
        await shop.carts.insert(cart, session)
        return shop.reply(cart, {})

    return await shop.mongo.run_idempotent(ask, insert)


async def get(shop: CartDeps, ask: Request[CartRef]) -> Reply[contract.Cart]:
    """What is marked here as changed counts as seen; to remember that is a write only when there was something."""
    cart = await shop.find_cart(ask.body.id, ask.identity)
    quotes = await shop.prices.quotes_for(cart.lines_by_sku)
    if (lines := mark_seen(cart, quotes)) is not None:
        await shop.carts.save_seen_lines(cart, lines)
        failpoint("cart.seen")
    return shop.reply(cart, quotes)


async def checkout(shop: CartDeps, ask: Request[CheckoutRequest]) -> Checkout:
    """What the order service makes an order of. It holds and prices the lines itself, and refuses what is not sold."""
    customer = Identity(user_id=ask.body.user_id, role=Role.CUSTOMER) if ask.body.user_id else None
    if ask.body.id == MINE and customer is None:
        raise NotFound
    cart = await shop.find_cart(ask.body.id, customer)
    if not cart.lines:
        raise CartEmpty
    # A good guess of what it is next time: emptied by the order.
    shop.write_cache.put(ask.body.id, customer, replace(cart, lines=(), version=cart.version + 1))
    lines = [CheckoutLine(sku=line.sku, quantity=line.quantity) for line in cart.lines]
    return Checkout(cart_id=cart_reference(cart.id), version=cart.version, lines=lines)
