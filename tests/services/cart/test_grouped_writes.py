"""Changes that are under way together are written as one group: each has its effect once, and only its own errors."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from pymongo.errors import DocumentTooLarge

from contracts import cart as contract
from contracts.cart import Cart
from contracts.catalog import OutOfStock, Product, SkuUnknown
from contracts.failure import NotFound, PreconditionFailed, Unavailable
from infra.database.mongo import Document
from infra.foundation.ids import new_id
from infra.messaging.rpc_client import Request
from services.cart.app import HANDLERS
from services.cart.deps import CartDeps, build_deps
from services.cart.settings import CartSettings
from services.cart.store import grouped_writes
from tests.services.cart.one_process import OneProcess
from tests.services.cart.test_items import LINE, sku_of

NewProduct = Callable[..., Awaitable[Product]]


@pytest.fixture
async def process(deps: CartDeps, cart_settings: CartSettings) -> OneProcess:
    return OneProcess(build_deps(deps.mongo, deps.prices._rpc, cart_settings))


async def test_fifty_parallel_changes_of_one_cart_all_apply_in_order(
    process: OneProcess, new_product: NewProduct
) -> None:
    skus = [await sku_of(new_product, stock=100) for _ in range(3)]
    cart_id = await process.new_cart(skus[0], also_cached=skus)
    replies = await asyncio.gather(*(process.add(cart_id, skus[number % 3]) for number in range(50)))
    assert [reply.version for reply in replies] == list(range(3, 53))
    assert await process.units(cart_id) == {skus[0]: 18, skus[1]: 17, skus[2]: 16}
    assert [sum(item.quantity for item in reply.items) for reply in replies] == list(range(2, 52))
    assert len(process.groups) < 10
    assert [line.since for line in (await process.stored(cart_id)).lines] == [2, 4, 5]


async def test_fifty_parallel_changes_of_fifty_carts_go_in_few_commands(
    process: OneProcess, new_product: NewProduct
) -> None:
    sku = await sku_of(new_product, stock=1000)
    carts = [await process.new_cart() for _ in range(50)]
    await process.deps.prices.cache_quotes([sku])
    replies = await asyncio.gather(*(process.add(cart_id, sku) for cart_id in carts))
    assert [(reply.id, reply.version) for reply in replies] == [(cart_id, 2) for cart_id in carts]
    assert [await process.units(cart_id) for cart_id in carts] == [{sku: 1}] * 50
    assert len(process.groups) < 10
    assert sorted(cart_id for group in process.groups for cart_id in group) == sorted(carts)


async def test_two_changes_of_one_cart_in_one_group_keep_their_order(
    process: OneProcess, new_product: NewProduct
) -> None:
    sku, other = await sku_of(new_product), await sku_of(new_product)
    cart_id = await process.new_cart(sku, also_cached=[other])
    added, was_set = await asyncio.gather(process.add(cart_id, sku, 2), process.set(cart_id, sku, 7))
    assert (added.items[0].quantity, was_set.items[0].quantity, was_set.version) == (3, 7, 4)
    was_set, added = await asyncio.gather(process.set(cart_id, sku, 1), process.add(cart_id, sku, 2))
    assert (was_set.items[0].quantity, added.items[0].quantity, added.version) == (1, 3, 6)
    assert process.groups == [[cart_id], [cart_id]]
    removed, added = await asyncio.gather(process.remove(cart_id, sku), process.add(cart_id, other))
    assert [item.sku for item in added.items] == [other]
    assert (removed.version, added.version) == (7, 8)


async def test_a_conflict_is_decided_again_and_its_neighbours_are_written(
    process: OneProcess, new_product: NewProduct
) -> None:
    """Another process has emptied one of the carts, so its change was decided on lines that are gone."""
    sku, other = await sku_of(new_product), await sku_of(new_product)
    changed, *neighbours = [await process.new_cart(sku, also_cached=[other]) for _ in range(3)]
    await process.change_elsewhere(changed, {"$set": {"lines": []}, "$inc": {"version": 1}})
    adds = [process.add(cart_id, added) for cart_id in (changed, *neighbours) for added in (sku, other)]
    replies = await asyncio.gather(*adds)
    assert [await process.units(cart_id) for cart_id in (changed, *neighbours)] == [
        {sku: 1, other: 1},
        {sku: 2, other: 1},
        {sku: 2, other: 1},
    ]
    assert [reply.version for reply in replies] == [4, 5, 3, 4, 3, 4]
    assert process.groups == [[changed, *neighbours]]
    assert [line.since for line in (await process.stored(changed)).lines] == [4, 5]


async def test_units_that_another_process_has_added_are_not_overwritten(
    process: OneProcess, new_product: NewProduct
) -> None:
    sku = await sku_of(new_product)
    cart_id = await process.new_cart(sku)
    await process.change_elsewhere(cart_id, {"$inc": {"lines.0.quantity": 3, "version": 1}})
    added = await process.add(cart_id, sku)
    assert (added.items[0].quantity, added.version) == (5, 4)
    assert await process.units(cart_id) == {sku: 5}


async def test_a_refused_change_of_a_group_fails_alone(process: OneProcess, new_product: NewProduct) -> None:
    sku, short = await sku_of(new_product), await sku_of(new_product, stock=2)
    one, two = [await process.new_cart(sku) for _ in range(2)]
    outcomes = await asyncio.gather(
        process.add(one, short, 2),
        process.add(one, short),
        process.add(one, f"T-{new_id().hex}"),
        process.add(one, sku),
        process.add(two, sku, 3),
        return_exceptions=True,
    )
    kinds = [type(outcome) for outcome in outcomes]
    assert kinds == [Cart, OutOfStock, SkuUnknown, Cart, Cart]
    assert await process.units(one) == {sku: 2, short: 2}
    assert await process.units(two) == {sku: 4}


async def test_a_change_that_is_too_large_to_send_fails_alone(process: OneProcess, new_product: NewProduct) -> None:
    sku, other = await sku_of(new_product), await sku_of(new_product)
    large, neighbour = [await process.new_cart(sku, also_cached=[other]) for _ in range(2)]
    cache = process.deps.prices._cache
    quote = cache[other].quote
    assert quote is not None
    cache[other] = replace(cache[other], quote=quote.model_copy(update={"name": "x" * 17_000_000}))
    outcomes = await asyncio.gather(process.add(large, other), process.add(neighbour, sku), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [DocumentTooLarge, Cart]
    assert (await process.units(large), await process.units(neighbour)) == ({sku: 1}, {sku: 2})
    assert process.groups == [[large, neighbour], [large], [neighbour]]


async def test_a_damaged_cart_fails_alone(process: OneProcess, new_product: NewProduct) -> None:
    sku = await sku_of(new_product)
    damaged, neighbour = [await process.new_cart(sku) for _ in range(2)]
    await process.change_elsewhere(damaged, {"$set": {"lines": "none"}})
    outcomes = await asyncio.gather(process.add(damaged, sku), process.add(neighbour, sku), return_exceptions=True)
    assert isinstance(outcomes[0], Exception)
    assert await process.units(neighbour) == {sku: 2}
    assert process.groups == [[damaged, neighbour]]


async def test_a_locked_cart_does_not_fail_its_neighbours(
    process: OneProcess, new_product: NewProduct, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction of a client that has died keeps a cart locked until MongoDB ends it, after 5 s."""
    monkeypatch.setattr(grouped_writes, "GROUP_TIMEOUT_MS", 200)
    sku = await sku_of(new_product)
    free, locked, last = [await process.new_cart(sku) for _ in range(3)]
    client = process.deps.mongo.client
    async with await client.start_session() as session, session.start_transaction():
        carts = process.deps.mongo.database.carts
        await carts.update_one({"_id": locked}, {"$set": {"note": 1}}, session=session)
        adds = (process.add(cart_id, sku) for cart_id in (free, locked, last))
        outcomes = await asyncio.gather(*adds, return_exceptions=True)
        await session.abort_transaction()
    assert [type(outcome) for outcome in outcomes] == [Cart, Unavailable, Cart]
    assert [await process.units(cart_id) for cart_id in (free, locked, last)] == [{sku: 2}, {sku: 1}, {sku: 2}]


