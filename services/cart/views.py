"""A cart as its owner reads it: current prices and stock, and what has changed since the last read."""

from contracts import cart as contract
from contracts.cart import CartItem, CartItemChange
from contracts.catalog import SkuQuote
from contracts.money import Money, sum_money
from services.cart.domain.carts import CartLine, CartRecord, QuotesBySku, find_shortage, quote_of
from services.cart.domain.coupons import discount_of


def render_cart(cart: CartRecord, quotes: QuotesBySku, currency: str) -> contract.Cart:
    """The cart in the contract's form, with every total in the shop's currency.

    Totals have no upper limit here: they state what the lines cost.
    """
    items = [_render_item(line, quote_of(line, quotes), currency) for line in cart.lines]
    subtotal = sum_money([item.line_total for item in items], currency)
    discount = discount_of(cart.coupon, subtotal.amount, currency)
    return contract.Cart(
        id=cart.id,
        items=items,
        subtotal=subtotal,
        discount=Money.model_construct(amount=discount, currency=currency),
        total=Money.model_construct(amount=subtotal.amount - discount, currency=currency),
        coupon=cart.coupon.terms.code if cart.coupon else None,
        version=cart.version,
        expires_at=cart.expires_at,
    )


def _render_item(line: CartLine, quote: SkuQuote | None, currency: str) -> CartItem:
    """A line without a quote is not on sale: it shows its last known price and adds nothing to the total."""
    source = quote or line
    price = quote.price_of(line.quantity) if quote else Money.model_construct(amount=line.price, currency=currency)
    return CartItem(
        sku=line.sku,
        product_id=source.product_id,
        name=source.name,
        options=source.options,
        quantity=line.quantity,
        unit_price=price,
        line_total=price.times(line.quantity if quote else 0),
        available=quote.available if quote else 0,
        on_backorder=quote is not None and quote.in_stock is not None and quote.in_stock < line.quantity,
        changes=_find_changes(line, quote),
        left_out=line.left_out,
    )


def _find_changes(line: CartLine, quote: SkuQuote | None) -> list[CartItemChange]:
    changes = []
    if quote is not None and (price := quote.price_of(line.quantity).amount) != line.price:
        has_risen = price > line.price
        changes.append(CartItemChange.PRICE_UP if has_risen else CartItemChange.PRICE_DOWN)
    shortage = find_shortage(line, quote)
    if shortage is not None and shortage is not line.shortage:
        changes.append(shortage)
    if line.left_out:
        changes.append(CartItemChange.CAPPED)
    return changes
