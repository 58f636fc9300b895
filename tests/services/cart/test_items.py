"""Lines come, change and go, over the real store, broker and catalog."""

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


async def sku_of(new_product: NewProduct, **how: Any) -> str:
    return (await new_product(**how)).variants[0].sku


async def test_units_add_up(guest: CartClient, new_product: NewProduct) -> None:
    product = await new_product(price=1999)
    sku = product.variants[0].sku
    await guest.add(sku, 2)
    cart = await guest.add(sku, 3)
    (item,) = cart.items
    assert (item.sku, item.product_id, item.name) == (sku, product.id, product.name)
    assert (item.quantity, item.unit_price.amount, item.line_total.amount) == (5, 1999, 9995)
    assert (cart.subtotal.amount, cart.discount.amount, cart.total.amount) == (9995, 0, 9995)
    assert item.available == 10
    assert cart.version == 3
    assert await guest.get() == cart


async def test_set_remove_clear(guest: CartClient, new_product: NewProduct) -> None:
    one, two, three = [await sku_of(new_product) for _ in range(3)]
    await guest.add(one)
    await guest.add(two, 4)
    assert (await guest.set(two, 2)).items[1].quantity == 2
    assert (await guest.set(three, 7)).items[2].quantity == 7
    assert [item.sku for item in (await guest.set(one, 0)).items] == [two, three]
    assert [item.sku for item in (await guest.remove(two)).items] == [three]
    cleared = await guest.clear()
    assert (cleared.items, cleared.total.amount, cleared.version) == ([], 0, 8)


async def test_what_is_so_already_changes_nothing(guest: CartClient, new_product: NewProduct) -> None:
    sku = await sku_of(new_product)
    added = await guest.add(sku, 2)
    assert await guest.set(sku, 2) == added
    assert await guest.set(await sku_of(new_product), 0) == added
    cleared = await guest.clear()
    assert await guest.clear() == cleared
    with pytest.raises(NotFound):
        await guest.remove(sku)


async def test_what_is_not_sold_or_not_there_is_refused(guest: CartClient, new_product: NewProduct) -> None:
    sku, plenty = await sku_of(new_product, stock=5), await sku_of(new_product, stock=5000)
    await guest.add(sku, 3)
    with pytest.raises(OutOfStock, match=f"5 of {sku} left"):
        await guest.add(sku, 3)
    with pytest.raises(OutOfStock):
        await guest.set(sku, 6)
    with pytest.raises(SkuUnknown):
        await guest.add(f"T-{new_id().hex}")
    with pytest.raises(SkuUnknown):
        await guest.set(f"T-{new_id().hex}", 1)
    await guest.add(plenty, 999)
    with pytest.raises(InvalidRequest):
        await guest.add(plenty, 1)
    assert await guest.units() == {sku: 3, plenty: 999}


async def test_parallel_adds_all_count(guest: CartClient, new_product: NewProduct) -> None:
    skus = [await sku_of(new_product, stock=100) for _ in range(3)]
    await asyncio.gather(*(guest.add(sku) for sku in skus * 20))
    assert await guest.units() == dict.fromkeys(skus, 20)
    assert (await guest.get()).version == 61


async def test_parallel_adds_with_keys_all_count(guest: CartClient, new_product: NewProduct) -> None:
    """Each in a transaction of its own; those that get in one another's way are tried again."""
    sku = await sku_of(new_product, stock=100)
    await asyncio.gather(*(guest.add(sku, key=f"k{number}") for number in range(12)))
    assert await guest.units() == {sku: 12}


async def test_parallel_adds_do_not_pass_what_there_is(guest: CartClient, new_product: NewProduct) -> None:
    sku = await sku_of(new_product, stock=5)
    outcomes = await asyncio.gather(*(guest.add(sku) for _ in range(15)), return_exceptions=True)
    assert sum(isinstance(outcome, OutOfStock) for outcome in outcomes) == 10
    assert await guest.units() == {sku: 5}


async def test_one_key_has_one_effect(ask: RpcCaller, guest: CartClient, new_product: NewProduct) -> None:
    body = {"id": guest.id, "sku": await sku_of(new_product), "quantity": 2}
    answers = await asyncio.gather(*(ask.raw(contract.ADD, body, key="once") for _ in range(8)))
    assert len({found for found, _ in answers}) == 1
    assert sum(headers.REPLAYED not in header for _, header in answers) == 1
    assert {header[headers.VERSION] for _, header in answers} == {"2"}
    assert await guest.units() == {body["sku"]: 2}
    with pytest.raises(IdempotencyKeyReused):
        await guest.add(body["sku"], 3, key="once")


