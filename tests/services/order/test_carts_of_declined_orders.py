"""A cart whose order was declined or cancelled keeps its lines and can be ordered again, once at a time."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from nats.aio.client import Client

from contracts import cart, catalog
from contracts import order as contract
from contracts.cart import Cart, CartChanged
from contracts.catalog import Product
from contracts.failure import Fail
from contracts.identity import Identity
from contracts.order import Order, OrderPaid, OrderStatus, PlacedOrder
from contracts.payment import PaymentFailed
from infra.foundation.ids import new_id
from infra.messaging.rpc_client import Request, RpcClient
from services.order.deps import OrderDeps
from services.order.domain import states
from services.order.domain.orders import CartVersion
from services.order.handlers import events as event_handlers
from services.order.handlers import place
from services.order.handlers.place import derive_hold_id
from services.order.workers import saga
from tests.services.order.conftest import OrderClient
from tests.support.event_recorder import EventRecorder
from tests.support.eventually import eventually
from tests.support.http import ADDRESS
from tests.support.rpc import RpcCaller

NewProduct = Callable[..., Awaitable[Product]]
Databases = Callable[[str], Awaitable[asyncpg.Connection]]


class CartShopper:
    """A customer, or a guest with an e-mail, who orders one cart."""

    def __init__(self, rpc: RpcCaller, cart_id: str, identity: Identity | None) -> None:
        self.rpc, self.cart_id, self.identity = rpc, cart_id, identity
        self.contact = {} if identity else {"email": f"{new_id().hex}@example.com"}

    async def add(self, product: Product, quantity: int) -> Cart:
        body = {"id": self.cart_id, "sku": product.variants[0].sku, "quantity": quantity}
        changed: Cart = await self.rpc(cart.ADD, body, identity=self.identity)
        return changed

    async def units(self) -> dict[str, int]:
        found = await self.rpc(cart.GET, {"id": self.cart_id}, identity=self.identity)
        return {item.sku: item.quantity for item in found.items}

    async def order(self, payment_method: str | None = None, **more: Any) -> Order:
        body = {"cart_id": self.cart_id, "shipping_address": ADDRESS, "payment_method": payment_method, **self.contact}
        placed: Order = await self.rpc(contract.PLACE, {**body, **more}, identity=self.identity, key=new_id().hex)
        return placed

    async def wait_for_units(self, units: dict[str, int]) -> None:
        async def reached() -> bool:
            assert await self.units() == units
            return True

        await eventually(reached)


@pytest.fixture(params=["customer", "guest"])
async def shopper(request: pytest.FixtureRequest, rpc: RpcCaller, new_customer: Callable[[], Identity]) -> CartShopper:
    """A shopper with an empty cart."""
    if request.param == "customer":
        return CartShopper(rpc, "mine", new_customer())
    return CartShopper(rpc, (await rpc(cart.CREATE)).id, None)


def sku_of(product: Product) -> str:
    return product.variants[0].sku


async def test_a_declined_order_leaves_the_cart_which_is_ordered_again_until_it_is_paid(
    shopper: CartShopper, order_client: OrderClient, new_product: NewProduct, events: EventRecorder
) -> None:
    """It is ordered again as soon as the order is seen to be cancelled."""
    lamp = await new_product(stock=6)
    version = (await shopper.add(lamp, 3)).version
    declined = []
    for method in ("sim_declined", "sim_insufficient_funds"):
        declined.append(await shopper.order(method))
        await order_client.wait_for_status(declined[-1].id, OrderStatus.CANCELLED)
        assert await shopper.units() == {sku_of(lamp): 3}

    again = await shopper.order("sim_ok")

    await order_client.wait_for_status(again.id, OrderStatus.PAID)
    assert again.id not in {order.id for order in declined}
    await shopper.wait_for_units({})
    await order_client.wait_for_stock(lamp, on_hand=3, reserved=0)
    paid = (await events.wait_for(again.id, "paid")).event
    assert isinstance(paid, OrderPaid)
    assert paid.cart_version == version


async def test_an_order_that_waits_for_its_payment_is_the_only_one_of_its_cart(
    shopper: CartShopper, order_client: OrderClient, new_product: NewProduct
) -> None:
    lamp = await new_product(stock=5)
    await shopper.add(lamp, 2)
    first = await shopper.order("sim_declined")
    await order_client.wait_for_status(first.id, OrderStatus.CANCELLED)
    second = await shopper.order()

    assert (await shopper.order("sim_ok")).id == second.id
    assert second.id != first.id
    await order_client.wait_for_stock(lamp, on_hand=5, reserved=2)
    assert await shopper.units() == {sku_of(lamp): 2}


async def test_two_tabs_that_order_again_make_one_order(
    shopper: CartShopper, order_client: OrderClient, new_product: NewProduct
) -> None:
    lamp = await new_product(stock=4)
    await shopper.add(lamp, 2)
    first = await shopper.order("sim_declined")
    await order_client.wait_for_status(first.id, OrderStatus.CANCELLED)

    ends = await asyncio.gather(*(shopper.order("sim_ok") for _ in range(8)), return_exceptions=True)

    assert not [end for end in ends if not isinstance(end, Order | Fail)]
    again = {end.id for end in ends if isinstance(end, Order)}
    assert len(again) == 1
    await order_client.wait_for_status(again.pop(), OrderStatus.PAID)
    await shopper.wait_for_units({})
    await order_client.wait_for_stock(lamp, on_hand=2, reserved=0)


async def test_another_guest_may_order_the_cart_after_a_decline(
    rpc: RpcCaller, order_client: OrderClient, new_product: NewProduct
) -> None:
    """The cart is theirs who know its id; the order of the first guest is not shown to the second."""
    shopper = CartShopper(rpc, (await rpc(cart.CREATE)).id, None)
    await shopper.add(await new_product(), 1)
    first = await shopper.order("sim_declined")
    await order_client.wait_for_status(first.id, OrderStatus.CANCELLED)
    second = await shopper.order(email="second@example.com")
    assert second.id != first.id
    with pytest.raises(CartChanged):
        await shopper.order(email="third@example.com")


async def test_what_changes_while_an_order_waits_stays_in_the_cart(
    shopper: CartShopper, order_client: OrderClient, new_product: NewProduct, rpc: RpcCaller
) -> None:
    lamp, bowl, vase = [await new_product(stock=20) for _ in range(3)]
    await shopper.add(lamp, 2)
    await shopper.add(bowl, 3)
    order = await shopper.order("sim_action")
    await shopper.add(lamp, 1)
    await shopper.add(vase, 4)
    body = {"id": shopper.cart_id, "sku": sku_of(bowl), "quantity": 1}
    await rpc(cart.SET, body, identity=shopper.identity)

    later = await shopper.order("sim_ok")

    await order_client.wait_for_status(later.id, OrderStatus.PAID)
    assert {item.sku: item.quantity for item in later.items} == {sku_of(lamp): 3, sku_of(bowl): 1, sku_of(vase): 4}
    assert later.id != order.id
    await shopper.wait_for_units({})


async def test_an_order_cancelled_by_its_customer_leaves_the_cart(
    order_client: OrderClient, new_product: NewProduct, rpc: RpcCaller, new_customer: Callable[[], Identity]
) -> None:
    lamp, shopper = await new_product(stock=2), CartShopper(rpc, "mine", new_customer())
    await shopper.add(lamp, 2)
    first = await shopper.order()
    await rpc(contract.CANCEL, {"id": str(first.id)}, identity=shopper.identity)
    again = await shopper.order("sim_ok")
    assert again.id != first.id
    await order_client.wait_for_status(again.id, OrderStatus.PAID)
    await shopper.wait_for_units({})


async def test_a_key_sent_again_after_the_decline_returns_the_first_answer(
    order_client: OrderClient, new_product: NewProduct, rpc: RpcCaller, new_customer: Callable[[], Identity]
) -> None:
    lamp, shopper, key = await new_product(), CartShopper(rpc, "mine", new_customer()), new_id().hex
    await shopper.add(lamp, 1)
    body = {"cart_id": "mine", "shipping_address": ADDRESS, "payment_method": "sim_declined"}
    first = await rpc.raw(contract.PLACE, body, identity=shopper.identity, key=key)
    await order_client.wait_for_status(PlacedOrder.model_validate_json(first[0]).id, OrderStatus.CANCELLED)
    assert (await rpc.raw(contract.PLACE, body, identity=shopper.identity, key=key))[0] == first[0]
    assert len((await rpc(contract.LIST, identity=shopper.identity)).items) == 1


async def test_the_database_refuses_a_second_order_of_a_cart_version_that_is_not_cancelled(
    order_client: OrderClient, new_product: NewProduct, rpc: RpcCaller, new_customer: Callable[[], Identity],
    database: Databases,
) -> None:  # fmt: skip
    shopper, connection = CartShopper(rpc, "mine", new_customer()), await database("order")
    await shopper.add(await new_product(), 1)
    first = await shopper.order("sim_declined")
    await order_client.wait_for_status(first.id, OrderStatus.CANCELLED)
    await shopper.order()
    with pytest.raises(asyncpg.UniqueViolationError):
        await connection.execute("UPDATE orders SET status = 'pending' WHERE id = $1", first.id)


def test_the_first_attempt_has_the_id_that_older_releases_derive() -> None:
    """So both releases share the hold of a cart while one replaces the other."""
    version = CartVersion("7f1c", 3)
    assert str(derive_hold_id(version, None)) == "e76f5474-6211-5dfa-bb5c-9b4ac4b1f578"
    assert len({derive_hold_id(version, None, attempt) for attempt in range(12)}) == 12
    assert derive_hold_id(CartVersion("7f1c", 31), None) != derive_hold_id(version, None, 1)


class CancellingRpc(RpcClient):
    """Cancels an order as its payment is declined, while stock is held for another one."""

    def __init__(self, client: Client, decline: Callable[[], Awaitable[None]]) -> None:
        super().__init__(client, 3)
        self.declines = [decline]

    async def request_bytes(self, subject: str, body: bytes, *args: Any, **options: Any) -> Any:
        reply = await super().request_bytes(subject, body, *args, **options)
        if subject == catalog.HOLD.subject and self.declines:
            await self.declines.pop()()
        return reply


async def test_an_order_cancelled_while_the_next_one_is_placed_is_counted_again(
    deps: OrderDeps,
    order_client: OrderClient,
    new_product: NewProduct,
    rpc: RpcCaller,
    as_service: Callable[[str], Awaitable[RpcCaller]],
    new_customer: Callable[[], Identity],
) -> None:
    """The next order finds the hold of the first one, which is cancelled before the next one is written."""
    lamp, shopper = await new_product(stock=2), CartShopper(rpc, "mine", new_customer())
    await shopper.add(lamp, 2)
    first = await shopper.order()

    async def decline() -> None:
        async with deps.db.transaction() as tx:
            await saga.apply_fact(tx, states.DECLINE, first.id)

    body = contract.PlaceOrder.model_validate({"cart_id": "mine", "shipping_address": ADDRESS})
    interrupted = replace(deps, rpc=CancellingRpc((await as_service("order")).client, decline))
    reply = await place.place(interrupted, Request(body, shopper.identity))

    assert isinstance(reply.content, Order)
    assert reply.content.id != first.id
    assert (await order_client.read(reply.content.id)).status is OrderStatus.PENDING
    assert (await order_client.read(first.id)).status is OrderStatus.CANCELLED
    await order_client.wait_for_stock(lamp, on_hand=2, reserved=2)


async def test_the_last_units_are_free_before_catalog_has_consumed_the_cancellation(
    deps: OrderDeps, new_product: NewProduct, rpc: RpcCaller, new_customer: Callable[[], Identity]
) -> None:
    """The event is published with the relay's next poll, later than the cart is ordered again."""
    lamp, shopper = await new_product(stock=2), CartShopper(rpc, "mine", new_customer())
    await shopper.add(lamp, 2)
    first = await shopper.order()
    async with deps.db.transaction() as tx:
        await saga.apply_fact(tx, states.DECLINE, first.id)
    assert (await shopper.order()).id != first.id


