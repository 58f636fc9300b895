"""Coupons whose limits hold under any race, and orders without a coupon that none of it concerns."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from contracts import catalog
from contracts import order as contract
from contracts.catalog import Hold, Product
from contracts.coupons import CouponInvalid, TooManyCouponAttempts
from contracts.failure import Fail
from contracts.identity import Identity
from contracts.order import Coupon, Order, PlaceOrder
from infra.database import group_commit
from infra.foundation.ids import new_id, now
from infra.messaging.rpc_client import Request
from services.order.deps import OrderDeps
from services.order.domain.coupon_guesses import CouponGuessLimit
from services.order.domain.coupons import CouponChanged, customer_of
from services.order.domain.orders import Buyer, OrderDraft, draft_order
from services.order.handlers import coupon_redemption, place
from services.order.handlers.grouped_orders import write_orders
from services.order.store import pricing_rules
from tests.services.order.conftest import CouponClient, OrderClient, buyer_of
from tests.support.event_recorder import EventRecorder
from tests.support.eventually import eventually
from tests.support.http import ADDRESS

NewProduct = Callable[..., Awaitable[Product]]
NewCustomer = Callable[[], Identity]


async def test_parallel_orders_never_pass_the_limit(
    coupons: CouponClient,
    order_client: OrderClient,
    new_product: NewProduct,
    new_customer: NewCustomer,
    deps: OrderDeps,
) -> None:
    """Two processes place 100 orders at the same moment, and cancelled ones give their uses back."""
    lamp, coupon = await new_product(stock=1000), await coupons.create(max_uses=10)
    body = order_client.body((lamp, 1), coupon=coupon.code)

    async def place_here() -> Order:
        request = Request(PlaceOrder.model_validate(body), identity=new_customer())
        return (await place.place(deps, request)).content

    async def place_all(count: int) -> tuple[list[Order], Counter[str | None]]:
        there = (order_client.rpc(contract.PLACE, body, identity=new_customer()) for _ in range(count))
        placing = [*there, *(place_here() for _ in range(count))]
        found = await asyncio.gather(*placing, return_exceptions=True)
        placed = [one for one in found if isinstance(one, Order)]
        return placed, Counter(one.reason if isinstance(one, Fail) else str(one) for one in found if one not in placed)

    placed, refused = await place_all(50)
    assert (len(placed), refused) == (10, {"exhausted": 90})
    assert (await coupons.used(coupon), (await order_client.stock(lamp)).reserved) == (10, 10)
    cancelling = (
        order_client.rpc(contract.CANCEL, {"id": str(order.id)}, identity=buyer_of(order))
        for order in [*placed[:3], placed[0]]
    )
    cancelled = await asyncio.gather(*cancelling, return_exceptions=True)
    assert sum(isinstance(one, Order) for one in cancelled) == 3
    assert await coupons.used(coupon) == 7
    again, refused = await place_all(5)
    assert (len(again), refused) == (3, {"exhausted": 7})
    assert await coupons.used(coupon) == 10


async def draft_with(
    deps: OrderDeps, product: Product, coupon: Coupon | None, buyer: Buyer | None = None
) -> OrderDraft:
    """An order that only has to be stored: its stock is held and its coupon found."""
    lines = [catalog.RequestedLine(sku=product.variants[0].sku, quantity=1)]
    hold: Hold = await deps.rpc.request(catalog.HOLD, catalog.PlaceHold(hold_id=new_id(), lines=lines, seconds=1200))
    body = PlaceOrder.model_validate({"items": lines, "shipping_address": ADDRESS})
    buyer = buyer or Buyer(new_id(), None)
    found = await coupon_redemption.find_requested(deps, coupon.code if coupon else None, buyer, "192.0.2.1")
    async with deps.db.connection() as connection:
        rules = await pricing_rules.load(connection)
    return draft_order(body, buyer, hold, None, rules, order_id=new_id(), at=now(), coupon=found)


async def store_together(deps: OrderDeps, drafts: Sequence[OrderDraft]) -> list[Any]:
    storing = (deps.placement_of(draft).run(Request[Any](None), (draft, 600.0)) for draft in drafts)
    return await asyncio.gather(*storing, return_exceptions=True)


async def test_a_refused_coupon_harms_no_other_order_of_its_group(
    deps: OrderDeps, coupons: CouponClient, new_product: NewProduct, events: EventRecorder
) -> None:
    product = await new_product(stock=20)
    scarce, plenty = await coupons.create(max_uses=1), await coupons.create(max_uses=9)
    edited = await coupons.create()
    drafts = [await draft_with(deps, product, coupon) for coupon in (plenty, scarce, scarce, edited, plenty)]
    await coupons.replace(edited, value=20)
    found = await store_together(deps, drafts)
    assert [type(one).__name__ for one in found] == ["Reply", "Reply", "CouponInvalid", "CouponChanged", "Reply"]
    assert isinstance(found[3], CouponChanged)
    async with deps.db.connection() as connection:
        rows = await connection.fetch(
            "SELECT id, xmin::text FROM orders WHERE id = ANY($1)", [draft.order.id for draft in drafts]
        )
    stored = {row["id"] for row in rows}
    assert stored == {drafts[position].order.id for position in (0, 1, 4)}
    assert len({row["xmin"] for row in rows}) == 1
    assert [await coupons.used(one) for one in (scarce, plenty, edited)] == [1, 2, 0]
    for order_id in stored:
        assert (await events.wait_for(order_id, "placed")).event.name == "placed"


async def test_two_processes_do_not_give_one_customer_a_coupon_twice(
    deps: OrderDeps, coupons: CouponClient, new_product: NewProduct
) -> None:
    product, coupon, buyer = await new_product(), await coupons.create(max_uses_per_user=1), Buyer(new_id(), None)
    first, second = [await draft_with(deps, product, coupon, buyer) for _ in range(2)]
    async with deps.db.transaction() as tx:  # of the other process, which has not committed yet
        await write_orders([(tx, (first, 600.0))])
        waiting = asyncio.create_task(store_together(deps, [second]))
        process_id = await tx.connection.fetchval("SELECT pg_backend_pid()")

        async def is_waiting() -> bool:
            async with deps.db.connection() as connection:
                blocked = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE $1 = ANY(pg_blocking_pids(pid)))"
                return bool(await connection.fetchval(blocked, process_id))

        await eventually(is_waiting)
    (found,) = await waiting
    assert isinstance(found, CouponInvalid)
    assert (found.reason, await coupons.used(coupon)) == ("used_by_you", 1)


async def test_an_order_without_a_coupon_does_not_wait_for_one(
    deps: OrderDeps, coupons: CouponClient, new_product: NewProduct, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long a group waits for the lock of a coupon."""
    monkeypatch.setattr(group_commit, "_SHORT_LOCK_WAIT", "SET LOCAL lock_timeout = '30s'")
    product, coupon = await new_product(), await coupons.create()
    with_coupon, without = [await draft_with(deps, product, one) for one in (coupon, None)]
    async with deps.db.transaction() as tx:
        await tx.connection.execute("SELECT FROM coupon WHERE id = $1 FOR UPDATE", coupon.id)
        waiting, storing = (asyncio.create_task(store_together(deps, [one])) for one in (with_coupon, without))
        (stored,) = await asyncio.wait_for(storing, 4)
        assert (stored.content.id, waiting.done()) == (without.order.id, False)
    assert (await waiting)[0].content.id == with_coupon.order.id


