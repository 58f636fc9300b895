"""A cart is read with prices and availability as of now, and what has changed is marked once."""

from collections.abc import Awaitable, Callable

import pytest

from contracts import cart as contract
from contracts import catalog, headers
from contracts.cart import CartItemChange
from contracts.catalog import Product
from contracts.failure import NotFound
from contracts.identity import Identity
from infra.foundation.ids import new_id
from services.cart.deps import CartDeps
from tests.services.cart.conftest import CartClient
from tests.support.rpc import RpcCaller

NewProduct = Callable[..., Awaitable[Product]]


async def price(ask: RpcCaller, admin: Identity, product: Product, amount: int) -> None:
    body = {"id": str(product.id), "price": {"amount": amount, "currency": "USD"}}
    await ask(catalog.CHANGE_PRODUCT, body, identity=admin)


async def stock(ask: RpcCaller, admin: Identity, product: Product, units: int) -> None:
    body = {"sku": product.variants[0].sku, "set": units, "reason": "counted"}
    await ask(catalog.ADJUST_STOCK, body, identity=admin)


async def test_an_empty_cart_costs_nothing(guest: CartClient) -> None:
    cart = await guest.get()
    assert (cart.items, cart.version, cart.coupon) == ([], 1, None)
    assert cart.total.model_dump() == {"amount": 0, "currency": "USD"}


async def test_the_version_goes_beside_the_cart(ask: RpcCaller, guest: CartClient) -> None:
    _, header = await ask.raw(contract.GET, {"id": guest.id})
    assert header[headers.VERSION] == "1"


async def test_an_unknown_cart_is_not_found(ask: RpcCaller) -> None:
    with pytest.raises(NotFound):
        await CartClient(ask, "x" * 22).get()


async def test_a_price_that_changed_is_marked_once(
    ask: RpcCaller, admin: Identity, guest: CartClient, new_product: NewProduct
) -> None:
    product = await new_product(price=1000)
    added = await guest.add(product.variants[0].sku, 2)
    for amount, change in ((1200, CartItemChange.PRICE_UP), (900, CartItemChange.PRICE_DOWN)):
        await price(ask, admin, product, amount)
        marked = await guest.get()
        assert marked.items[0].changes == [change]
        assert marked.total.amount == 2 * amount
        again = await guest.get()
        assert again.items[0].changes == []
        assert (again.total.amount, again.version) == (2 * amount, added.version)


async def test_a_change_is_marked_until_it_was_read(
    ask: RpcCaller, admin: Identity, guest: CartClient, new_product: NewProduct
) -> None:
    """The answer to a change of the cart shows it too, without taking it for read."""
    product, other = await new_product(price=1000), await new_product()
    await guest.add(product.variants[0].sku)
    await price(ask, admin, product, 1100)
    assert (await guest.add(other.variants[0].sku)).items[0].changes == [CartItemChange.PRICE_UP]
    assert (await guest.add(product.variants[0].sku)).items[0].changes == [CartItemChange.PRICE_UP]
    assert (await guest.get()).items[0].changes == [CartItemChange.PRICE_UP]
    assert (await guest.get()).items[0].changes == []


async def test_low_stock_and_its_end(
    ask: RpcCaller, admin: Identity, guest: CartClient, new_product: NewProduct
) -> None:
    product = await new_product(stock=5)
    await guest.add(product.variants[0].sku, 4)
    for units, changes in ((3, [CartItemChange.LOW_STOCK]), (2, []), (9, []), (1, [CartItemChange.LOW_STOCK])):
        await stock(ask, admin, product, units)
        (item,) = (await guest.get()).items
        assert (item.available, item.changes, item.line_total.amount) == (units, changes, 4 * 1999)


async def test_what_is_not_sold_any_more_stays_and_counts_nothing(
    ask: RpcCaller, admin: Identity, guest: CartClient, new_product: NewProduct
) -> None:
    product, other = await new_product(price=1000), await new_product(price=300)
    await guest.add(product.variants[0].sku, 2)
    await guest.add(other.variants[0].sku)
    await ask(catalog.DEACTIVATE_PRODUCT, {"id": str(product.id)}, identity=admin)
    for changes in ([CartItemChange.UNAVAILABLE], []):
        cart = await guest.get()
        gone = cart.items[0]
        assert (gone.sku, gone.name, gone.quantity) == (product.variants[0].sku, product.name, 2)
        assert (gone.unit_price.amount, gone.line_total.amount, gone.available) == (1000, 0, 0)
        assert gone.changes == changes
        assert cart.total.amount == 300
    assert [item.sku for item in (await guest.remove(gone.sku)).items] == [other.variants[0].sku]


async def test_a_read_that_shows_nothing_new_writes_nothing(
    guest: CartClient, shop: CartDeps, new_product: NewProduct
) -> None:
    await guest.add((await new_product()).variants[0].sku)
    carts = shop.mongo.database.carts
    await carts.update_one({"_id": guest.id}, {"$set": {"lines.0.name": "as it was kept"}})
    await guest.get()
    kept = await carts.find_one({"_id": guest.id})
    assert kept["lines"][0]["name"] == "as it was kept"


async def test_whatever_the_catalog_calls_things_is_kept_as_it_is(
    ask: RpcCaller, admin: Identity, guest: CartClient
) -> None:
    """The names of options are values in MongoDB, not names of fields, and no text is an expression."""
    options = {"$set": "$lines", "a.b": "${x}"}
    sku = f"T-{new_id().hex}"
    variants = [{"sku": sku, "price": {"amount": 1, "currency": "USD"}, "options": options, "stock": 9}]
    product = await ask(catalog.CREATE_PRODUCT, {"name": "$name", "variants": variants}, identity=admin)
    await guest.add(sku)
    await ask(catalog.DEACTIVATE_PRODUCT, {"id": str(product.id)}, identity=admin)
    (item,) = (await guest.get()).items
    assert (item.name, item.options) == ("$name", options)
