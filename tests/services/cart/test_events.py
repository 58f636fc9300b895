"""An order was placed: what was ordered leaves the cart, however often and however late the cart hears of it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast
from uuid import UUID

import pytest

from contracts import cart as contract
from contracts import order
from contracts.cart import CartItemChange
from contracts.catalog import Product
from contracts.failure import NotFound
from contracts.identity import Identity
from contracts.money import Money
from contracts.order import OrderPlaced, PlacedOrderItem
from contracts.redelivery import RedeliveryOutcome
from infra.foundation import trace
from infra.foundation.ids import new_id
from infra.messaging.consumer import ReceivedEvent
from services.cart.deps import CartDeps
from services.cart.domain.carts import cart_reference
from services.cart.handlers.events import order_placed
from services.cart.store.carts import MAX_REMEMBERED_ORDERS
from tests.services.cart.conftest import CartClient
from tests.services.cart.test_items import sku_of
from tests.services.cart.test_views import price
from tests.support.eventually import eventually
from tests.support.http import ADDRESS
from tests.support.rpc import RpcCaller

NewProduct = Callable[..., Awaitable[Product]]
PRICE = Money(amount=1999, currency="USD")


def _item(sku: str, product_id: UUID, quantity: int) -> PlacedOrderItem:
    return PlacedOrderItem(sku=sku, product_id=product_id, name="Brass lamp", quantity=quantity, unit_price=PRICE)


def placed(cart: contract.Cart) -> OrderPlaced:
    """An order of everything that is in the cart."""
    order_id = new_id()
    items = [_item(i.sku, i.product_id, i.quantity) for i in cart.items]
    return OrderPlaced(
        order_id=order_id,
        number="T-1",
        user_id=None,
        total=PRICE,
        hold_id=order_id,
        cart_id=cart_reference(cart.id),
        cart_version=cart.version,
        charge=False,
        items=items,
    )


async def hear(shop: CartDeps, *events: OrderPlaced, event_id: UUID | None = None) -> list[RedeliveryOutcome]:
    async def effect(session: Any, delivery: ReceivedEvent) -> RedeliveryOutcome:
        return await order_placed(shop, session, cast("OrderPlaced", delivery.event))

    deliveries = [ReceivedEvent(event_id or new_id(), event, trace.start()) for event in events]
    return list((await shop.mongo.apply(deliveries, effect)).values())


async def test_an_order_empties_its_cart(ask: RpcCaller, mine: CartClient, new_product: NewProduct) -> None:
    """From the order service, over the broker."""
    await mine.add(await sku_of(new_product), 2)
    body = {"cart_id": "mine", "shipping_address": ADDRESS}
    await ask(order.PLACE, body, identity=mine.identity)

    async def emptied() -> bool:
        return not await mine.units()

    await eventually(emptied)


async def test_an_order_is_heard_once(guest: CartClient, shop: CartDeps, new_product: NewProduct) -> None:
    one, two = await sku_of(new_product), await sku_of(new_product)
    await guest.add(one, 2)
    event, event_id = placed(await guest.add(two)), new_id()
    await hear(shop, event, event_id=event_id)
    cart = await guest.get()
    assert (cart.items, cart.version) == ([], event.cart_version + 1)  # type: ignore[operator]
    await guest.add(one, 2)
    await hear(shop, event, event_id=event_id)
    await asyncio.gather(*(hear(shop, event, event_id=event_id) for _ in range(3)))
    assert await guest.units() == {one: 2}


async def test_what_came_in_since_stays(guest: CartClient, shop: CartDeps, new_product: NewProduct) -> None:
    one, two, three = [await sku_of(new_product) for _ in range(3)]
    await guest.add(one, 2)
    event = placed(await guest.add(two, 3))
    await guest.add(one, 1)
    await guest.add(three, 4)
    await guest.set(two, 1)
    await hear(shop, event)
    assert await guest.units() == {one: 1, three: 4}


async def test_a_line_that_was_put_in_anew_is_not_what_was_ordered(
    guest: CartClient, shop: CartDeps, new_product: NewProduct
) -> None:
    """Nobody learnt of the order, the cart was emptied and filled again, and only then it is heard of."""
    one, two = await sku_of(new_product), await sku_of(new_product)
    await guest.add(one, 2)
    event = placed(await guest.add(two, 3))
    await guest.clear()
    await guest.add(one, 2)
    cart = await guest.get()
    assert await hear(shop, event) == [RedeliveryOutcome.APPLIED]
    assert (await guest.units(), (await guest.get()).version) == ({one: 2}, cart.version)


async def test_a_line_stays_the_same_one_when_its_new_price_was_read(
    ask: RpcCaller, admin: Identity, guest: CartClient, shop: CartDeps, new_product: NewProduct
) -> None:
    product = await new_product()
    event = placed(await guest.add(sku := product.variants[0].sku))
    await guest.clear()
    await guest.add(sku, 2)
    await price(ask, admin, product, 4999)
    for changes in ([CartItemChange.PRICE_UP], []):
        assert [item.changes for item in (await guest.get()).items] == [changes]
    await hear(shop, event)
    assert await guest.units() == {sku: 2}


async def test_a_guest_s_order_takes_only_what_the_guest_brought(
    ask: RpcCaller, guest: CartClient, mine: CartClient, shop: CartDeps, new_product: NewProduct
) -> None:
    """The customer had one of the same already; another was put in anew before the merge, a third one after it."""
    had, anew, later, brought = [await sku_of(new_product) for _ in range(4)]
    for sku in (had, anew, later, brought):
        await guest.add(sku, 2)
    event = placed(await guest.get())
    for sku in (had, anew):
        await guest.remove(sku)
    await guest.add(anew, 1)
    await mine.add(had, 2)
    await mine.add(brought, 1)
    await ask(contract.MERGE, {"cart_id": guest.id}, identity=mine.identity)
    await mine.remove(later)
    await mine.add(later, 2)
    assert await hear(shop, event) == [RedeliveryOutcome.APPLIED]
    assert await mine.units() == {had: 2, brought: 1, anew: 1, later: 2}


async def test_the_lines_may_have_moved_to_the_customers_cart(
    ask: RpcCaller, guest: CartClient, mine: CartClient, shop: CartDeps, new_product: NewProduct
) -> None:
    one, two = await sku_of(new_product), await sku_of(new_product)
    await mine.add(two)
    event = placed(await guest.add(one, 2))
    await ask(contract.MERGE, {"cart_id": guest.id}, identity=mine.identity)
    await hear(shop, event)
    assert await mine.units() == {two: 1}


async def test_an_order_is_heard_once_by_whichever_cart_has_its_lines(
    ask: RpcCaller, guest: CartClient, mine: CartClient, shop: CartDeps, new_product: NewProduct
) -> None:
    """Heard before the guest signs in, and again afterwards."""
    sku = await sku_of(new_product)
    event = placed(await guest.add(sku, 2))
    await hear(shop, event)
    await guest.add(sku, 3)
    await ask(contract.MERGE, {"cart_id": guest.id}, identity=mine.identity)
    await hear(shop, event, event)
    assert await mine.units() == {sku: 3}


async def test_an_order_is_known_when_its_cart_remembers_newer_ones_only(
    ask: RpcCaller, guest: CartClient, shop: CartDeps, new_product: NewProduct
) -> None:
    """As when its events are replayed months later: nothing leaves the cart a second time."""
    sku = await sku_of(new_product, stock=100)
    events = []
    for _ in range(MAX_REMEMBERED_ORDERS + 5):
        events.append(placed(await guest.add(sku, 2)))
        assert await hear(shop, events[-1]) == [RedeliveryOutcome.APPLIED]
        assert await guest.units() == {}
    await guest.add(sku, 3)
    version = (await guest.get()).version
    for event in events:
        assert await hear(shop, event) == [RedeliveryOutcome.ALREADY_APPLIED]
    cart = await guest.get()
    assert (await guest.units(), cart.version) == ({sku: 3}, version)
    document = await shop.mongo.database.carts.find_one({"_id": guest.id})
    assert document is not None
    assert len(document["ordered"]) == len(document["ordered_at"]) == MAX_REMEMBERED_ORDERS


async def test_a_guests_order_is_known_however_many_the_customer_has_placed_since(
    ask: RpcCaller, guest: CartClient, mine: CartClient, shop: CartDeps, new_product: NewProduct
) -> None:
    sku = await sku_of(new_product, stock=100)
    early = placed(await guest.add(sku, 2))
    await ask(contract.MERGE, {"cart_id": guest.id}, identity=mine.identity)
    assert await hear(shop, early) == [RedeliveryOutcome.APPLIED]
    assert await mine.units() == {}
    for _ in range(MAX_REMEMBERED_ORDERS + 1):
        await hear(shop, placed(await mine.add(sku, 2)))
    await mine.add(sku, 3)
    assert await hear(shop, early) == [RedeliveryOutcome.ALREADY_APPLIED]
    assert await mine.units() == {sku: 3}


async def test_many_orders_at_once(ask: RpcCaller, shop: CartDeps, new_product: NewProduct) -> None:
    """Each of the carts of a batch is emptied."""
    sku = await sku_of(new_product)
    trolleys = [CartClient(ask, (await ask(contract.CREATE)).id) for _ in range(5)]
    events = [placed(await trolley.add(sku)) for trolley in trolleys]
    await hear(shop, *events)
    assert [await trolley.units() for trolley in trolleys] == [{}] * 5


async def test_adding_while_an_order_is_heard_loses_nothing(
    guest: CartClient, shop: CartDeps, new_product: NewProduct
) -> None:
    sku, more = await sku_of(new_product, stock=100), await sku_of(new_product, stock=100)
    event = placed(await guest.add(sku, 5))
    await asyncio.gather(hear(shop, event), *(guest.add(more) for _ in range(20)))
    assert await guest.units() == {more: 20}


async def test_an_order_without_a_cart_or_of_one_that_is_gone(
    ask: RpcCaller, guest: CartClient, shop: CartDeps
) -> None:
    event = placed(await guest.get())
    await hear(
        shop,
        event.model_copy(update={"cart_id": None, "cart_version": None}),
        event.model_copy(update={"cart_id": "x" * 22}),
        event.model_copy(update={"cart_version": 9}),
    )
    assert (await guest.get()).version == 1
    with pytest.raises(NotFound):
        await ask(contract.GET, {"id": "x" * 22})
