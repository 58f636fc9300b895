"""A paid order removes its units from the cart once, however often and however late its event arrives."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
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
from contracts.operator_redelivery import RedeliveryOutcome
from contracts.order import OrderPaid, OrderPlaced, PlacedOrderItem
from infra.foundation import trace
from infra.foundation.ids import new_id, now
from infra.messaging.event_parser import ReceivedEvent
from services.cart.app import EVENT_HANDLERS
from services.cart.deps import CartDeps
from services.cart.domain.carts import cart_reference, with_order
from services.cart.handlers.events import order_paid
from services.cart.store.cart_documents import MAX_REMEMBERED_ORDERS
from services.cart.store.carts import CartOrder
from tests.services.cart.conftest import CartClient
from tests.services.cart.test_items import sku_of
from tests.services.cart.test_views import set_price
from tests.support.eventually import eventually
from tests.support.http import ADDRESS
from tests.support.rpc import RpcCaller

NewProduct = Callable[..., Awaitable[Product]]
PRICE = Money(amount=1999, currency="USD")


def _item(sku: str, product_id: UUID, quantity: int) -> PlacedOrderItem:
    return PlacedOrderItem(sku=sku, product_id=product_id, name="Brass lamp", quantity=quantity, unit_price=PRICE)


def paid(cart: contract.Cart) -> OrderPaid:
    """The event of an order of everything in the cart."""
    order_id = new_id()
    items = [_item(i.sku, i.product_id, i.quantity) for i in cart.items]
    return OrderPaid(
        order_id=order_id,
        number="T-1",
        user_id=None,
        total=PRICE,
        hold_id=order_id,
        payment_id=order_id,
        cart_id=cart_reference(cart.id),
        cart_version=cart.version,
        items=items,
    )


async def deliver(deps: CartDeps, *events: OrderPaid, event_id: UUID | None = None) -> list[RedeliveryOutcome]:
    async def apply(session: Any, delivery: ReceivedEvent) -> RedeliveryOutcome:
        return await order_paid(deps, session, cast("OrderPaid", delivery.event))

    deliveries = [ReceivedEvent(event_id or new_id(), event, trace.start()) for event in events]
    return list((await deps.mongo.apply(deliveries, apply)).values())


async def test_an_order_empties_its_cart(rpc: RpcCaller, my_cart: CartClient, new_product: NewProduct) -> None:
    """The event comes from the order service over the broker."""
    await my_cart.add(await sku_of(new_product), 2)
    body = {"cart_id": "mine", "shipping_address": ADDRESS}
    placed = await rpc(order.PLACE, body, identity=my_cart.identity)
    assert len(await my_cart.units()) == 1
    await rpc(order.PAY, {"id": str(placed.id), "payment_method": "sim_ok"}, identity=my_cart.identity)

    async def emptied() -> bool:
        return not await my_cart.units()

    await eventually(emptied)


async def test_an_order_is_applied_once(guest_cart: CartClient, deps: CartDeps, new_product: NewProduct) -> None:
    one, two = await sku_of(new_product), await sku_of(new_product)
    await guest_cart.add(one, 2)
    event, event_id = paid(await guest_cart.add(two)), new_id()
    await deliver(deps, event, event_id=event_id)
    cart = await guest_cart.get()
    assert (cart.items, cart.version) == ([], event.cart_version + 1)  # type: ignore[operator]
    await guest_cart.add(one, 2)
    await deliver(deps, event, event_id=event_id)
    await asyncio.gather(*(deliver(deps, event, event_id=event_id) for _ in range(3)))
    assert await guest_cart.units() == {one: 2}


async def test_units_added_since_the_order_stay(
    guest_cart: CartClient, deps: CartDeps, new_product: NewProduct
) -> None:
    one, two, three = [await sku_of(new_product) for _ in range(3)]
    await guest_cart.add(one, 2)
    event = paid(await guest_cart.add(two, 3))
    await guest_cart.add(one, 1)
    await guest_cart.add(three, 4)
    await guest_cart.set(two, 1)
    await deliver(deps, event)
    assert await guest_cart.units() == {one: 1, three: 4}


async def test_a_late_order_takes_nothing_from_a_line_added_again(
    guest_cart: CartClient, deps: CartDeps, new_product: NewProduct
) -> None:
    """The cart is emptied and filled again before the event of the order arrives."""
    one, two = await sku_of(new_product), await sku_of(new_product)
    await guest_cart.add(one, 2)
    event = paid(await guest_cart.add(two, 3))
    await guest_cart.clear()
    await guest_cart.add(one, 2)
    cart = await guest_cart.get()
    assert await deliver(deps, event) == [RedeliveryOutcome.APPLIED]
    assert (await guest_cart.units(), (await guest_cart.get()).version) == ({one: 2}, cart.version)


async def test_reading_a_new_price_does_not_change_the_age_of_a_line(
    rpc: RpcCaller, admin: Identity, guest_cart: CartClient, deps: CartDeps, new_product: NewProduct
) -> None:
    product = await new_product()
    event = paid(await guest_cart.add(sku := product.variants[0].sku))
    await guest_cart.clear()
    await guest_cart.add(sku, 2)
    await set_price(rpc, admin, product, 4999)
    for changes in ([CartItemChange.PRICE_UP], []):
        assert [item.changes for item in (await guest_cart.get()).items] == [changes]
    await deliver(deps, event)
    assert await guest_cart.units() == {sku: 2}


async def test_a_guests_order_takes_only_units_from_the_guests_cart(
    rpc: RpcCaller, guest_cart: CartClient, my_cart: CartClient, deps: CartDeps, new_product: NewProduct
) -> None:
    """The customer had one of the SKUs already; another was added again before the merge, a third one after it."""
    had, readded, later, unchanged = [await sku_of(new_product) for _ in range(4)]
    for sku in (had, readded, later, unchanged):
        await guest_cart.add(sku, 2)
    event = paid(await guest_cart.get())
    for sku in (had, readded):
        await guest_cart.remove(sku)
    await guest_cart.add(readded, 1)
    await my_cart.add(had, 2)
    await my_cart.add(unchanged, 1)
    await rpc(contract.MERGE, {"cart_id": guest_cart.id}, identity=my_cart.identity)
    await my_cart.remove(later)
    await my_cart.add(later, 2)
    assert await deliver(deps, event) == [RedeliveryOutcome.APPLIED]
    assert await my_cart.units() == {had: 2, unchanged: 1, readded: 1, later: 2}


async def test_a_guests_order_is_applied_to_the_cart_it_was_merged_into(
    rpc: RpcCaller, guest_cart: CartClient, my_cart: CartClient, deps: CartDeps, new_product: NewProduct
) -> None:
    one, two = await sku_of(new_product), await sku_of(new_product)
    await my_cart.add(two)
    event = paid(await guest_cart.add(one, 2))
    await rpc(contract.MERGE, {"cart_id": guest_cart.id}, identity=my_cart.identity)
    await deliver(deps, event)
    assert await my_cart.units() == {two: 1}


async def test_a_guests_order_takes_only_what_a_capped_merge_took_over(
    rpc: RpcCaller, guest_cart: CartClient, my_cart: CartClient, deps: CartDeps, new_product: NewProduct
) -> None:
    sku = await sku_of(new_product, stock=3000)
    event = paid(await guest_cart.add(sku, 600))
    await my_cart.add(sku, 900)
    await rpc(contract.MERGE, {"cart_id": guest_cart.id}, identity=my_cart.identity)
    await deliver(deps, event)
    assert await my_cart.units() == {sku: 900}


async def test_an_order_applied_before_a_merge_is_not_applied_after_it(
    rpc: RpcCaller, guest_cart: CartClient, my_cart: CartClient, deps: CartDeps, new_product: NewProduct
) -> None:
    """The event arrives before the guest signs in, and again afterwards."""
    sku = await sku_of(new_product)
    event = paid(await guest_cart.add(sku, 2))
    await deliver(deps, event)
    await guest_cart.add(sku, 3)
    await rpc(contract.MERGE, {"cart_id": guest_cart.id}, identity=my_cart.identity)
    await deliver(deps, event, event)
    assert await my_cart.units() == {sku: 3}


async def test_an_order_dropped_from_the_list_is_not_applied_again(
    rpc: RpcCaller, guest_cart: CartClient, deps: CartDeps, new_product: NewProduct
) -> None:
    """When events are replayed months later, nothing is removed from the cart a second time."""
    sku = await sku_of(new_product, stock=100)
    events = []
    for _ in range(MAX_REMEMBERED_ORDERS + 5):
        events.append(paid(await guest_cart.add(sku, 2)))
        assert await deliver(deps, events[-1]) == [RedeliveryOutcome.APPLIED]
        assert await guest_cart.units() == {}
    await guest_cart.add(sku, 3)
    version = (await guest_cart.get()).version
    for event in events:
        assert await deliver(deps, event) == [RedeliveryOutcome.ALREADY_APPLIED]
    cart = await guest_cart.get()
    assert (await guest_cart.units(), cart.version) == ({sku: 3}, version)
    document = await deps.mongo.database.carts.find_one({"_id": guest_cart.id})
    assert document is not None
    assert len(document["ordered"]) == len(document["ordered_at"]) == MAX_REMEMBERED_ORDERS


async def test_a_guests_order_is_never_dropped_from_the_list(
    rpc: RpcCaller, guest_cart: CartClient, my_cart: CartClient, deps: CartDeps, new_product: NewProduct
) -> None:
    sku = await sku_of(new_product, stock=100)
    early = paid(await guest_cart.add(sku, 2))
    await rpc(contract.MERGE, {"cart_id": guest_cart.id}, identity=my_cart.identity)
    assert await deliver(deps, early) == [RedeliveryOutcome.APPLIED]
    assert await my_cart.units() == {}
    for _ in range(MAX_REMEMBERED_ORDERS + 1):
        await deliver(deps, paid(await my_cart.add(sku, 2)))
    await my_cart.add(sku, 3)
    assert await deliver(deps, early) == [RedeliveryOutcome.ALREADY_APPLIED]
    assert await my_cart.units() == {sku: 3}


async def test_an_event_of_a_placed_order_that_an_older_release_left_changes_nothing(
    guest_cart: CartClient, deps: CartDeps, new_product: NewProduct
) -> None:
    event = paid(await guest_cart.add(sku := await sku_of(new_product), 2))
    placed = OrderPlaced(**event.model_dump(exclude={"payment_id"}), charge=False)
    assert await EVENT_HANDLERS[OrderPlaced](deps, None, placed) is RedeliveryOutcome.IGNORED
    assert await guest_cart.units() == {sku: 2}


async def test_an_order_that_an_older_release_applied_when_it_was_placed_is_not_applied_when_it_is_paid(
    guest_cart: CartClient, deps: CartDeps, new_product: NewProduct
) -> None:
    event = paid(await guest_cart.add(sku := await sku_of(new_product), 2))
    assert event.cart_id
    assert event.cart_version
    assert await deps.carts.empty_for_orders([CartOrder(event.cart_id, event.cart_version, event.order_id)])
    await guest_cart.add(sku, 3)
    assert await deliver(deps, event) == [RedeliveryOutcome.ALREADY_APPLIED]
    assert await guest_cart.units() == {sku: 3}


async def test_a_second_order_of_one_version_takes_nothing_more(
    guest_cart: CartClient, deps: CartDeps, new_product: NewProduct
) -> None:
    """The first was paid and then cancelled, and the cart was ordered again before it had heard of the payment."""
    first = paid(await guest_cart.add(sku := await sku_of(new_product), 2))
    second = first.model_copy(update={"order_id": new_id()})
    await guest_cart.add(sku, 3)
    await deliver(deps, first)
    assert await deliver(deps, second) == [RedeliveryOutcome.APPLIED]
    assert await guest_cart.units() == {sku: 3}
    assert await deliver(deps, second) == [RedeliveryOutcome.ALREADY_APPLIED]


async def test_a_second_guests_order_of_one_version_takes_nothing_more_after_a_merge(
    rpc: RpcCaller, guest_cart: CartClient, my_cart: CartClient, deps: CartDeps, new_product: NewProduct
) -> None:
    first = paid(await guest_cart.add(sku := await sku_of(new_product), 2))
    second = first.model_copy(update={"order_id": new_id()})
    await my_cart.add(sku, 4)
    await rpc(contract.MERGE, {"cart_id": guest_cart.id}, identity=my_cart.identity)
    await deliver(deps, first)
    await deliver(deps, second)
    assert await my_cart.units() == {sku: 4}


async def test_applies_a_batch_of_orders(rpc: RpcCaller, deps: CartDeps, new_product: NewProduct) -> None:
    """Each cart of a batch is emptied."""
    sku = await sku_of(new_product)
    clients = [CartClient(rpc, (await rpc(contract.CREATE)).id) for _ in range(5)]
    events = [paid(await client.add(sku)) for client in clients]
    await deliver(deps, *events)
    assert [await client.units() for client in clients] == [{}] * 5


async def test_orders_of_a_batch_whose_carts_have_changed_are_applied_by_themselves(
    rpc: RpcCaller, deps: CartDeps, new_product: NewProduct
) -> None:
    """Two others of the batch are of one version of one cart: the first was paid and then cancelled."""
    sku, more = await sku_of(new_product, stock=100), await sku_of(new_product)
    same, changed, twice = [CartClient(rpc, (await rpc(contract.CREATE)).id) for _ in range(3)]
    events = [paid(await client.add(sku, 3)) for client in (same, changed, twice)]
    await changed.add(more)
    again = events[2].model_copy(update={"order_id": new_id()})
    await deliver(deps, *events, again)
    assert [await client.units() for client in (same, changed, twice)] == [{}, {more: 1}, {}]
    await twice.add(sku)
    assert await deliver(deps, *events, again) == [RedeliveryOutcome.ALREADY_APPLIED] * 4
    assert await twice.units() == {sku: 1}


@pytest.mark.parametrize(("orders", "known_versions"), [(0, 0), (3, 3), (3, 1), (19, 19), (20, 20), (20, 4), (26, 26)])
@pytest.mark.parametrize("forgotten_to", [None, 2, 900])
async def test_the_statement_lists_orders_as_the_domain_does(
    guest_cart: CartClient, deps: CartDeps, orders: int, known_versions: int, forgotten_to: int | None
) -> None:
    """Carts of older releases lack versions of their orders, or the fields."""
    ordered = {"ordered": [new_id() for _ in range(orders)], "ordered_at": [*range(10, 10 + known_versions)]}
    values = {"version": 900, **(ordered if orders else {})}
    if forgotten_to is not None:
        values["forgotten_to"] = forgotten_to
    await deps.mongo.database.carts.update_one({"_id": guest_cart.id}, {"$set": values})
    before = await deps.carts.find(guest_cart.id, now())
    assert before is not None
    order_id = new_id()
    assert await deps.carts.empty_for_orders([CartOrder(cart_reference(guest_cart.id), 900, order_id)])
    expected = with_order(replace(before, lines=(), version=901), order_id, 900, MAX_REMEMBERED_ORDERS)
    assert await deps.carts.find(guest_cart.id, now()) == expected


async def test_adding_while_an_order_is_applied_loses_nothing(
    guest_cart: CartClient, deps: CartDeps, new_product: NewProduct
) -> None:
    sku, more = await sku_of(new_product, stock=100), await sku_of(new_product, stock=100)
    event = paid(await guest_cart.add(sku, 5))
    await asyncio.gather(deliver(deps, event), *(guest_cart.add(more) for _ in range(20)))
    assert await guest_cart.units() == {more: 20}


async def test_ignores_an_order_without_a_cart_or_of_an_unknown_cart(
    rpc: RpcCaller, guest_cart: CartClient, deps: CartDeps
) -> None:
    event = paid(await guest_cart.get())
    await deliver(
        deps,
        event.model_copy(update={"cart_id": None, "cart_version": None}),
        event.model_copy(update={"cart_id": "x" * 22}),
        event.model_copy(update={"cart_version": 9}),
    )
    assert (await guest_cart.get()).version == 1
    with pytest.raises(NotFound):
        await rpc(contract.GET, {"id": "x" * 22})
