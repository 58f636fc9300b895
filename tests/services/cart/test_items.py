"""Lines are added, changed and removed, over the real store, broker and catalog."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from contracts import cart as contract
from contracts import headers
from contracts.cart import CartFull
from contracts.catalog import OutOfStock, Product, SkuUnknown
from contracts.failure import Fail, IdempotencyKeyReused, InvalidRequest, NotFound, PreconditionFailed
from infra.foundation.ids import new_id
from services.cart.deps import CartDeps
from services.cart.domain.carts import MAX_LINES
from tests.services.cart.conftest import CartClient
from tests.support.rpc import RpcCaller

NewProduct = Callable[..., Awaitable[Product]]
LINE = {"quantity": 1, "product_id": new_id(), "name": "Lamp", "options": [], "price": 1, "shortage": None}


async def sku_of(new_product: NewProduct, **options: Any) -> str:
    return (await new_product(**options)).variants[0].sku


async def test_adding_twice_adds_the_units_up(guest_cart: CartClient, new_product: NewProduct) -> None:
    product = await new_product(price=1999)
    sku = product.variants[0].sku
    await guest_cart.add(sku, 2)
    cart = await guest_cart.add(sku, 3)
    (item,) = cart.items
    assert (item.sku, item.product_id, item.name) == (sku, product.id, product.name)
    assert (item.quantity, item.unit_price.amount, item.line_total.amount) == (5, 1999, 9995)
    assert (cart.subtotal.amount, cart.discount.amount, cart.total.amount) == (9995, 0, 9995)
    assert item.available == 10
    assert cart.version == 3
    assert await guest_cart.get() == cart


async def test_sets_removes_and_clears(guest_cart: CartClient, new_product: NewProduct) -> None:
    one, two, three = [await sku_of(new_product) for _ in range(3)]
    await guest_cart.add(one)
    await guest_cart.add(two, 4)
    assert (await guest_cart.set(two, 2)).items[1].quantity == 2
    assert (await guest_cart.set(three, 7)).items[2].quantity == 7
    assert [item.sku for item in (await guest_cart.set(one, 0)).items] == [two, three]
    assert [item.sku for item in (await guest_cart.remove(two)).items] == [three]
    cleared = await guest_cart.clear()
    assert (cleared.items, cleared.total.amount, cleared.version) == ([], 0, 8)


async def test_a_change_without_effect_keeps_the_version(guest_cart: CartClient, new_product: NewProduct) -> None:
    sku = await sku_of(new_product)
    added = await guest_cart.add(sku, 2)
    assert await guest_cart.set(sku, 2) == added
    assert await guest_cart.set(await sku_of(new_product), 0) == added
    cleared = await guest_cart.clear()
    assert await guest_cart.clear() == cleared
    with pytest.raises(NotFound):
        await guest_cart.remove(sku)


async def test_refuses_unavailable_units_and_unknown_skus(guest_cart: CartClient, new_product: NewProduct) -> None:
    sku, plenty = await sku_of(new_product, stock=5), await sku_of(new_product, stock=5000)
    await guest_cart.add(sku, 3)
    with pytest.raises(OutOfStock, match=f"5 of {sku} left"):
        await guest_cart.add(sku, 3)
    with pytest.raises(OutOfStock):
        await guest_cart.set(sku, 6)
    with pytest.raises(SkuUnknown):
        await guest_cart.add(f"T-{new_id().hex}")
    with pytest.raises(SkuUnknown):
        await guest_cart.set(f"T-{new_id().hex}", 1)
    await guest_cart.add(plenty, 999)
    with pytest.raises(InvalidRequest):
        await guest_cart.add(plenty, 1)
    assert await guest_cart.units() == {sku: 3, plenty: 999}


async def test_concurrent_adds_all_apply(guest_cart: CartClient, new_product: NewProduct) -> None:
    skus = [await sku_of(new_product, stock=100) for _ in range(3)]
    await asyncio.gather(*(guest_cart.add(sku) for sku in skus * 20))
    assert await guest_cart.units() == dict.fromkeys(skus, 20)
    assert (await guest_cart.get()).version == 61


async def test_concurrent_adds_with_idempotency_keys_all_apply(guest_cart: CartClient, new_product: NewProduct) -> None:
    """Each add has its own transaction; those that conflict are tried again."""
    sku = await sku_of(new_product, stock=100)
    await asyncio.gather(*(guest_cart.add(sku, key=f"k{number}") for number in range(12)))
    assert await guest_cart.units() == {sku: 12}


async def test_concurrent_adds_never_exceed_the_stock(guest_cart: CartClient, new_product: NewProduct) -> None:
    sku = await sku_of(new_product, stock=5)
    outcomes = await asyncio.gather(*(guest_cart.add(sku) for _ in range(15)), return_exceptions=True)
    assert sum(isinstance(outcome, OutOfStock) for outcome in outcomes) == 10
    assert await guest_cart.units() == {sku: 5}


async def test_one_idempotency_key_has_one_effect(
    rpc: RpcCaller, guest_cart: CartClient, new_product: NewProduct
) -> None:
    body = {"id": guest_cart.id, "sku": await sku_of(new_product), "quantity": 2}
    replies = await asyncio.gather(*(rpc.raw(contract.ADD, body, key="once") for _ in range(8)))
    assert len({content for content, _ in replies}) == 1
    assert sum(headers.REPLAYED not in header for _, header in replies) == 1
    assert {header[headers.VERSION] for _, header in replies} == {"2"}
    assert await guest_cart.units() == {body["sku"]: 2}
    with pytest.raises(IdempotencyKeyReused):
        await guest_cart.add(body["sku"], 3, key="once")


async def test_a_refusal_is_stored_under_its_idempotency_key(guest_cart: CartClient, new_product: NewProduct) -> None:
    sku = await sku_of(new_product, stock=1)
    for _ in range(2):
        with pytest.raises(OutOfStock):
            await guest_cart.add(sku, 2, key="refused")
    assert await guest_cart.units() == {}


async def test_if_match_refuses_another_version(guest_cart: CartClient, new_product: NewProduct) -> None:
    sku = await sku_of(new_product)
    await guest_cart.add(sku, 2, if_match=1)
    for stale in (guest_cart.add(sku, if_match=1), guest_cart.set(sku, 1, if_match=1), guest_cart.clear(if_match=3)):
        with pytest.raises(PreconditionFailed):
            await stale
    assert (await guest_cart.set(sku, 5, if_match=2)).version == 3
    assert (await guest_cart.remove(sku, if_match=3)).version == 4


async def test_a_cart_holds_at_most_a_hundred_skus(
    guest_cart: CartClient, deps: CartDeps, new_product: NewProduct
) -> None:
    sku = await sku_of(new_product)
    await guest_cart.add(sku)
    others = [{"sku": f"GONE-{number}", **LINE} for number in range(MAX_LINES - 1)]
    await deps.mongo.database.carts.update_one({"_id": guest_cart.id}, {"$push": {"lines": {"$each": others}}})
    with pytest.raises(CartFull):
        await guest_cart.add(await sku_of(new_product))
    assert (await guest_cart.add(sku)).items[0].quantity == 2


async def test_a_change_based_on_a_stale_cached_cart_is_decided_again(
    guest_cart: CartClient, deps: CartDeps, new_product: NewProduct
) -> None:
    """Another process of the cart service has changed the cart in between."""
    one, other = await sku_of(new_product), await new_product()
    two = other.variants[0].sku
    await guest_cart.add(one, 2)
    await deps.mongo.database.carts.update_one({"_id": guest_cart.id}, {"$set": {"lines": []}, "$inc": {"version": 1}})
    assert (await guest_cart.add(one)).items[0].quantity == 1
    line = {"sku": two, **LINE, "product_id": other.id}
    await deps.mongo.database.carts.update_one(
        {"_id": guest_cart.id}, {"$push": {"lines": line}, "$inc": {"version": 1}}
    )
    cart = await guest_cart.add(one)
    assert [(item.sku, item.quantity, item.available) for item in cart.items] == [(one, 2, 10), (two, 1, 10)]


async def test_every_change_extends_the_expiry(guest_cart: CartClient, deps: CartDeps, new_product: NewProduct) -> None:
    full = (await guest_cart.get()).expires_at
    soon = {"$set": {"expires_at": full - timedelta(days=20)}}
    await deps.mongo.database.carts.update_one({"_id": guest_cart.id}, soon)
    assert (await guest_cart.get()).expires_at < full
    assert (await guest_cart.add(await sku_of(new_product))).expires_at >= full


INVALID_BODIES = [
    {"sku": "A", "quantity": 0},
    {"sku": "A", "quantity": -1},
    {"sku": "A", "quantity": 1000},
    {"sku": "A", "quantity": 2**62},
    {"sku": "A", "quantity": 1.5},
    {"sku": "A", "quantity": "1"},
    {"sku": "A", "quantity": True},
    {"sku": "A", "quantity": None},
    {"sku": "A"},
    {"quantity": 1},
    {"sku": "", "quantity": 1},
    {"sku": "A\u0000", "quantity": 1},
    {"sku": "A\n", "quantity": 1},
    {"sku": "A" * 256, "quantity": 1},
    {"sku": {"$ne": None}, "quantity": 1},
    {"sku": ["A"], "quantity": 1},
    {"sku": "A", "quantity": {"$gt": 0}},
    {"sku": "A", "quantity": 1, "price": 1},
]


@pytest.mark.parametrize("body", INVALID_BODIES, ids=str)
async def test_bad_input_is_refused(guest_cart: CartClient, body: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        await guest_cart.rpc(contract.ADD, {"id": guest_cart.id, **body})
    assert (await guest_cart.get()).version == 1


@pytest.mark.parametrize("sku", ["$where", "$lines", "lines.0", "$$ROOT"])
async def test_a_sku_is_text_and_never_an_operator(guest_cart: CartClient, new_product: NewProduct, sku: str) -> None:
    with pytest.raises(SkuUnknown):
        await guest_cart.add(sku)
    await new_product(sku=(on_sale := f"{sku}-{new_id().hex}"))
    await guest_cart.add(on_sale, 2)
    await guest_cart.add(on_sale, 1)
    await guest_cart.set(on_sale, 5)
    assert await guest_cart.units() == {on_sale: 5}
    await guest_cart.remove(on_sale)
    assert await guest_cart.units() == {}


@pytest.mark.parametrize(
    "id_", ["", "a b", "x" * 65, {"$ne": ""}, {"$gt": ""}, ["x"], None, 1, "\u0000", "a.b", "ü"], ids=str
)
async def test_an_id_is_text_and_never_an_operator(rpc: RpcCaller, id_: Any) -> None:
    for operation, rest in (
        (contract.GET, {}),
        (contract.CLEAR, {}),
        (contract.ADD, {"sku": "A", "quantity": 1}),
        (contract.REMOVE, {"sku": "A"}),
    ):
        with pytest.raises(InvalidRequest):
            await rpc(operation, {"id": id_, **rest})


async def test_a_lone_surrogate_is_refused(rpc: RpcCaller, guest_cart: CartClient) -> None:
    with pytest.raises(Fail) as refused:
        await rpc.raw(contract.ADD, b'{"id":"%s","sku":"\\ud800","quantity":1}' % guest_cart.id.encode())
    assert refused.value.status in {400, 422}
