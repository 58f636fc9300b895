"""The cart as its owner reads it: what its lines cost and what there is of them now, and what has changed."""

from contracts import cart as contract
from contracts.cart import CartItem, Change
from contracts.catalog import Quote
from contracts.money import Money, total
from services.cart.domain.carts import Cart, Line, Quotes, shortage


def priced(cart: Cart, quotes: Quotes, currency: str) -> contract.Cart:
    """With every total in the shop's currency. It is what the lines cost, however much that is."""
    items = [_item(line, quotes.get(line.sku), currency) for line in cart.lines]
    subtotal = total([item.line_total for item in items], currency)
    return contract.Cart(
        id=cart.id,
        items=items,
        subtotal=subtotal,
        discount=Money(amount=0, currency=currency),
        total=subtotal,
        version=cart.version,
        expires_at=cart.expires_at,
    )


def _item(line: Line, quote: Quote | None, currency: str) -> CartItem:
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


def _changes(line: Line, quote: Quote | None) -> list[Change]:
    changes = []
    if quote is not None and quote.unit_price.amount != line.price:
        changes.append(Change.PRICE_UP if quote.unit_price.amount > line.price else Change.PRICE_DOWN)
    short = shortage(line, quote)
    if short is not None and short is not line.shortage:
        changes.append(short)
    return changes
