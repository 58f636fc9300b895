"""A cart is read with current prices and stock, and each change is marked once."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Collection, Mapping

import pytest

from contracts import cart as contract
from contracts import catalog, headers
from contracts.cart import CartItemChange
from contracts.catalog import Product, SkuUnknown
from contracts.catalog.price_operations import CREATE_PRICE
from contracts.failure import NotFound
from contracts.identity import Identity
from infra.database.mongo import Document
from infra.foundation.ids import new_id, now
from services.cart.deps import CartDeps
from services.cart.domain.carts import CartRecord
from tests.services.cart.conftest import CartClient
from tests.support.eventually import eventually
from tests.support.rpc import RpcCaller

NewProduct = Callable[..., Awaitable[Product]]


async def set_price(rpc: RpcCaller, admin: Identity, product: Product, amount: int) -> None:
    body = {"id": str(product.id), "price": {"amount": amount, "currency": "USD"}}
    await rpc(catalog.CHANGE_PRODUCT, body, identity=admin)


async def set_stock(rpc: RpcCaller, admin: Identity, product: Product, units: int) -> None:
    body = {"sku": product.variants[0].sku, "set": units, "reason": "counted"}
    await rpc(catalog.ADJUST_STOCK, body, identity=admin)


async def test_an_empty_cart_costs_nothing(guest_cart: CartClient) -> None:
    cart = await guest_cart.get()
    assert (cart.items, cart.version, cart.coupon) == ([], 1, None)
    assert cart.total.model_dump() == {"amount": 0, "currency": "USD"}


async def test_the_version_is_in_a_header(rpc: RpcCaller, guest_cart: CartClient) -> None:
    _, header = await rpc.raw(contract.GET, {"id": guest_cart.id})
    assert header[headers.VERSION] == "1"


async def test_an_unknown_cart_is_not_found(rpc: RpcCaller) -> None:
    with pytest.raises(NotFound):
        await CartClient(rpc, "x" * 22).get()


async def test_a_line_has_the_price_of_its_quantity(
    rpc: RpcCaller, admin: Identity, guest_cart: CartClient, new_product: NewProduct
) -> None:
    product = await new_product(price=1000, stock=50)
    sku = product.variants[0].sku
    price = {"id": str(product.id), "sku": sku, "price": {"amount": 800, "currency": "USD"}, "min_quantity": 10}
    await rpc(CREATE_PRICE, price, identity=admin)
    for quantity, amount in ((9, 1000), (10, 800), (9, 1000)):
        cart = await guest_cart.set(sku, quantity)
        assert (cart.items[0].unit_price.amount, cart.total.amount) == (amount, amount * quantity)
        assert (await guest_cart.get()).total == cart.total
    assert (await guest_cart.get()).items[0].changes == []


async def test_a_changed_price_is_marked_once(
    rpc: RpcCaller, admin: Identity, guest_cart: CartClient, new_product: NewProduct
) -> None:
    product = await new_product(price=1000)
    added = await guest_cart.add(product.variants[0].sku, 2)
    for amount, change in ((1200, CartItemChange.PRICE_UP), (900, CartItemChange.PRICE_DOWN)):
        await set_price(rpc, admin, product, amount)
        marked = await guest_cart.get()
        assert marked.items[0].changes == [change]
        assert marked.total.amount == 2 * amount
        again = await guest_cart.get()
        assert again.items[0].changes == []
        assert (again.total.amount, again.version) == (2 * amount, added.version)


async def test_a_change_is_marked_until_it_was_read(
    rpc: RpcCaller, admin: Identity, guest_cart: CartClient, new_product: NewProduct
) -> None:
    """The reply to a change of the cart marks it too, a second later at most, but does not count as a read."""
    product, other = await new_product(price=1000), await new_product()
    await guest_cart.add(product.variants[0].sku)
    await set_price(rpc, admin, product, 1100)
    units = itertools.cycle((1, 2))

    async def marked() -> bool:
        changed = await guest_cart.set(other.variants[0].sku, next(units))
        return changed.items[0].changes == [CartItemChange.PRICE_UP]

    await eventually(marked)
    assert (await guest_cart.add(product.variants[0].sku)).items[0].changes == [CartItemChange.PRICE_UP]
    assert (await guest_cart.get()).items[0].changes == [CartItemChange.PRICE_UP]
    assert (await guest_cart.get()).items[0].changes == []


async def test_low_stock_is_marked_once_for_each_shortage(
    rpc: RpcCaller, admin: Identity, guest_cart: CartClient, new_product: NewProduct
) -> None:
    product = await new_product(stock=5)
    await guest_cart.add(product.variants[0].sku, 4)
    for units, changes in ((3, [CartItemChange.LOW_STOCK]), (2, []), (9, []), (1, [CartItemChange.LOW_STOCK])):
        await set_stock(rpc, admin, product, units)
        (item,) = (await guest_cart.get()).items
        assert (item.available, item.changes, item.line_total.amount) == (units, changes, 4 * 1999)


async def test_a_line_off_sale_stays_and_adds_nothing_to_the_total(
    rpc: RpcCaller, admin: Identity, guest_cart: CartClient, new_product: NewProduct
) -> None:
    product, other = await new_product(price=1000), await new_product(price=300)
    await guest_cart.add(product.variants[0].sku, 2)
    await guest_cart.add(other.variants[0].sku)
    await rpc(catalog.DEACTIVATE_PRODUCT, {"id": str(product.id)}, identity=admin)
    for changes in ([CartItemChange.UNAVAILABLE], []):
        cart = await guest_cart.get()
        gone = cart.items[0]
        assert (gone.sku, gone.name, gone.quantity) == (product.variants[0].sku, product.name, 2)
        assert (gone.unit_price.amount, gone.line_total.amount, gone.available) == (1000, 0, 0)
        assert gone.changes == changes
        assert cart.total.amount == 300
    assert [item.sku for item in (await guest_cart.remove(gone.sku)).items] == [other.variants[0].sku]


async def test_another_product_under_the_same_sku_is_not_what_is_in_the_cart(
    rpc: RpcCaller, admin: Identity, guest_cart: CartClient, new_product: NewProduct
) -> None:
    product = await new_product(price=1000)
    sku = product.variants[0].sku
    await guest_cart.add(sku, 2)
    await rpc(catalog.DEACTIVATE_PRODUCT, {"id": str(product.id)}, identity=admin)
    other = await new_product(sku=sku, price=300)
    for changes in ([CartItemChange.UNAVAILABLE], []):
        cart = await guest_cart.get()
        (item,) = cart.items
        assert (item.product_id, item.unit_price.amount, item.available) == (product.id, 1000, 0)
        assert (item.changes, cart.total.amount) == (changes, 0)
    with pytest.raises(SkuUnknown):
        await guest_cart.set(sku, 1)
    cart = await guest_cart.add(sku, 1)
    (item,) = cart.items
    assert (item.product_id, item.quantity, cart.total.amount) == (other.id, 1, 300)


async def test_carts_that_are_read_together_share_a_command_and_fail_alone(
    rpc: RpcCaller, deps: CartDeps, monkeypatch: pytest.MonkeyPatch
) -> None:
    carts = [(await rpc(contract.CREATE)).id for _ in range(20)]
    await deps.mongo.database.carts.update_one({"_id": carts[0]}, {"$set": {"lines": "none"}})
    await deps.mongo.database.carts.update_one({"_id": carts[1]}, {"$set": {"expires_at": now()}})
    loader = deps.carts._by_id
    read, fetch = [], loader._fetch

    async def recorded(ids: Collection[str]) -> Mapping[str, Document]:
        read.append(sorted(ids))
        return await fetch(ids)

    monkeypatch.setattr(loader, "_fetch", recorded)
    found = await asyncio.gather(*(deps.carts.find(id_, now()) for id_ in (*carts, "x" * 22)), return_exceptions=True)
    assert read == [sorted([*carts, "x" * 22])]
    assert isinstance(found[0], TypeError)
    assert [found[1], found[-1]] == [None, None]
    assert [cart.id for cart in found[2:-1] if isinstance(cart, CartRecord)] == carts[2:]


async def test_a_read_without_changes_writes_nothing(
    guest_cart: CartClient, deps: CartDeps, new_product: NewProduct
) -> None:
    await guest_cart.add((await new_product()).variants[0].sku)
    carts = deps.mongo.database.carts
    await carts.update_one({"_id": guest_cart.id}, {"$set": {"lines.0.name": "as it was stored"}})
    await guest_cart.get()
    stored = await carts.find_one({"_id": guest_cart.id})
    assert stored["lines"][0]["name"] == "as it was stored"


async def test_texts_of_the_catalog_are_stored_literally(
    rpc: RpcCaller, admin: Identity, guest_cart: CartClient
) -> None:
    """Option names are values in MongoDB, not field names, and no text is an expression."""
    options = {"$set": "$lines", "a.b": "${x}"}
    sku = f"T-{new_id().hex}"
    variants = [{"sku": sku, "price": {"amount": 1, "currency": "USD"}, "options": options, "stock": 9}]
    product = await rpc(catalog.CREATE_PRODUCT, {"name": "$name", "variants": variants}, identity=admin)
    await guest_cart.add(sku)
    await rpc(catalog.DEACTIVATE_PRODUCT, {"id": str(product.id)}, identity=admin)
    (item,) = (await guest_cart.get()).items
    assert (item.name, item.options) == ("$name", options)