async def test_the_expected_version_is_checked_for_each_change_of_a_group(
    process: OneProcess, new_product: NewProduct
) -> None:
    sku = await sku_of(new_product)
    cart_id = await process.new_cart(sku)
    versions = (2, 2, 3)
    adds = (process.add(cart_id, sku, if_match=frozenset({version})) for version in versions)
    outcomes = await asyncio.gather(*adds, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Cart, PreconditionFailed, Cart]
    assert await process.units(cart_id) == {sku: 3}


@pytest.mark.parametrize(
    "update", [{"expires_at": datetime(2026, 1, 1, tzinfo=UTC)}, {"merged_into": "x" * 22}], ids=("expired", "merged")
)
async def test_a_cart_that_has_ended_takes_no_change(
    process: OneProcess, new_product: NewProduct, update: Document
) -> None:
    """The process has read the cart before."""
    sku = await sku_of(new_product)
    cart_id = await process.new_cart(sku)
    await process.change_elsewhere(cart_id, {"$set": update})
    with pytest.raises(NotFound):
        await process.add(cart_id, sku)
    assert process.groups == [[cart_id]]
    assert await process.units(cart_id) == {sku: 1}


async def test_a_deleted_cart_is_not_created_by_a_change(process: OneProcess, new_product: NewProduct) -> None:
    sku = await sku_of(new_product)
    cart_id = await process.new_cart(sku)
    await process.deps.mongo.database.carts.delete_one({"_id": cart_id})
    with pytest.raises(NotFound):
        await process.add(cart_id, sku)
    assert await process.deps.mongo.database.carts.count_documents({"_id": {"$in": [cart_id, None]}}) == 0


async def test_a_cart_that_was_expected_to_be_emptied_keeps_its_lines(
    process: OneProcess, new_product: NewProduct
) -> None:
    """A checkout makes the next change expect an empty cart, but that version of it came from another change."""
    sku, other = await sku_of(new_product), await sku_of(new_product)
    cart_id = await process.new_cart(sku)
    await HANDLERS[contract.CHECKOUT](process.deps, Request(contract.CheckoutRequest(id=cart_id, user_id=None)))
    line = {**LINE, "sku": other}
    await process.change_elsewhere(cart_id, {"$push": {"lines": line}, "$inc": {"version": 1}})
    await process.add(cart_id, sku)
    assert await process.units(cart_id) == {sku: 2, other: 1}
