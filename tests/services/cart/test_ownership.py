"""Who may use a cart, when it expires, and how a guest's cart is merged."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from contracts import cart as contract
from contracts import catalog, headers
from contracts.cart import CartEmpty, CartFull, CartItemChange, CartMerged
from contracts.catalog import Product
from contracts.failure import NotFound, Unauthorized
from contracts.identity import Identity
from infra.foundation.ids import new_id, now
from services.cart.deps import CartDeps
from services.cart.domain.carts import cart_reference
from tests.services.cart.conftest import CartClient
from tests.services.cart.test_items import LINE, sku_of
from tests.support.rpc import RpcCaller

NewProduct = Callable[..., Awaitable[Product]]


async def test_the_id_of_a_guests_cart_is_its_secret(
    rpc: RpcCaller, guest_cart: CartClient, new_customer: Callable[[], Identity]
) -> None:
    assert len(guest_cart.id) >= 22  # 128 bits
    assert (await rpc(contract.CREATE)).id != guest_cart.id
    signed_in = CartClient(rpc, guest_cart.id, new_customer())
    assert (await signed_in.get()).id == guest_cart.id
    assert timedelta(days=30) <= (await guest_cart.get()).expires_at - now() <= timedelta(days=30, hours=1)


async def test_a_customer_has_one_cart(rpc: RpcCaller, my_cart: CartClient) -> None:
    opened = await asyncio.gather(*(rpc(contract.CREATE, identity=my_cart.identity) for _ in range(8)), my_cart.get())
    assert len({cart.id for cart in opened}) == 1
    assert timedelta(days=90) <= opened[0].expires_at - now() <= timedelta(days=90, hours=1)


async def test_one_idempotency_key_creates_one_cart(rpc: RpcCaller, my_cart: CartClient) -> None:
    for identity in (None, my_cart.identity):
        key = new_id().hex
        first, _ = await rpc.raw(contract.CREATE, {}, identity=identity, key=key)
        again, header = await rpc.raw(contract.CREATE, {}, identity=identity, key=key)
        assert again == first
        assert header[headers.REPLAYED] == "true"


async def test_a_guest_is_known_by_the_idempotency_key_at_any_address(rpc: RpcCaller) -> None:
    """A phone that repeats its request may have another address; guests at one address have keys of their own."""
    key = new_id().hex
    first, _ = await rpc.raw(contract.CREATE, {}, key=key, client="203.0.113.1")
    again, header = await rpc.raw(contract.CREATE, {}, key=key, client="203.0.113.2")
    assert (again, header[headers.REPLAYED]) == (first, "true")
    neighbour, _ = await rpc.raw(contract.CREATE, {}, key=new_id().hex, client="203.0.113.1")
    assert neighbour != first


async def test_mine_requires_authentication(rpc: RpcCaller) -> None:
    anonymous = CartClient(rpc, "mine")
    for attempt in (
        anonymous.get(),
        anonymous.add("A"),
        anonymous.set("A", 1),
        anonymous.remove("A"),
        anonymous.clear(),
    ):
        with pytest.raises(Unauthorized):
            await attempt
    with pytest.raises(Unauthorized):
        await rpc(contract.MERGE, {"cart_id": "x"})


async def test_a_customers_cart_is_closed_to_others(
    rpc: RpcCaller, my_cart: CartClient, new_customer: Callable[[], Identity], new_product: NewProduct
) -> None:
    sku = await sku_of(new_product)
    id_ = (await my_cart.add(sku)).id
    by_id = CartClient(rpc, id_, my_cart.identity)
    assert (await by_id.add(sku)).items[0].quantity == 2
    for other in (CartClient(rpc, id_), CartClient(rpc, id_, new_customer())):
        attempts = (other.get(), other.add(sku), other.set(sku, 9), other.remove(sku), other.clear())
        for attempt in attempts:
            with pytest.raises(NotFound):
                await attempt
    assert (await my_cart.units()) == {sku: 2}


async def test_an_expired_cart_is_not_found_before_mongodb_deletes_it(
    rpc: RpcCaller, guest_cart: CartClient, my_cart: CartClient, deps: CartDeps, new_product: NewProduct
) -> None:
    sku = await sku_of(new_product)
    await guest_cart.add(sku)
    old = await my_cart.add(sku)
    expired = {"$set": {"expires_at": now() + timedelta(milliseconds=1)}}  # MongoDB deletes once a minute
    await deps.mongo.database.carts.update_many({"_id": {"$in": [guest_cart.id, old.id]}}, expired)
    await asyncio.gather(
        *(
            _is_not_found(attempt)
            for attempt in (guest_cart.get(), guest_cart.add(sku), CartClient(rpc, old.id, my_cart.identity).get())
        )
    )
    with pytest.raises(NotFound):
        await rpc(contract.MERGE, {"cart_id": guest_cart.id}, identity=my_cart.identity)
    renewed = await my_cart.add(sku)
    assert renewed.id != old.id
    assert renewed.items[0].quantity == 1


async def _is_not_found(attempt: Awaitable[Any]) -> None:
    with pytest.raises(NotFound):
        await attempt


async def test_a_guests_cart_is_merged_once(
    rpc: RpcCaller, guest_cart: CartClient, my_cart: CartClient, new_product: NewProduct
) -> None:
    one, two, three = [await sku_of(new_product, stock=2000) for _ in range(3)]
    await my_cart.add(one, 5)
    await my_cart.add(three, 900)
    await guest_cart.add(one, 2)
    await guest_cart.add(two, 3)
    await guest_cart.add(three, 900)
    outcomes = await asyncio.gather(
        *(rpc(contract.MERGE, {"cart_id": guest_cart.id}, identity=my_cart.identity) for _ in range(4)),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, CartMerged) for outcome in outcomes) == 3
    assert await my_cart.units() == {one: 7, three: 999, two: 3}
    for attempt in (guest_cart.get(), guest_cart.add(one), guest_cart.clear()):
        with pytest.raises(NotFound):
            await attempt
    with pytest.raises(CartMerged):
        await rpc(contract.MERGE, {"cart_id": guest_cart.id}, identity=my_cart.identity)


async def test_a_merge_says_what_it_left_out(
    rpc: RpcCaller, admin: Identity, guest_cart: CartClient, my_cart: CartClient, new_product: NewProduct
) -> None:
    """The reply and the next read mark the capped line, and the lines that are short or not on sale any more."""
    capped, short, plenty = [await sku_of(new_product, stock=stock) for stock in (3000, 5, 10)]
    gone = await new_product()
    for client, units in ((my_cart, 999), (guest_cart, 998)):
        await client.add(capped, units)
        await client.add(short, 4)
        await client.add(plenty, 2)
    await guest_cart.add(gone.variants[0].sku, 3)
    await rpc(catalog.DEACTIVATE_PRODUCT, {"id": str(gone.id)}, identity=admin)
    await guest_cart.get()

    merged = await rpc(contract.MERGE, {"cart_id": guest_cart.id}, identity=my_cart.identity)

    expected = {
        capped: (999, [CartItemChange.CAPPED], 998),
        short: (8, [CartItemChange.LOW_STOCK], 0),
        plenty: (4, [], 0),
        gone.variants[0].sku: (3, [CartItemChange.UNAVAILABLE], 0),
    }
    for cart in (merged, await my_cart.get()):
        assert {item.sku: (item.quantity, item.changes, item.left_out) for item in cart.items} == expected
    assert [(item.changes, item.left_out) for item in (await my_cart.get()).items] == [([], 0)] * 4


async def test_a_merge_is_replayed_for_its_idempotency_key(
    rpc: RpcCaller, guest_cart: CartClient, my_cart: CartClient, new_product: NewProduct
) -> None:
    await guest_cart.add(await sku_of(new_product))
    body = {"cart_id": guest_cart.id}
    first, _ = await rpc.raw(contract.MERGE, body, identity=my_cart.identity, key="m")
    again, header = await rpc.raw(contract.MERGE, body, identity=my_cart.identity, key="m")
    assert again == first
    assert header[headers.REPLAYED] == "true"


async def test_only_a_guests_cart_can_be_merged(
    rpc: RpcCaller, my_cart: CartClient, new_customer: Callable[[], Identity], guest_cart: CartClient
) -> None:
    other = await CartClient(rpc, "mine", new_customer()).get()
    own = await my_cart.get()
    for id_ in (other.id, own.id, "mine", "unknown"):
        with pytest.raises(NotFound):
            await rpc(contract.MERGE, {"cart_id": id_}, identity=my_cart.identity)
    merged = await rpc(contract.MERGE, {"cart_id": guest_cart.id}, identity=my_cart.identity)
    assert (merged.id, merged.version) == (own.id, own.version)


async def test_a_refused_merge_changes_neither_cart(
    rpc: RpcCaller, guest_cart: CartClient, my_cart: CartClient, deps: CartDeps, new_product: NewProduct
) -> None:
    id_ = (await my_cart.get()).id
    sku = await sku_of(new_product)
    await guest_cart.add(sku)
    lines = [{"sku": f"GONE-{number}", **LINE} for number in range(100)]
    await deps.mongo.database.carts.update_one({"_id": id_}, {"$set": {"lines": lines}})
    with pytest.raises(CartFull):
        await rpc(contract.MERGE, {"cart_id": guest_cart.id}, identity=my_cart.identity)
    assert await guest_cart.units() == {sku: 1}
    assert len(await my_cart.units()) == 100


async def test_checkout_returns_the_lines_to_the_owner_only(
    as_service: Callable[[str], Awaitable[RpcCaller]],
    guest_cart: CartClient,
    my_cart: CartClient,
    new_product: NewProduct,
) -> None:
    order = await as_service("order")
    assert my_cart.identity
    user_id, sku = str(my_cart.identity.user_id), await sku_of(new_product)
    with pytest.raises(CartEmpty):
        await order(contract.CHECKOUT, {"id": "mine", "user_id": user_id})
    own = await my_cart.add(sku, 2)
    await guest_cart.add(sku, 3)
    found = await order(contract.CHECKOUT, {"id": "mine", "user_id": user_id})
    assert (found.cart_id, found.version) == (cart_reference(own.id), own.version)
    assert [(line.sku, line.quantity) for line in found.lines] == [(sku, 2)]
    for user in (user_id, None):
        found = await order(contract.CHECKOUT, {"id": guest_cart.id, "user_id": user})
        assert [line.quantity for line in found.lines] == [3]
    for body in (
        {"id": own.id, "user_id": None},
        {"id": own.id, "user_id": str(new_id())},
        {"id": "mine", "user_id": None},
    ):
        with pytest.raises(NotFound):
            await order(contract.CHECKOUT, body)
