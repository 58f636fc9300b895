"""Carts are opened, read, and taken to the till."""

from dataclasses import replace

from contracts import cart as contract
from contracts.cart import CartEmpty, CartOf, Checkout, CheckoutLine, CheckoutOf
from contracts.failure import NotFound
from contracts.identity import Identity, Role
from contracts.model import Empty
from infra.database.mongo import Session
from infra.foundation.failpoints import crash_point
from infra.messaging.rpc import Answer, Ask
from services.cart.deps import MINE, Shop
from services.cart.domain.carts import reference, seen


async def create(shop: Shop, ask: Ask[Empty]) -> Answer[contract.Cart]:
    """A guest gets a new cart, a customer always the same."""
    if ask.identity is not None:
        cart = await shop.own(ask.identity.user_id)
        crash_point("cart.opened")
        return shop.answer(cart, await shop.prices.of(cart.by_sku))
    cart = shop.new_cart(None)

    async def insert(session: Session | None) -> Answer[contract.Cart]:
        await shop.carts.insert(cart, session)
        return shop.answer(cart, {})

    return await shop.mongo.once(ask, insert)


async def get(shop: Shop, ask: Ask[CartOf]) -> Answer[contract.Cart]:
    """What is marked here as changed counts as seen; to remember that is a write only when there was something."""
    cart = await shop.find(ask.body.id, ask.identity)
    quotes = await shop.prices.of(cart.by_sku)
    if (lines := seen(cart, quotes)) is not None:
        await shop.carts.remember(cart, lines)
        crash_point("cart.seen")
    return shop.answer(cart, quotes)


async def checkout(shop: Shop, ask: Ask[CheckoutOf]) -> Checkout:
    """What the order service makes an order of. It holds and prices the lines itself, and refuses what is not sold."""
    customer = Identity(user_id=ask.body.user_id, role=Role.CUSTOMER) if ask.body.user_id else None
    if ask.body.id == MINE and customer is None:
        raise NotFound
    cart = await shop.find(ask.body.id, customer)
    if not cart.lines:
        raise CartEmpty
    # A good guess of what it is next time: emptied by the order.
    shop.recent.put(ask.body.id, customer, replace(cart, lines=(), version=cart.version + 1))
    lines = [CheckoutLine(sku=line.sku, quantity=line.quantity) for line in cart.lines]
    return Checkout(cart_id=reference(cart.id), version=cart.version, lines=lines)
