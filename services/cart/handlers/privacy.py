"""Exports and erases a customer's own cart and the guests' carts that were merged into it."""

from contracts.cart import CheckoutLine
from contracts.privacy import EraseProgress, EraseUserData, ExportedCart, ExportUserData, UserDataPart
from infra.foundation.failpoints import failpoint
from infra.foundation.ids import now
from infra.messaging.rpc_client import Request
from services.cart.deps import CartDeps


async def erase(deps: CartDeps, request: Request[EraseUserData]) -> EraseProgress:
    """Deletes the user's carts and stored replies."""
    await deps.carts.delete_by_user(request.body.user_id)
    failpoint("cart.erased")
    await deps.mongo.forget_replies(request.body.user_id)
    return EraseProgress()


async def export(deps: CartDeps, request: Request[ExportUserData]) -> UserDataPart:
    """Returns the user's own cart, if there is one."""
    cart = await deps.carts.find_by_user(request.body.user_id, now())
    if cart is None:
        return UserDataPart()
    lines = [CheckoutLine(sku=line.sku, quantity=line.quantity) for line in cart.lines]
    coupon = cart.coupon.terms.code if cart.coupon else None
    return UserDataPart(carts=[ExportedCart(id=cart.id, lines=lines, expires_at=cart.expires_at, coupon=coupon)])
