"""Somebody's own cart, and the guests' carts that it has taken in: shown to them, or gone."""

from contracts.cart import CheckoutLine
from contracts.privacy import ErasedPart, ErasePerson, ExportPerson, HeldCart, HeldPart
from infra.foundation.failpoints import crash_point
from infra.foundation.ids import now
from infra.messaging.rpc import Ask
from services.cart.deps import Shop


async def erase(shop: Shop, ask: Ask[ErasePerson]) -> ErasedPart:
    await shop.carts.erase(ask.body.user_id)
    crash_point("cart.erased")
    await shop.mongo.forget(ask.body.user_id)
    return ErasedPart()


async def export(shop: Shop, ask: Ask[ExportPerson]) -> HeldPart:
    cart = await shop.carts.find_own(ask.body.user_id, now())
    if cart is None:
        return HeldPart()
    lines = [CheckoutLine(sku=line.sku, quantity=line.quantity) for line in cart.lines]
    return HeldPart(carts=[HeldCart(id=cart.id, lines=lines, expires_at=cart.expires_at)])
