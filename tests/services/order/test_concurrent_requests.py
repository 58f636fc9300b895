"""Concurrent requests: one order per key and per cart version, and never more stock sold than exists."""

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
from contracts.order import Order, PlacedOrder
from infra.foundation.ids import new_id
from services.order.domain.orders import CartVersion
from services.order.handlers.place import derive_hold_id
from tests.services.order.conftest import OrderClient
from tests.support.http import ADDRESS
from tests.support.rpc import RpcCaller

NewProduct = Callable[..., Awaitable[Product]]


async def run_concurrently(*calls: Awaitable[Any]) -> list[Any]:
    return await asyncio.gather(*calls, return_exceptions=True)


async def test_a_hundred_concurrent_orders_for_the_last_ten_units(
    order_client: OrderClient, new_product: NewProduct, new_customer: Callable[[], Identity]
) -> None:
    lamp = await new_product(stock=10)

    ends = await run_concurrently(*(order_client.place(new_customer(), (lamp, 1)) for _ in range(100)))

    placed = [end for end in ends if isinstance(end, Order)]
    refused = [end for end in ends if isinstance(end, OutOfStock)]
    assert (len(placed), len(refused)) == (10, 90)
    assert all("0 left" in fail.errors[0].detail for fail in refused)
    assert len({order.number for order in placed}) == 10
    level = await order_client.stock(lamp)
    assert (level.on_hand, level.reserved, level.available) == (10, 10, 0)


async def test_twenty_concurrent_requests_with_one_key_make_one_order(
    order_client: OrderClient, rpc: RpcCaller, new_product: NewProduct, new_customer: Callable[[], Identity]
) -> None:
    lamp, buyer, key = await new_product(), new_customer(), new_id().hex
    body = order_client.body((lamp, 1))

    ends = await run_concurrently(*(rpc.raw(contract.PLACE, body, identity=buyer, key=key) for _ in range(20)))

    assert not [end for end in ends if isinstance(end, BaseException)]
    assert len({answer for answer, _ in ends}) == 1
    assert len([header for _, header in ends if headers.REPLAYED not in header]) == 1
    assert len((await rpc(contract.LIST, identity=buyer)).items) == 1
    await order_client.wait_for_stock(lamp, on_hand=10, reserved=1)


async def test_a_key_reused_for_another_order_is_refused(
    order_client: OrderClient, rpc: RpcCaller, new_product: NewProduct, new_customer: Callable[[], Identity]
) -> None:
    lamp, buyer, key = await new_product(), new_customer(), new_id().hex
    await order_client.place(buyer, (lamp, 1), key=key)
    with pytest.raises(IdempotencyKeyReused):
        await order_client.place(buyer, (lamp, 2), key=key)
    assert (await order_client.stock(lamp)).reserved == 1


async def test_concurrent_different_orders_with_one_key_hold_the_stock_of_one(
    order_client: OrderClient, rpc: RpcCaller, new_product: NewProduct, new_customer: Callable[[], Identity]
) -> None:
    lamp, buyer, key = await new_product(stock=100), new_customer(), new_id().hex

    ends = await run_concurrently(*(order_client.place(buyer, (lamp, quantity), key=key) for quantity in range(1, 11)))

    placed = [end for end in ends if isinstance(end, Order)]
    assert len(placed) == 1
    assert {type(end) for end in ends if end is not placed[0]} == {IdempotencyKeyReused}
    await order_client.wait_for_stock(lamp, on_hand=100, reserved=placed[0].items[0].quantity)


async def test_the_same_key_of_two_customers_makes_two_orders(
    order_client: OrderClient, new_product: NewProduct, new_customer: Callable[[], Identity]
) -> None:
    lamp, key = await new_product(), new_id().hex
    mine = await order_client.place(new_customer(), (lamp, 1), key=key)
    theirs = await order_client.place(new_customer(), (lamp, 1), key=key)
    assert mine.id != theirs.id


async def test_a_cart_version_is_ordered_once(
    order_client: OrderClient, rpc: RpcCaller, new_product: NewProduct, new_customer: Callable[[], Identity]
) -> None:
    lamp, buyer = await new_product(), new_customer()
    await rpc(cart.ADD, {"id": "mine", "sku": lamp.variants[0].sku, "quantity": 2}, identity=buyer)
    body = {"cart_id": "mine", "shipping_address": ADDRESS}

    keys = [None, *(new_id().hex for _ in range(4))] * 2
    ends = await run_concurrently(*(rpc(contract.PLACE, body, identity=buyer, key=key) for key in keys))

    assert len({end.id for end in ends if isinstance(end, Order)}) == 1
    assert {type(end) for end in ends} <= {PlacedOrder, CartEmpty, IdempotencyInProgress}
    assert len((await rpc(contract.LIST, identity=buyer)).items) == 1
    await order_client.wait_for_stock(lamp, on_hand=10, reserved=2)


async def checkout_cart(rpc: RpcCaller, order: RpcCaller, buyer: Identity, lamp: Product) -> CartVersion:
    """Adds a lamp to the buyer's cart and returns the version that order would read."""
    await rpc(cart.ADD, {"id": "mine", "sku": lamp.variants[0].sku, "quantity": 2}, identity=buyer)
    found = await order(cart.CHECKOUT, {"id": "mine", "user_id": str(buyer.user_id)})
    return CartVersion(found.cart_id, found.version)


