"""The coupon of a cart: what is shown is advice, and the order that is paid ends it."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from contracts import cart as contract
from contracts import order
from contracts.cart import Cart
from contracts.catalog import Product
from contracts.coupons import CouponInvalid, CouponKind, CouponTarget, CouponTerms
from contracts.identity import Identity
from infra.foundation.ids import new_id, now
from services.cart.deps import CartDeps
from services.cart.domain.coupons import CartCoupon, discount_of
from tests.services.cart.conftest import CartClient
from tests.support.eventually import eventually
from tests.support.http import ADDRESS
from tests.support.rpc import RpcCaller

NewProduct = Callable[..., Awaitable[Product]]
NewCoupon = Callable[..., Awaitable[str]]


@pytest.fixture
def new_coupon(rpc: RpcCaller, admin: Identity) -> NewCoupon:
    async def create(**fields: Any) -> str:
        body = {"code": f"C{new_id().hex}", "kind": "percent", "value": 10, **fields}
        return str((await rpc(order.CREATE_COUPON, body, identity=admin)).code)

    return create


async def set_coupon(cart: CartClient, code: str, **options: Any) -> Cart:
    body = {"id": cart.id, "code": code}
    found: Cart = await cart.rpc(contract.SET_COUPON, body, identity=cart.identity, client=str(new_id()), **options)
    return found


async def remove_coupon(cart: CartClient) -> Cart:
    found: Cart = await cart.rpc(contract.REMOVE_COUPON, {"id": cart.id}, identity=cart.identity)
    return found


async def test_a_cart_shows_what_its_coupon_takes_off(
    guest_cart: CartClient, new_product: NewProduct, new_coupon: NewCoupon
) -> None:
    sku, code = (await new_product(price=1999)).variants[0].sku, await new_coupon()
    before = await guest_cart.add(sku, 2)
    shown = await set_coupon(guest_cart, code.lower())
    assert (shown.coupon, shown.discount.amount, shown.total.amount) == (code, 400, 3598)
    assert shown.version == before.version + 1
    assert (await guest_cart.add(sku, 1)).discount.amount == 600, "written with others, it keeps the coupon"
    assert (await guest_cart.get()).total.amount == 3 * 1999 - 600
    assert (await set_coupon(guest_cart, await new_coupon(value=50))).discount.amount == 2999
    for _ in range(2):
        removed = await remove_coupon(guest_cart)
        assert (removed.coupon, removed.discount.amount, removed.total.amount) == (None, 0, 3 * 1999)


async def test_a_coupon_that_would_be_refused_is_not_set(
    guest_cart: CartClient, my_cart: CartClient, new_product: NewProduct, new_coupon: NewCoupon
) -> None:
    sku = (await new_product(price=1999)).variants[0].sku
    large = await new_coupon(min_subtotal=2000, currency="USD")
    for cart in (guest_cart, my_cart):
        await cart.add(sku, 1)
        for code, reason in ((large, "min_subtotal"), (f"N{new_id().hex}", "unknown")):
            with pytest.raises(CouponInvalid) as refused:
                await set_coupon(cart, code)
            assert refused.value.reason == reason
        assert (await cart.get()).coupon is None
        await cart.add(sku, 1)
        assert (await set_coupon(cart, large)).discount.amount == 400
        assert (await cart.set(sku, 1)).discount.amount == 0, "below the minimum it takes nothing off"


async def test_the_paid_order_of_a_cart_ends_its_coupon(
    my_cart: CartClient, new_product: NewProduct, new_coupon: NewCoupon
) -> None:
    sku, later = (await new_product()).variants[0].sku, await new_coupon()
    for changed in (False, True):
        await my_cart.add(sku, 1)
        await set_coupon(my_cart, await new_coupon())
        body = {"cart_id": "mine", "shipping_address": ADDRESS}
        placed = await my_cart.rpc(order.PLACE, body, identity=my_cart.identity)
        assert placed.discount.amount > 0
        if changed:
            await my_cart.add(sku, 1)
            await set_coupon(my_cart, later)
        payment = {"id": str(placed.id), "payment_method": "sim_ok"}
        await my_cart.rpc(order.PAY, payment, identity=my_cart.identity)

        async def ordered() -> Cart:
            cart = await my_cart.get()
            assert sum(item.quantity for item in cart.items) == int(changed)  # noqa: B023 - awaited in this round
            return cart

        assert (await eventually(ordered)).coupon == (later if changed else None)


async def test_an_order_from_an_older_version_ends_its_own_coupon(
    deps: CartDeps, guest_cart: CartClient, new_product: NewProduct, new_coupon: NewCoupon
) -> None:
    sku = (await new_product()).variants[0].sku
    await guest_cart.add(sku, 1)
    with_coupon = await set_coupon(guest_cart, await new_coupon())
    await guest_cart.add(sku, 1)
    stored = await deps.carts.find(guest_cart.id, now())
    assert stored is not None
    assert await deps.carts.apply_order(stored, stored.lines, new_id(), with_coupon.version)
    after = await guest_cart.get()
    assert (after.coupon, after.version) == (None, with_coupon.version + 2)


async def test_a_guest_who_signs_in_keeps_the_coupon(
    rpc: RpcCaller, guest_cart: CartClient, my_cart: CartClient, new_product: NewProduct, new_coupon: NewCoupon
) -> None:
    sku, code = (await new_product(price=1000)).variants[0].sku, await new_coupon()
    await guest_cart.add(sku, 1)
    await set_coupon(guest_cart, code)
    await my_cart.add(sku, 1)
    merged = await rpc(contract.MERGE, {"cart_id": guest_cart.id}, identity=my_cart.identity)
    assert (merged.coupon, merged.discount.amount) == (code, 200)


@pytest.mark.parametrize(
    ("fields", "discount"),
    [
        ({}, 200),
        ({"value": 100}, 1999),
        ({"kind": CouponKind.FIXED, "value": 5000, "currency": "EUR"}, 1999),
        ({"currency": "USD"}, 0),
        ({"min_subtotal": 2000, "currency": "EUR"}, 0),
        ({"applies_to": CouponTarget.SHIPPING}, 0),
    ],
    ids=["percent", "all", "at most the goods", "another currency", "below the minimum", "shipping"],
)
def test_the_discount_of_a_subtotal(fields: dict[str, Any], discount: int) -> None:
    values: dict[str, Any] = {"kind": CouponKind.PERCENT, "value": 10, "currency": None, "min_subtotal": None}
    terms = CouponTerms(**{"code": "TEN", "applies_to": CouponTarget.GOODS, **values, **fields})
    assert discount_of(CartCoupon(terms), 1999, "EUR") == discount
    assert discount_of(None, 1999, "EUR") == 0
