"""Sets and removes the coupon of a cart."""

from contracts import cart as contract
from contracts import order
from contracts.cart import CartRef, SetCartCoupon
from contracts.money import MAX_AMOUNT, Money
from contracts.order import CheckCoupon
from infra.messaging.rpc_client import Reply, Request
from services.cart.deps import CartDeps
from services.cart.domain.carts import CartEdit, CartRecord, QuotesBySku, cart_reference
from services.cart.domain.coupons import CartCoupon, SetCoupon
from services.cart.handlers.cart_access import find_cart
from services.cart.handlers.items import apply_change
from services.cart.views import render_cart


async def set_coupon(deps: CartDeps, request: Request[SetCartCoupon]) -> Reply[contract.Cart]:
    """Sets the coupon if an order of the cart could use it now. Another coupon is replaced."""
    cart = await find_cart(deps, request.body.id, request.identity)
    quotes, currency = await deps.prices.quotes_for(cart.lines_by_sku), deps.settings.currency
    subtotal = render_cart(cart, quotes, currency).subtotal
    check = CheckCoupon(
        code=request.body.code,
        subtotal=Money(amount=min(subtotal.amount, MAX_AMOUNT), currency=currency),
        user_id=request.identity.user_id if request.identity else None,
        cart_id=cart_reference(cart.id),
        client_ip=request.client_ip,
    )
    coupon = CartCoupon(await deps.rpc.request(order.CHECK_COUPON, check))

    def decide(_cart: CartRecord, _quotes: QuotesBySku) -> CartEdit:
        return SetCoupon(coupon)

    return await apply_change(deps, request, decide)


async def remove_coupon(deps: CartDeps, request: Request[CartRef]) -> Reply[contract.Cart]:
    """Removes the coupon, if there is one."""

    def decide(cart: CartRecord, _quotes: QuotesBySku) -> CartEdit | None:
        return SetCoupon(None) if cart.coupon is not None else None

    return await apply_change(deps, request, decide)
