"""Coupons: orders that use one, uses that come back, and what administrators do with them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

from contracts import cart
from contracts import order as contract
from contracts.catalog import Product
from contracts.coupons import CouponInvalid
from contracts.failure import InvalidRequest, NotFound
from contracts.identity import Identity
from contracts.order import CouponCodeTaken, Order, OrderPlaced, OrderStatus
from contracts.privacy import EraseUserData
from infra.foundation.ids import new_id
from infra.messaging.rpc_client import Request
from services.order.deps import OrderDeps
from services.order.handlers import privacy
from tests.services.order.conftest import CouponClient, OrderClient, buyer_of
from tests.support.event_recorder import EventRecorder
from tests.support.http import ADDRESS
from tests.support.rpc import RpcCaller

NewProduct = Callable[..., Awaitable[Product]]
NewCustomer = Callable[[], Identity]


async def refusal_of(placing: Awaitable[Any]) -> str | None:
    """Why the coupon of an order was refused."""
    with pytest.raises(CouponInvalid) as refused:
        await placing
    return refused.value.reason


async def use_of(deps: OrderDeps, order_id: UUID) -> Any:
    async with deps.db.connection() as connection:
        return await connection.fetchrow("SELECT state, customer_key FROM coupon_use WHERE order_id = $1", order_id)


async def test_an_order_uses_a_coupon(
    coupons: CouponClient,
    order_client: OrderClient,
    new_product: NewProduct,
    new_customer: NewCustomer,
    events: EventRecorder,
    deps: OrderDeps,
) -> None:
    lamp, rug = await new_product(price=1999), await new_product(price=333)
    coupon = await coupons.create(min_subtotal=4997, currency="USD")
    assert coupon.code is not None
    order = await order_client.place(new_customer(), (lamp, 2), (rug, 3), coupon=f" {coupon.code.lower()} ")
    assert [item.discount.amount for item in order.items] == [400, 100]
    assert (order.coupon, order.discount.amount, order.total.amount) == (coupon.code, 500, 4497)
    assert await order_client.read(order.id) == order
    event = (await events.wait_for(order.id, "placed")).event
    assert isinstance(event, OrderPlaced)
    assert (event.discount, event.total) == (order.discount, order.total)
    assert (await coupons.used(coupon), (await use_of(deps, order.id))["state"]) == (1, "reserved")
    await order_client.rpc(contract.PAY, {"id": str(order.id), "payment_method": "sim_ok"}, identity=buyer_of(order))
    await order_client.wait_for_status(order.id, OrderStatus.PAID)
    assert (await coupons.used(coupon), (await use_of(deps, order.id))["state"]) == (1, "spent")


async def test_a_declined_or_expired_order_gives_its_use_back(
    coupons: CouponClient,
    order_client: OrderClient,
    new_product: NewProduct,
    new_customer: NewCustomer,
    deps: OrderDeps,
) -> None:
    lamp, coupon = await new_product(), await coupons.create(max_uses=1)
    declined = await order_client.place(new_customer(), (lamp, 1), coupon=coupon.code, payment_method="sim_declined")
    await order_client.wait_for_status(declined.id, OrderStatus.CANCELLED)
    assert (await coupons.used(coupon), (await use_of(deps, declined.id))["state"]) == (0, "released")
    unpaid = await order_client.place(new_customer(), (lamp, 1), coupon=coupon.code)
    async with deps.db.connection() as connection:
        await connection.execute("UPDATE orders SET pay_by = now() WHERE id = $1", unpaid.id)
    await order_client.wait_for_status(unpaid.id, OrderStatus.CANCELLED)
    assert (await coupons.used(coupon), (await use_of(deps, unpaid.id))["state"]) == (0, "released")


async def test_the_same_order_again_does_not_count_against_itself(
    rpc: RpcCaller, coupons: CouponClient, order_client: OrderClient, new_product: NewProduct, new_customer: NewCustomer
) -> None:
    lamp, buyer, coupon = await new_product(), new_customer(), await coupons.create(max_uses=1)
    await rpc(cart.ADD, {"id": "mine", "sku": lamp.variants[0].sku, "quantity": 1}, identity=buyer)
    await rpc(cart.SET_COUPON, {"id": "mine", "code": coupon.code}, identity=buyer)
    body = {"cart_id": "mine", "shipping_address": ADDRESS}
    placed = [await rpc(contract.PLACE, body, identity=buyer) for _ in range(2)]
    assert placed[0] == placed[1]
    assert (placed[0].coupon, await coupons.used(coupon)) == (coupon.code, 1)
    assert (await order_client.stock(lamp)).reserved == 1
    await rpc(contract.CANCEL, {"id": str(placed[0].id)}, identity=buyer)
    again = await rpc(contract.PLACE, body, identity=buyer)
    assert (again.id != placed[0].id, again.coupon, await coupons.used(coupon)) == (True, coupon.code, 1)


async def test_a_refused_coupon_holds_no_stock_and_keeps_no_order(
    coupons: CouponClient, order_client: OrderClient, new_product: NewProduct, new_customer: NewCustomer
) -> None:
    lamp, buyer = await new_product(price=1999), new_customer()
    large = await coupons.create(min_subtotal=5000, currency="USD")
    euro = await coupons.create(kind="fixed", value=500, currency="EUR")
    late = await coupons.create(ends_at="2020-01-01")
    off = await coupons.create(active=False)
    for coupon, reason in ((large, "min_subtotal"), (euro, "currency"), (late, "expired"), (off, "inactive")):
        assert await refusal_of(order_client.place(buyer, (lamp, 2), coupon=coupon.code)) == reason
        assert (await order_client.stock(lamp)).reserved == 0
        assert await coupons.used(coupon) == 0
    listed = await order_client.rpc(contract.LIST, {}, identity=buyer)
    assert listed.items == []


async def test_a_customer_has_their_uses_and_a_guest_those_of_the_mailbox(
    coupons: CouponClient, order_client: OrderClient, new_product: NewProduct, new_customer: NewCustomer
) -> None:
    lamp, buyer, name = await new_product(), new_customer(), new_id().hex
    once = await coupons.create(max_uses_per_user=1)
    first = await coupons.create(first_order_only=True)
    await order_client.place(buyer, (lamp, 1), coupon=once.code)
    assert await refusal_of(order_client.place(buyer, (lamp, 1), coupon=once.code)) == "used_by_you"
    assert await refusal_of(order_client.place(buyer, (lamp, 1), coupon=first.code)) == "not_first_order"
    await order_client.place(new_customer(), (lamp, 1), coupon=first.code)
    await order_client.place(None, (lamp, 1), coupon=once.code, email=f"{name}@example.com")
    for coupon, email, reason in (
        (once, f"{name}+again@Example.com", "used_by_you"),
        (first, f"{name.upper()}@example.com", "not_first_order"),
    ):
        assert await refusal_of(order_client.place(None, (lamp, 1), coupon=coupon.code, email=email)) == reason
    both = (order_client.place(None, (lamp, 1), coupon=once.code, email=f"2{name}@example.com") for _ in range(2))
    found = await asyncio.gather(*both, return_exceptions=True)
    assert sorted(getattr(one, "reason", "placed") for one in found) == ["placed", "used_by_you"]


async def test_a_single_use_code_is_for_one_order(
    coupons: CouponClient, order_client: OrderClient, new_product: NewProduct, new_customer: NewCustomer
) -> None:
    lamp, coupon = await new_product(), await coupons.create(code=None, max_uses=5)
    first, second = await coupons.codes(coupon, 2)
    placing = (order_client.place(new_customer(), (lamp, 1), coupon=first) for _ in range(4))
    found = await asyncio.gather(*placing, return_exceptions=True)
    (placed,) = [one for one in found if isinstance(one, Order)]
    assert sorted(str(getattr(one, "reason", "placed")) for one in found) == ["exhausted"] * 3 + ["placed"]
    assert placed.coupon == first
    await order_client.place(new_customer(), (lamp, 1), coupon=second)
    assert await coupons.used(coupon) == 2
    await order_client.rpc(contract.CANCEL, {"id": str(placed.id)}, identity=buyer_of(placed))
    await order_client.place(new_customer(), (lamp, 1), coupon=first.replace("-", " ").lower())
    assert await coupons.used(coupon) == 2


async def test_an_erased_guest_is_not_counted_any_more(
    deps: OrderDeps, coupons: CouponClient, order_client: OrderClient, new_product: NewProduct
) -> None:
    lamp, coupon, email = await new_product(), await coupons.create(max_uses_per_user=1), f"{new_id().hex}@example.com"
    order = await order_client.place(None, (lamp, 1), coupon=coupon.code, email=email)
    assert (await use_of(deps, order.id))["customer_key"] is not None
    await privacy.erase(deps, Request(EraseUserData(user_id=new_id(), order_ids=[order.id])))
    use = await use_of(deps, order.id)
    assert (use["customer_key"], use["state"]) == (None, "reserved")
    assert await coupons.used(coupon) == 1


async def test_administrators_edit_and_delete_coupons(
    rpc: RpcCaller,
    admin: Identity,
    coupons: CouponClient,
    order_client: OrderClient,
    new_product: NewProduct,
    new_customer: NewCustomer,
) -> None:
    lamp, coupon, unused = await new_product(), await coupons.create(max_uses=3), await coupons.create()
    await coupons.codes(unused, 3)
    assert coupon.code is not None
    with pytest.raises(CouponCodeTaken):
        await coupons.create(code=coupon.code.lower().replace("0", "o"))
    for _ in range(2):
        await order_client.place(new_customer(), (lamp, 1), coupon=coupon.code)
    with pytest.raises(InvalidRequest) as refused:
        await coupons.replace(coupon, max_uses=1)
    assert refused.value.errors[0].pointer == "/max_uses"
    assert (await coupons.replace(coupon, max_uses=2)).used == 2
    for one in (coupon, unused):
        await rpc(contract.DELETE_COUPON, {"id": str(one.id)}, identity=admin)
    with pytest.raises(NotFound):
        await coupons.get(unused)
    ended = await coupons.get(coupon)
    assert (ended.active, ended.used) == (False, 2)
    listed = await rpc(contract.LIST_COUPONS, {"limit": 100}, identity=admin)
    assert unused.id not in {one.id for one in listed.items}