async def test_an_order_may_be_paid_again_while_attempts_are_left(
    deps: OrderDeps,
    order_client: OrderClient,
    new_product: NewProduct,
    rpc: RpcCaller,
    new_customer: Callable[[], Identity],
) -> None:
    """With three attempts, two failures of which one is redelivered leave the order pending, its stock held."""
    lamp, buyer = await new_product(stock=2), new_customer()
    patient = replace(deps, payment_attempts=3)
    paid, given_up = await order_client.place(buyer, (lamp, 1)), await order_client.place(buyer, (lamp, 1))

    async def fail(order: Order, payment_id: UUID) -> None:
        event = PaymentFailed(payment_id=payment_id, order_id=order.id, amount=order.total, failure_code="declined")
        async with deps.db.transaction() as tx:
            await event_handlers.payment_failed(patient, tx, event)

    payment_ids = [new_id() for _ in range(3)]
    for payment_id in (payment_ids[0], payment_ids[0], payment_ids[1]):
        await fail(paid, payment_id)
    await rpc(contract.PAY, {"id": str(paid.id), "payment_method": "sim_ok"}, identity=buyer)
    await order_client.wait_for_status(paid.id, OrderStatus.PAID)
    await fail(paid, payment_ids[2])
    for payment_id in payment_ids:
        assert (await order_client.read(given_up.id)).status is OrderStatus.PENDING
        await fail(given_up, payment_id)
    assert (await order_client.read(given_up.id)).status is OrderStatus.CANCELLED
    assert (await order_client.read(paid.id)).status is OrderStatus.PAID
