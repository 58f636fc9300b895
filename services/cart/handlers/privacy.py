"""Somebody's own cart, and the guests' carts that it has taken in: shown to them, or gone."""

from contracts.cart import CheckoutLine
from contracts.privacy import EraseProgress, EraseUserData, ExportedCart, ExportUserData, UserDataPart
from infra.foundation.failpoints import failpoint
from infra.foundation.ids import now
from infra.messaging.rpc import Request
from services.cart.deps import CartDeps


async def erase(shop: CartDeps, ask: Request[EraseUserData]) -> EraseProgress:
    await shop.carts.delete_by_user(ask.body.user_id)
    failpoint("cart.erased")
    await shop.mongo.forget_replies(ask.body.user_id)
    return EraseProgress()


async def export(shop: CartDeps, ask: Request[ExportUserData]) -> UserDataPart:
    cart = await shop.carts.find_by_user(ask.body.user_id, now())
    if cart is None:
        return UserDataPart()
    lines = [CheckoutLine(sku=line.sku, quantity=line.quantity) for line in cart.lines]
    return UserDataPart(carts=[ExportedCart(id=cart.id, lines=lines, expires_at=cart.expires_at)])