async def test_a_refusal_is_kept_under_its_key_too(guest: CartClient, new_product: NewProduct) -> None:
    sku = await sku_of(new_product, stock=1)
    for _ in range(2):
        with pytest.raises(OutOfStock):
            await guest.add(sku, 2, key="refused")
    assert await guest.units() == {}


async def test_if_match(guest: CartClient, new_product: NewProduct) -> None:
    sku = await sku_of(new_product)
    await guest.add(sku, 2, if_match=1)
    for stale in (guest.add(sku, if_match=1), guest.set(sku, 1, if_match=1), guest.clear(if_match=3)):
        with pytest.raises(PreconditionFailed):
            await stale
    assert (await guest.set(sku, 5, if_match=2)).version == 3
    assert (await guest.remove(sku, if_match=3)).version == 4


async def test_a_cart_holds_a_hundred_skus(guest: CartClient, shop: CartDeps, new_product: NewProduct) -> None:
    sku = await sku_of(new_product)
    await guest.add(sku)
    others = [{"sku": f"GONE-{number}", **LINE} for number in range(MAX_LINES - 1)]
    await shop.mongo.database.carts.update_one({"_id": guest.id}, {"$push": {"lines": {"$each": others}}})
    with pytest.raises(CartFull):
        await guest.add(await sku_of(new_product))
    assert (await guest.add(sku)).items[0].quantity == 2


async def test_a_guess_that_others_have_overtaken_is_decided_anew(
    guest: CartClient, shop: CartDeps, new_product: NewProduct
) -> None:
    """Another process of the cart service writes what the one that answers here does not know of."""
    one, two = await sku_of(new_product), await sku_of(new_product)
    await guest.add(one, 2)
    await shop.mongo.database.carts.update_one({"_id": guest.id}, {"$set": {"lines": []}, "$inc": {"version": 1}})
    assert (await guest.add(one)).items[0].quantity == 1
    line = {"sku": two, **LINE}
    await shop.mongo.database.carts.update_one({"_id": guest.id}, {"$push": {"lines": line}, "$inc": {"version": 1}})
    cart = await guest.add(one)
    assert [(item.sku, item.quantity, item.available) for item in cart.items] == [(one, 2, 10), (two, 1, 10)]


async def test_every_change_begins_the_time_anew(guest: CartClient, shop: CartDeps, new_product: NewProduct) -> None:
    full = (await guest.get()).expires_at
    soon = {"$set": {"expires_at": full - timedelta(days=20)}}
    await shop.mongo.database.carts.update_one({"_id": guest.id}, soon)
    assert (await guest.get()).expires_at < full
    assert (await guest.add(await sku_of(new_product))).expires_at >= full


BAD = [
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
    {"sku": "A" * 65, "quantity": 1},
    {"sku": "$where", "quantity": 1},
    {"sku": {"$ne": None}, "quantity": 1},
    {"sku": ["A"], "quantity": 1},
    {"sku": "A", "quantity": {"$gt": 0}},
    {"sku": "A", "quantity": 1, "price": 1},
]


@pytest.mark.parametrize("body", BAD, ids=str)
async def test_bad_input_is_refused(guest: CartClient, body: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        await guest.ask(contract.ADD, {"id": guest.id, **body})
    assert (await guest.get()).version == 1


@pytest.mark.parametrize(
    "id_", ["", "a b", "x" * 65, {"$ne": ""}, {"$gt": ""}, ["x"], None, 1, "\u0000", "a.b", "ü"], ids=str
)
async def test_an_id_is_text_and_never_an_operator(ask: RpcCaller, id_: Any) -> None:
    for operation, rest in (
        (contract.GET, {}),
        (contract.CLEAR, {}),
        (contract.ADD, {"sku": "A", "quantity": 1}),
        (contract.REMOVE, {"sku": "A"}),
    ):
        with pytest.raises(InvalidRequest):
            await ask(operation, {"id": id_, **rest})


async def test_a_lone_surrogate_is_refused(ask: RpcCaller, guest: CartClient) -> None:
    with pytest.raises(Fail) as refused:
        await ask.raw(contract.ADD, b'{"id":"%s","sku":"\\ud800","quantity":1}' % guest.id.encode())
    assert refused.value.status in {400, 422}
