"""The cart as its owner reads it: what its lines cost and what there is of them now, and what has changed."""

from contracts import cart as contract
from contracts.cart import CartItem, CartItemChange
from contracts.catalog import SkuQuote
from contracts.money import Money, sum_money
from services.cart.domain.carts import CartLine, CartRecord, QuotesBySku, find_shortage


def render_cart(cart: CartRecord, quotes: QuotesBySku, currency: str) -> contract.Cart:
    """With every total in the shop's currency. It is what the lines cost, however much that is."""
    items = [_item(line, quotes.get(line.sku), currency) for line in cart.lines]
    subtotal = sum_money([item.line_total for item in items], currency)
    return contract.Cart(
        id=cart.id,
        items=items,
        subtotal=subtotal,
        discount=Money(amount=0, currency=currency),
        total=subtotal,
        version=cart.version,
        expires_at=cart.expires_at,
    )


def _item(line: CartLine, quote: SkuQuote | None, currency: str) -> CartItem:
    known = quote or line
    price = quote.unit_price if quote else Money.model_construct(amount=line.price, currency=currency)
    return CartItem(
        sku=line.sku,
        product_id=known.product_id,
        name=known.name,
        options=known.options,
        quantity=line.quantity,
        unit_price=price,
        line_total=price.times(line.quantity if quote else 0),
        available=quote.available if quote else 0,
        changes=_changes(line, quote),
    )


def _changes(line: CartLine, quote: SkuQuote | None) -> list[CartItemChange]:
    changes = []
    if quote is not None and quote.unit_price.amount != line.price:
        changes.append(CartItemChange.PRICE_UP if quote.unit_price.amount > line.price else CartItemChange.PRICE_DOWN)
    short = find_shortage(line, quote)
    if short is not None and short is not line.shortage:
        changes.append(short)
    return changes