async def hold_stock(order: RpcCaller, hold_id: UUID, lamp: Product, seconds: int) -> None:
    """Holds stock as a process of order does that dies before it writes the order."""
    lines = [{"sku": lamp.variants[0].sku, "quantity": 2}]
    await order(catalog.HOLD, {"hold_id": str(hold_id), "lines": lines, "seconds": seconds})


@pytest.mark.parametrize("seconds", [1800 + 600, 60])
async def test_a_retry_after_a_crash_finds_the_hold(
    seconds: int,
    order_client: OrderClient,
    rpc: RpcCaller,
    as_service: Callable[[str], Awaitable[RpcCaller]],
    database: Callable[[str], Awaitable[Any]],
    new_product: NewProduct,
    new_customer: Callable[[], Identity],
) -> None:
    """A hold that expires soon is made again, so that there is time to pay."""
    lamp, buyer = await new_product(stock=2), new_customer()
    hold_id = derive_hold_id(await checkout_cart(rpc, await as_service("order"), buyer, lamp), None)
    await hold_stock(await as_service("order"), hold_id, lamp, seconds)

    order = await rpc(contract.PLACE, {"cart_id": "mine", "shipping_address": ADDRESS}, identity=buyer)

    row = await (await database("order")).fetchrow(
        "SELECT hold_id, pay_by - now() > interval '10 minutes' AS in_time FROM orders WHERE id = $1", order.id
    )
    assert (row["hold_id"], row["in_time"]) == (hold_id, True)
    await order_client.wait_for_stock(lamp, on_hand=2, reserved=2)


async def test_a_hold_of_other_lines_is_not_reused(
    rpc: RpcCaller,
    as_service: Callable[[str], Awaitable[RpcCaller]],
    new_product: NewProduct,
    new_customer: Callable[[], Identity],
) -> None:
    lamp, buyer = await new_product(), new_customer()
    hold_id = derive_hold_id(await checkout_cart(rpc, await as_service("order"), buyer, lamp), None)
    await hold_stock(await as_service("order"), hold_id, await new_product(), 3600)
    with pytest.raises(HoldMismatch):
        await rpc(contract.PLACE, {"cart_id": "mine", "shipping_address": ADDRESS}, identity=buyer)


async def test_a_failure_before_the_hold_is_stored_under_the_key(
    order_client: OrderClient,
    new_product: NewProduct,
    new_customer: Callable[[], Identity],
    rpc: RpcCaller,
    admin: Identity,
) -> None:
    lamp, buyer, key = await new_product(stock=0), new_customer(), new_id().hex
    for _ in range(2):
        with pytest.raises(OutOfStock):
            await order_client.place(buyer, (lamp, 1), key=key)
        await rpc(catalog.ADJUST_STOCK, {"sku": lamp.variants[0].sku, "set": 5, "reason": "found"}, identity=admin)
    assert isinstance(await order_client.place(buyer, (lamp, 1), key=new_id().hex), Order)


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_key_never_makes_two_orders_even_when_its_reply_is_deleted(
    cancelled: bool,  # noqa: FBT001 - a parameter of the test
    order_client: OrderClient,
    rpc: RpcCaller,
    database: Callable[[str], Awaitable[Any]],
    new_product: NewProduct,
    new_customer: Callable[[], Identity],
) -> None:
    lamp, buyer, key = await new_product(), new_customer(), new_id().hex
    first = await order_client.place(buyer, (lamp, 1), key=key)
    if cancelled:
        await rpc(contract.CANCEL, {"id": str(first.id)}, identity=buyer)
        await order_client.wait_for_stock(lamp, on_hand=10, reserved=0)
    await (await database("order")).execute(
        "DELETE FROM idempotency WHERE position(convert_to($1, 'UTF8') IN answer) > 0", str(first.id)
    )

    again = await order_client.place(buyer, (lamp, 1), key=key)

    assert (again.id, again.number) == (first.id, first.number)
    await order_client.wait_for_stock(lamp, on_hand=10, reserved=0 if cancelled else 1)


async def test_a_request_that_waits_too_long_for_another_is_told_to_retry(
    order_client: OrderClient,
    rpc: RpcCaller,
    as_service: Callable[[str], Awaitable[RpcCaller]],
    database: Callable[[str], Awaitable[Any]],
    new_product: NewProduct,
    new_customer: Callable[[], Identity],
) -> None:
    """Another process writes the same order and does not finish."""
    lamp, buyer = await new_product(), new_customer()
    hold_id = derive_hold_id(await checkout_cart(rpc, await as_service("order"), buyer, lamp), None)
    body = {"cart_id": "mine", "shipping_address": ADDRESS}
    frozen = (await database("order")).transaction()
    await frozen.start()
    await (await database("order")).execute(INSERT_ORDER_ON_HOLD, hold_id)
    try:
        with pytest.raises(IdempotencyInProgress):
            await rpc(contract.PLACE, body, identity=buyer)
    finally:
        await frozen.rollback()

    order = await rpc(contract.PLACE, body, identity=buyer)

    assert order.items[0].quantity == 2
    await order_client.wait_for_stock(lamp, on_hand=10, reserved=2)


INSERT_ORDER_ON_HOLD = """
INSERT INTO orders (
    id, status, hold_id, currency, subtotal, discount, shipping, tax, total, items, shipping_method, shipping_address,
    history, pay_by, created_at, updated_at
)
VALUES (
    gen_random_uuid(), 'pending', $1, 'USD', 0, 0, 0, 0, 0, '[]', 'standard', '{}', '[]', now(), now(), now()
)
"""
