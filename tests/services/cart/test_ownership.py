"""Whose cart it is, how long it is there, and how two become one."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from contracts import cart as contract
from contracts import headers
from contracts.cart import CartEmpty, CartFull, CartMerged
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


async def test_a_guests_cart_is_its_secret(
    ask: RpcCaller, guest: CartClient, new_customer: Callable[[], Identity]
) -> None:
    assert len(guest.id) >= 22  # 128 bits
    assert (await ask(contract.CREATE)).id != guest.id
    somebody = CartClient(ask, guest.id, new_customer())
    assert (await somebody.get()).id == guest.id
    assert timedelta(days=30) <= (await guest.get()).expires_at - now() <= timedelta(days=30, hours=1)


async def test_a_customer_has_one_cart(ask: RpcCaller, mine: CartClient) -> None:
    opened = await asyncio.gather(*(ask(contract.CREATE, identity=mine.identity) for _ in range(8)), mine.get())
    assert len({cart.id for cart in opened}) == 1
    assert timedelta(days=90) <= opened[0].expires_at - now() <= timedelta(days=90, hours=1)


async def test_one_key_opens_one_cart(ask: RpcCaller, mine: CartClient) -> None:
    for identity in (None, mine.identity):
        key = new_id().hex
        first, _ = await ask.raw(contract.CREATE, {}, identity=identity, key=key)
        again, header = await ask.raw(contract.CREATE, {}, identity=identity, key=key)
        assert again == first
        assert header[headers.REPLAYED] == "true"


async def test_mine_needs_somebody_signed_in(ask: RpcCaller) -> None:
    nobody = CartClient(ask, "mine")
    for attempt in (nobody.get(), nobody.add("A"), nobody.set("A", 1), nobody.remove("A"), nobody.clear()):
        with pytest.raises(Unauthorized):
            await attempt
    with pytest.raises(Unauthorized):
        await ask(contract.MERGE, {"cart_id": "x"})


async def test_nobody_else_uses_a_customers_cart(
    ask: RpcCaller, mine: CartClient, new_customer: Callable[[], Identity], new_product: NewProduct
) -> None:
    sku = await sku_of(new_product)
    id_ = (await mine.add(sku)).id
    by_id = CartClient(ask, id_, mine.identity)
    assert (await by_id.add(sku)).items[0].quantity == 2
    for other in (CartClient(ask, id_), CartClient(ask, id_, new_customer())):
        attempts = (other.get(), other.add(sku), other.set(sku, 9), other.remove(sku), other.clear())
        for attempt in attempts:
            with pytest.raises(NotFound):
                await attempt
    assert (await mine.units()) == {sku: 2}


async def test_an_expired_cart_is_gone_before_it_is_removed(
    ask: RpcCaller, guest: CartClient, mine: CartClient, shop: CartDeps, new_product: NewProduct
) -> None:
    sku = await sku_of(new_product)
    await guest.add(sku)
    old = await mine.add(sku)
    over = {"$set": {"expires_at": now() + timedelta(milliseconds=1)}}  # MongoDB removes once a minute
    await shop.mongo.database.carts.update_many({"_id": {"$in": [guest.id, old.id]}}, over)
    await asyncio.gather(
        *(_gone(attempt) for attempt in (guest.get(), guest.add(sku), CartClient(ask, old.id, mine.identity).get()))
    )
    with pytest.raises(NotFound):
        await ask(contract.MERGE, {"cart_id": guest.id}, identity=mine.identity)
    renewed = await mine.add(sku)
    assert renewed.id != old.id
    assert renewed.items[0].quantity == 1


async def _gone(attempt: Awaitable[Any]) -> None:
    with pytest.raises(NotFound):
        await attempt


async def test_a_guests_cart_joins_mine_once(
    ask: RpcCaller, guest: CartClient, mine: CartClient, new_product: NewProduct
) -> None:
    one, two, three = [await sku_of(new_product, stock=2000) for _ in range(3)]
    await mine.add(one, 5)
    await mine.add(three, 900)
    await guest.add(one, 2)
    await guest.add(two, 3)
    await guest.add(three, 900)
    outcomes = await asyncio.gather(
        *(ask(contract.MERGE, {"cart_id": guest.id}, identity=mine.identity) for _ in range(4)), return_exceptions=True
    )
    assert sum(isinstance(outcome, CartMerged) for outcome in outcomes) == 3
    assert await mine.units() == {one: 7, three: 999, two: 3}
    for attempt in (guest.get(), guest.add(one), guest.clear()):
        with pytest.raises(NotFound):
            await attempt
    with pytest.raises(CartMerged):
        await ask(contract.MERGE, {"cart_id": guest.id}, identity=mine.identity)


async def test_a_merge_with_a_key_is_answered_again(
    ask: RpcCaller, guest: CartClient, mine: CartClient, new_product: NewProduct
) -> None:
    await guest.add(await sku_of(new_product))
    body = {"cart_id": guest.id}
    first, _ = await ask.raw(contract.MERGE, body, identity=mine.identity, key="m")
    again, header = await ask.raw(contract.MERGE, body, identity=mine.identity, key="m")
    assert again == first
    assert header[headers.REPLAYED] == "true"


async def test_only_a_guests_cart_can_be_merged(
    ask: RpcCaller, mine: CartClient, new_customer: Callable[[], Identity], guest: CartClient
) -> None:
    other = await CartClient(ask, "mine", new_customer()).get()
    own = await mine.get()
    for id_ in (other.id, own.id, "mine", "unknown"):
        with pytest.raises(NotFound):
            await ask(contract.MERGE, {"cart_id": id_}, identity=mine.identity)
    merged = await ask(contract.MERGE, {"cart_id": guest.id}, identity=mine.identity)
    assert (merged.id, merged.version) == (own.id, own.version)


async def test_a_merge_that_does_not_fit_leaves_both_as_they_were(
    ask: RpcCaller, guest: CartClient, mine: CartClient, shop: CartDeps, new_product: NewProduct
) -> None:
    id_ = (await mine.get()).id
    sku = await sku_of(new_product)
    await guest.add(sku)
    lines = [{"sku": f"GONE-{number}", **LINE} for number in range(100)]
    await shop.mongo.database.carts.update_one({"_id": id_}, {"$set": {"lines": lines}})
    with pytest.raises(CartFull):
        await ask(contract.MERGE, {"cart_id": guest.id}, identity=mine.identity)
    assert await guest.units() == {sku: 1}
    assert len(await mine.units()) == 100


async def test_checkout_tells_the_lines_to_their_owner(
    as_service: Callable[[str], Awaitable[RpcCaller]], guest: CartClient, mine: CartClient, new_product: NewProduct
) -> None:
    order = await as_service("order")
    assert mine.identity
    user_id, sku = str(mine.identity.user_id), await sku_of(new_product)
    with pytest.raises(CartEmpty):
        await order(contract.CHECKOUT, {"id": "mine", "user_id": user_id})
    own = await mine.add(sku, 2)
    await guest.add(sku, 3)
    found = await order(contract.CHECKOUT, {"id": "mine", "user_id": user_id})
    assert (found.cart_id, found.version) == (cart_reference(own.id), own.version)
    assert [(line.sku, line.quantity) for line in found.lines] == [(sku, 2)]
    for user in (user_id, None):
        found = await order(contract.CHECKOUT, {"id": guest.id, "user_id": user})
        assert [line.quantity for line in found.lines] == [3]
    for body in (
        {"id": own.id, "user_id": None},
        {"id": own.id, "user_id": str(new_id())},
        {"id": "mine", "user_id": None},
    ):
        with pytest.raises(NotFound):
            await order(contract.CHECKOUT, body)
