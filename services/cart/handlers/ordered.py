"""An order was made from a cart: what was ordered leaves it, what came in since stays."""

from contracts.order import OrderPlaced
from infra.ids import now
from infra.mongo import Session
from services.cart.domain import Cart, taking
from services.cart.shop import Shop


async def order_placed(shop: Shop, session: Session, event: OrderPlaced) -> None:
    """Mostly nothing has happened to the cart meanwhile, and one statement will do."""
    if event.cart_id is None or event.cart_version is None:
        return
    if await shop.carts.empty(event.cart_id, event.cart_version, session):
        return
    cart = await _where_it_is_now(shop, event.cart_id, session)
    if cart is None:
        return
    edit = taking(cart, [(item.sku, item.quantity) for item in event.items])
    if edit is not None:
        await shop.carts.change(cart, edit, shop.touch(cart.user_id), session=session)


async def _where_it_is_now(shop: Shop, called: str, session: Session) -> Cart | None:
    """A guest may have signed in since: then the lines are in the customer's cart."""
    cart = await shop.carts.find_called(called, now(), session)
    if cart is not None and cart.merged_into is not None:
        return await shop.carts.find(cart.merged_into, now(), session)
    return cart
