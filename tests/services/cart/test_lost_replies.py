"""A connection that breaks after a write and before its reply: the change has its effect once."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import urlsplit, urlunsplit

import pytest

from contracts.cart import Cart
from contracts.catalog import Product
from contracts.failure import Unavailable
from contracts.operator_redelivery import RedeliveryOutcome
from infra.database.mongo import UNAVAILABLE_ERRORS, connect
from infra.foundation.ids import new_id
from services.cart.deps import CartDeps, build_deps
from services.cart.settings import CartSettings
from services.cart.store.carts import INDEXES
from services.cart.write_cache import cart_key
from tests.services.cart.one_process import OneProcess
from tests.services.cart.test_events import deliver, paid
from tests.services.cart.test_items import sku_of
from tests.support.cutting_proxy import CuttingProxy, cutting_proxy

NewProduct = Callable[..., Awaitable[Product]]
UPDATE = b"\x02update\x00"
"""How a command to update begins."""


@pytest.fixture
async def proxy(cart_settings: CartSettings) -> AsyncIterator[CuttingProxy]:
    port = urlsplit(cart_settings.mongo_url).port
    assert port
    async with cutting_proxy(port) as opened:
        yield opened


@pytest.fixture
async def process(cart_settings: CartSettings, proxy: CuttingProxy, deps: CartDeps) -> AsyncIterator[OneProcess]:
    """A process of the cart service whose connections to MongoDB can be cut."""
    url = urlsplit(cart_settings.mongo_url)._replace(netloc=f"127.0.0.1:{proxy.port}")
    settings = cart_settings.model_copy(update={"mongo_url": urlunsplit(url)})
    async with connect(settings, "test", indexes=INDEXES) as mongo:
        yield OneProcess(build_deps(mongo, deps.prices._rpc, settings))


async def test_a_group_whose_reply_is_lost_has_its_effects_once(
    process: OneProcess, proxy: CuttingProxy, new_product: NewProduct
) -> None:
    sku = await sku_of(new_product)
    carts = [await process.new_cart(sku) for _ in range(4)]
    unconcerned = cart_key(carts.pop(), None)
    assert process.deps.write_cache.get(unconcerned)
    proxy.cut_reply_to(UPDATE)
    replies = await asyncio.gather(*(process.add(cart_id, sku) for cart_id in (*carts, carts[0])))
    assert [reply.version for reply in replies] == [3, 3, 3, 4]
    assert [await process.units(cart_id) for cart_id in carts] == [{sku: 3}, {sku: 2}, {sku: 2}]
    assert [(await process.stored(cart_id)).version for cart_id in carts] == [4, 3, 3]
    assert process.deps.write_cache.get(unconcerned) is None, "the server may have lost what was read from it"
    assert proxy.cuts == 1


async def test_a_cart_that_changed_after_the_lost_reply_is_not_changed_again(
    process: OneProcess, proxy: CuttingProxy, deps: CartDeps, new_product: NewProduct
) -> None:
    """It is not known any more whether the change was written; its neighbour is written, and its client hears so."""
    sku, other = await sku_of(new_product), await sku_of(new_product)
    changed, neighbour = [await process.new_cart(sku) for _ in range(2)]
    elsewhere = OneProcess(build_deps(deps.mongo, deps.prices._rpc, deps.settings))

    async def change() -> None:
        await elsewhere.add(changed, other)

    proxy.cut_reply_to(UPDATE, change)
    adds = (process.add(cart_id, sku) for cart_id in (changed, neighbour))
    outcomes = await asyncio.gather(*adds, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Unavailable, Cart]
    assert await process.units(changed) == {sku: 2, other: 1}
    assert await process.units(neighbour) == {sku: 2}


async def test_a_refusal_whose_reply_is_lost_has_no_effect(
    process: OneProcess, proxy: CuttingProxy, deps: CartDeps, new_product: NewProduct
) -> None:
    """Another process has changed the cart before, so it cannot be known that nothing was written."""
    sku, other = await sku_of(new_product), await sku_of(new_product)
    cart_id = await process.new_cart(sku)
    await OneProcess(build_deps(deps.mongo, deps.prices._rpc, deps.settings)).add(cart_id, other)
    proxy.cut_reply_to(UPDATE)
    with pytest.raises(Unavailable):
        await process.add(cart_id, sku)
    assert await process.units(cart_id) == {sku: 1, other: 1}
    await process.add(cart_id, sku)
    assert await process.units(cart_id) == {sku: 2, other: 1}


async def test_one_idempotency_key_has_one_effect_whichever_reply_is_lost(
    process: OneProcess, proxy: CuttingProxy, new_product: NewProduct
) -> None:
    """The client repeats its request, with its key, until it has a reply."""
    sku = await sku_of(new_product, stock=100)
    cart_id = await process.new_cart(sku)
    keys = [new_id().hex for _ in range(5)]
    commands = (b"\x02findAndModify\x00", UPDATE, b"\x10commitTransaction\x00", b"\x02find\x00")
    for number, command in enumerate(commands, 1):
        cuts = proxy.cuts
        proxy.cut_reply_to(command)
        for attempt in itertools.count(1):
            try:
                added = await process.add_once(cart_id, sku, keys[number])
            except UNAVAILABLE_ERRORS:
                assert attempt < 3
            else:
                break
        assert added.version == 2 + number
        assert await process.units(cart_id) == {sku: 1 + number}
        assert proxy.cuts == cuts + 1


async def test_an_order_whose_reply_is_lost_is_applied_once(
    process: OneProcess, proxy: CuttingProxy, new_product: NewProduct
) -> None:
    """The event is delivered again. Meanwhile the customer has filled the cart again."""
    sku = await sku_of(new_product)
    cart_id = await process.new_cart()
    event = paid(await process.add(cart_id, sku, 2))
    proxy.cut_reply_to(UPDATE)
    with pytest.raises(UNAVAILABLE_ERRORS):
        await deliver(process.deps, event)
    assert await process.units(cart_id) == {}
    await process.add(cart_id, sku, 3)
    assert await deliver(process.deps, event) == [RedeliveryOutcome.ALREADY_APPLIED]
    assert await process.units(cart_id) == {sku: 3}
    assert proxy.cuts == 1
