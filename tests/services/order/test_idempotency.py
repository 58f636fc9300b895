"""Many at the same moment: one key one order, one cart's version one order, and never more than there is."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

from contracts import cart, catalog, headers
from contracts import order as contract
from contracts.cart import CartEmpty
from contracts.catalog import HoldMismatch, OutOfStock, Product
from contracts.failure import IdempotencyInProgress, IdempotencyKeyReused
from contracts.identity import Identity
from contracts.order import Order
from infra.foundation.ids import new_id
from services.order.domain.orders import CartVersion
from services.order.handlers.place import derive_hold_id
from tests.services.order.conftest import OrderClient
from tests.support.http import ADDRESS
from tests.support.rpc import RpcCaller

NewProduct = Callable[..., Awaitable[Product]]


async def all_of(*asks: Awaitable[Any]) -> list[Any]:
    return await asyncio.gather(*asks, return_exceptions=True)


async def test_a_hundred_at_once_for_the_last_ten(
    counter: OrderClient, new_product: NewProduct, new_customer: Callable[[], Identity]
) -> None:
    lamp = await new_product(stock=10)

    ends = await all_of(*(counter.place(new_customer(), (lamp, 1)) for _ in range(100)))

    placed = [end for end in ends if isinstance(end, Order)]
    refused = [end for end in ends if isinstance(end, OutOfStock)]
    assert (len(placed), len(refused)) == (10, 90)
    assert all("0 left" in fail.errors[0].detail for fail in refused)
    assert len({order.number for order in placed}) == 10
    level = await counter.stock(lamp)
    assert (level.on_hand, level.reserved, level.available) == (10, 10, 0)


async def test_twenty_at_once_with_one_key_are_one_order(
    counter: OrderClient, ask: RpcCaller, new_product: NewProduct, new_customer: Callable[[], Identity]
) -> None:
    lamp, who, key = await new_product(), new_customer(), new_id().hex
    body = counter.body((lamp, 1))

    ends = await all_of(*(ask.raw(contract.PLACE, body, identity=who, key=key) for _ in range(20)))

    assert not [end for end in ends if isinstance(end, BaseException)]
    assert len({answer for answer, _ in ends}) == 1
    assert len([header for _, header in ends if headers.REPLAYED not in header]) == 1
    assert len((await ask(contract.LIST, identity=who)).items) == 1
    await counter.wait_for_stock(lamp, on_hand=10, reserved=1)


async def test_a_key_used_for_another_order_is_refused(
    counter: OrderClient, ask: RpcCaller, new_product: NewProduct, new_customer: Callable[[], Identity]
) -> None:
    lamp, who, key = await new_product(), new_customer(), new_id().hex
    await counter.place(who, (lamp, 1), key=key)
    with pytest.raises(IdempotencyKeyReused):
        await counter.place(who, (lamp, 2), key=key)
    assert (await counter.stock(lamp)).reserved == 1


async def test_different_orders_at_once_with_one_key_hold_the_stock_of_one(
    counter: OrderClient, ask: RpcCaller, new_product: NewProduct, new_customer: Callable[[], Identity]
) -> None:
    lamp, who, key = await new_product(stock=100), new_customer(), new_id().hex

    ends = await all_of(*(counter.place(who, (lamp, quantity), key=key) for quantity in range(1, 11)))

    placed = [end for end in ends if isinstance(end, Order)]
    assert len(placed) == 1
    assert {type(end) for end in ends if end is not placed[0]} == {IdempotencyKeyReused}
    await counter.wait_for_stock(lamp, on_hand=100, reserved=placed[0].items[0].quantity)


async def test_the_same_key_of_two_customers_is_two_orders(
    counter: OrderClient, new_product: NewProduct, new_customer: Callable[[], Identity]
) -> None:
    lamp, key = await new_product(), new_id().hex
    mine = await counter.place(new_customer(), (lamp, 1), key=key)
    theirs = await counter.place(new_customer(), (lamp, 1), key=key)
    assert mine.id != theirs.id


async def test_a_version_of_a_cart_is_ordered_once(
    counter: OrderClient, ask: RpcCaller, new_product: NewProduct, new_customer: Callable[[], Identity]
) -> None:
    lamp, who = await new_product(), new_customer()
    await ask(cart.ADD, {"id": "mine", "sku": lamp.variants[0].sku, "quantity": 2}, identity=who)
    body = {"cart_id": "mine", "shipping_address": ADDRESS}

    keys = [None, *(new_id().hex for _ in range(4))] * 2
    ends = await all_of(*(ask(contract.PLACE, body, identity=who, key=key) for key in keys))

    assert len({end.id for end in ends if isinstance(end, Order)}) == 1
    assert {type(end) for end in ends} <= {Order, CartEmpty, IdempotencyInProgress}
    assert len((await ask(contract.LIST, identity=who)).items) == 1
    await counter.wait_for_stock(lamp, on_hand=10, reserved=2)


async def a_cart(ask: RpcCaller, order: RpcCaller, who: Identity, lamp: Product) -> CartVersion:
    """As order is told of it."""
    await ask(cart.ADD, {"id": "mine", "sku": lamp.variants[0].sku, "quantity": 2}, identity=who)
    found = await order(cart.CHECKOUT, {"id": "mine", "user_id": str(who.user_id)})
    return CartVersion(found.cart_id, found.version)


async def held_before(order: RpcCaller, hold_id: UUID, lamp: Product, seconds: int) -> None:
    """As a process of order does that dies before it can write the order."""
    lines = [{"sku": lamp.variants[0].sku, "quantity": 2}]
    await order(catalog.HOLD, {"hold_id": str(hold_id), "lines": lines, "seconds": seconds})


@pytest.mark.parametrize("seconds", [1800 + 600, 60])
async def test_who_tries_again_after_a_crash_finds_the_hold_again(
    seconds: int,
    counter: OrderClient,
    ask: RpcCaller,
    as_service: Callable[[str], Awaitable[RpcCaller]],
    database: Callable[[str], Awaitable[Any]],
    new_product: NewProduct,
    new_customer: Callable[[], Identity],
) -> None:
    """One that soon runs out is held anew, so that there is time to pay."""
    lamp, who = await new_product(stock=2), new_customer()
    hold_id = derive_hold_id(await a_cart(ask, await as_service("order"), who, lamp), None)
    await held_before(await as_service("order"), hold_id, lamp, seconds)

    order = await ask(contract.PLACE, {"cart_id": "mine", "shipping_address": ADDRESS}, identity=who)

    row = await (await database("order")).fetchrow(
        "SELECT hold_id, pay_by - now() > interval '10 minutes' AS in_time FROM orders WHERE id = $1", order.id
    )
    assert (row["hold_id"], row["in_time"]) == (hold_id, True)
    await counter.wait_for_stock(lamp, on_hand=2, reserved=2)


async def test_a_hold_of_other_lines_is_not_taken_for_ones_own(
    ask: RpcCaller,
    as_service: Callable[[str], Awaitable[RpcCaller]],
    new_product: NewProduct,
    new_customer: Callable[[], Identity],
) -> None:
    lamp, who = await new_product(), new_customer()
    hold_id = derive_hold_id(await a_cart(ask, await as_service("order"), who, lamp), None)
    await held_before(await as_service("order"), hold_id, await new_product(), 3600)
    with pytest.raises(HoldMismatch):
        await ask(contract.PLACE, {"cart_id": "mine", "shipping_address": ADDRESS}, identity=who)


async def test_a_failure_before_the_hold_is_kept_under_the_key(
    counter: OrderClient, new_product: NewProduct, new_customer: Callable[[], Identity], ask: RpcCaller, admin: Identity
) -> None:
    lamp, who, key = await new_product(stock=0), new_customer(), new_id().hex
    for _ in range(2):
        with pytest.raises(OutOfStock):
            await counter.place(who, (lamp, 1), key=key)
        await ask(catalog.ADJUST_STOCK, {"sku": lamp.variants[0].sku, "set": 5, "reason": "found"}, identity=admin)
    assert isinstance(await counter.place(who, (lamp, 1), key=new_id().hex), Order)


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_key_never_makes_two_orders_even_when_its_answer_is_forgotten(
    cancelled: bool,  # noqa: FBT001 - a parameter of the test
    counter: OrderClient,
    ask: RpcCaller,
    database: Callable[[str], Awaitable[Any]],
    new_product: NewProduct,
    new_customer: Callable[[], Identity],
) -> None:
    lamp, who, key = await new_product(), new_customer(), new_id().hex
    first = await counter.place(who, (lamp, 1), key=key)
    if cancelled:
        await ask(contract.CANCEL, {"id": str(first.id)}, identity=who)
        await counter.wait_for_stock(lamp, on_hand=10, reserved=0)
    await (await database("order")).execute(
        "DELETE FROM idempotency WHERE position(convert_to($1, 'UTF8') IN answer) > 0", str(first.id)
    )

    again = await counter.place(who, (lamp, 1), key=key)

    assert (again.id, again.number) == (first.id, first.number)
    await counter.wait_for_stock(lamp, on_hand=10, reserved=0 if cancelled else 1)


async def test_who_waits_too_long_for_another_is_told_to_try_again(
    counter: OrderClient,
    ask: RpcCaller,
    as_service: Callable[[str], Awaitable[RpcCaller]],
    database: Callable[[str], Awaitable[Any]],
    new_product: NewProduct,
    new_customer: Callable[[], Identity],
) -> None:
    """Another process writes the same order, and does not come to an end."""
    lamp, who = await new_product(), new_customer()
    hold_id = derive_hold_id(await a_cart(ask, await as_service("order"), who, lamp), None)
    body = {"cart_id": "mine", "shipping_address": ADDRESS}
    frozen = (await database("order")).transaction()
    await frozen.start()
    await (await database("order")).execute(SAME_HOLD, hold_id)
    try:
        with pytest.raises(IdempotencyInProgress):
            await ask(contract.PLACE, body, identity=who)
    finally:
        await frozen.rollback()

    order = await ask(contract.PLACE, body, identity=who)

    assert order.items[0].quantity == 2
    await counter.wait_for_stock(lamp, on_hand=10, reserved=2)


SAME_HOLD = """
INSERT INTO orders (
    id, status, hold_id, currency, subtotal, discount, shipping, tax, total, items, shipping_method, shipping_address,
    history, pay_by, created_at, updated_at
)
VALUES (
    gen_random_uuid(), 'pending', $1, 'USD', 0, 0, 0, 0, 0, '[]', 'standard', '{}', '[]', now(), now(), now()
)
"""