async def test_an_edited_coupon_prices_an_order_again(
    deps: OrderDeps,
    coupons: CouponClient,
    new_product: NewProduct,
    new_customer: NewCustomer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lamp, coupon = await new_product(price=1000), await coupons.create()
    find, edits = coupon_redemption.find_requested, iter([50])

    async def find_then_edit(*arguments: Any) -> Any:
        """An administrator edits the coupon just after the order has read it."""
        found = await find(*arguments)
        for value in edits:
            await coupons.replace(coupon, value=value)
        return found

    monkeypatch.setattr(coupon_redemption, "find_requested", find_then_edit)
    body = {"items": [{"sku": lamp.variants[0].sku, "quantity": 1}], "shipping_address": ADDRESS, "coupon": coupon.code}
    order = (await place.place(deps, Request(PlaceOrder.model_validate(body), identity=new_customer()))).content
    assert order.discount.amount == 500


async def test_who_guesses_too_often_is_refused_every_code(deps: OrderDeps, coupons: CouponClient) -> None:
    limit = CouponGuessLimit(3, 3600, str(new_id()))
    limited = replace(deps, coupon_guesses=limit)
    coupon, customer = await coupons.create(), customer_of(None, None, "")
    assert coupon.code is not None

    async def attempt(code: str, client_ip: str, cart_reference: str = "") -> str | None:
        try:
            found = await coupon_redemption.find_usable(
                limited, code, customer, client_ip=client_ip, cart_reference=cart_reference
            )
        except TooManyCouponAttempts as refusal:
            return f"{refusal.code}: {refusal.retry_after is not None}"
        except CouponInvalid as refusal:
            return refusal.reason
        return found.code

    assert [await attempt(f"GUESS {number}", "2001:db8::1") for number in range(3)] == ["unknown"] * 3
    too_many = "too_many_coupon_attempts: True"
    assert await attempt(coupon.code, "2001:db8::2") == too_many, "a subscriber has many IPv6 addresses"
    assert [await attempt(coupon.code, "192.0.2.1") for _ in range(5)] == [coupon.code] * 5, "a good code is no guess"
    for number in range(3):
        assert await attempt(f"GUESS {number}", f"192.0.2.{number + 2}", "a cart") == "unknown"
    assert await attempt(coupon.code, "192.0.2.9", "a cart") == too_many
