"""Units of paid orders that are cancelled before they leave, over the running services."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

from contracts import headers, payment
from contracts import order as contract
from contracts.catalog import Product
from contracts.failure import NotFound
from contracts.identity import Identity
from contracts.order import (
    FulfilmentExceedsOrder,
    FulfilmentState,
    IllegalTransition,
    Order,
    OrderStatus,
    OrderUnitsCancelled,
)
from contracts.payment import PaymentRefunded, PaymentStatus
from infra.foundation.ids import new_id
from tests.services.order.conftest import OrderClient, buyer_of
from tests.support.event_recorder import EventRecorder
from tests.support.eventually import eventually
from tests.support.rpc import RpcCaller

NewProduct = Callable[..., Awaitable[Product]]
Database = Callable[[str], Awaitable[Any]]


@pytest.fixture
async def lamp(new_product: NewProduct) -> Product:
    """Ten are in stock."""
    return await new_product()


@pytest.fixture
async def paid(order_client: OrderClient, lamp: Product, new_customer: Callable[[], Identity]) -> Order:
    """A paid order of four lamps."""
    order = await order_client.place(new_customer(), (lamp, 4), payment_method="sim_ok")
    await order_client.wait_for_stock(lamp, on_hand=6, reserved=0)
    return await order_client.wait_for_status(order.id, OrderStatus.PAID)


def units(order: Order, quantity: int) -> dict[str, Any]:
    return {"id": str(order.id), "items": [{"sku": order.items[0].sku, "quantity": quantity}]}


async def cancel(rpc: RpcCaller, order: Order, quantity: int | None = None, **more: Any) -> Order:
    """Cancels so many lamps, or all that have not left, as the customer."""
    body = {"id": str(order.id)} if quantity is None else units(order, quantity)
    cancelled: Order = await rpc(contract.CANCEL, body, **{"identity": buyer_of(order), **more})
    return cancelled


@pytest.fixture
def wait_for_refunded(rpc: RpcCaller, admin: Identity) -> Callable[..., Awaitable[PaymentStatus]]:
    async def wait(order: Order, amount: int) -> PaymentStatus:
        """Waits until so much of the order's payment went back, and returns its status."""

        async def found() -> payment.Payment:
            one: payment.Payment = await rpc(payment.GET, {"id": str(order.payment_id)}, identity=admin)
            assert one.refunded.amount == amount
            return one

        return (await eventually(found)).status

    return wait


async def test_cancelled_units_return_their_stock_and_their_money(
    rpc: RpcCaller,
    order_client: OrderClient,
    lamp: Product,
    paid: Order,
    events: EventRecorder,
    wait_for_refunded: Callable[..., Awaitable[PaymentStatus]],
) -> None:
    price = paid.items[0].unit_price.amount

    cancelled = await cancel(rpc, paid, 1)

    assert (cancelled.status, cancelled.items[0].cancelled) == (OrderStatus.PAID, 1)
    assert cancelled.fulfilment is FulfilmentState.NONE
    assert await order_client.read(paid.id) == cancelled
    assert await wait_for_refunded(paid, price) is PaymentStatus.PARTIALLY_REFUNDED
    await order_client.wait_for_stock(lamp, on_hand=7, reserved=0)
    event = (await events.wait_for(paid.id, "units_cancelled")).event
    assert isinstance(event, OrderUnitsCancelled)
    assert (event.amount.amount, [line.quantity for line in event.remaining]) == (price, [3])
    refund = (await events.wait_for_fields("refunded", order_id=paid.id)).event
    assert isinstance(refund, PaymentRefunded)
    assert refund.refund_id == event.cancellation_id


async def test_the_rest_of_a_shipped_part_is_cancelled(
    rpc: RpcCaller,
    admin: Identity,
    order_client: OrderClient,
    lamp: Product,
    paid: Order,
    wait_for_refunded: Callable[..., Awaitable[PaymentStatus]],
) -> None:
    await rpc(contract.CREATE_FULFILMENT, units(paid, 1), identity=admin)
    with pytest.raises(FulfilmentExceedsOrder):
        await cancel(rpc, paid, 4)
    shipped = await cancel(rpc, paid)
    assert (shipped.status, shipped.fulfilment) == (OrderStatus.SHIPPED, FulfilmentState.FULL)
    assert shipped.items[0].cancelled == 3
    await wait_for_refunded(paid, 3 * paid.items[0].unit_price.amount)
    await order_client.wait_for_stock(lamp, on_hand=9, reserved=0)
    with pytest.raises(IllegalTransition):
        await cancel(rpc, paid)
    with pytest.raises(IllegalTransition):
        await rpc(contract.CREATE_FULFILMENT, {"id": str(paid.id)}, identity=admin)


async def test_cancelling_the_last_units_cancels_the_order(
    rpc: RpcCaller,
    order_client: OrderClient,
    lamp: Product,
    paid: Order,
    wait_for_refunded: Callable[..., Awaitable[PaymentStatus]],
) -> None:
    """Then everything that is left of the payment goes back, and each unit returns once."""
    await cancel(rpc, paid, 3)
    cancelled = await cancel(rpc, paid, 1)
    assert cancelled.status is OrderStatus.CANCELLED
    assert await wait_for_refunded(paid, paid.total.amount) is PaymentStatus.REFUNDED
    await order_client.wait_for_stock(lamp, on_hand=10, reserved=0)


async def test_what_an_administrator_has_refunded_is_not_refunded_again(
    rpc: RpcCaller,
    admin: Identity,
    order_client: OrderClient,
    lamp: Product,
    paid: Order,
    wait_for_refunded: Callable[..., Awaitable[PaymentStatus]],
) -> None:
    price = paid.items[0].unit_price.amount
    await rpc(payment.REFUND, {"id": str(paid.payment_id), "amount": 2 * price + 1}, identity=admin)
    await cancel(rpc, paid, 2)
    assert await wait_for_refunded(paid, 4 * price) is PaymentStatus.REFUNDED
    await order_client.wait_for_stock(lamp, on_hand=8, reserved=0)


async def test_a_unit_leaves_or_is_cancelled_but_not_both(rpc: RpcCaller, admin: Identity, paid: Order) -> None:
    """Concurrent requests; the key of a repeated one cancels once."""
    key = new_id().hex
    sending = [rpc(contract.CREATE_FULFILMENT, units(paid, 2), identity=admin) for _ in range(3)]
    cancelling = [cancel(rpc, paid, 2) for _ in range(3)]
    results = await asyncio.gather(*sending, *cancelling, return_exceptions=True)
    done = [result for result in results if isinstance(result, Order)]
    assert len(done) == 2
    assert {type(result) for result in results} <= {Order, FulfilmentExceedsOrder, IllegalTransition}
    with pytest.raises(IllegalTransition):
        await cancel(rpc, paid, 1, key=key)


async def test_a_repeated_request_cancels_once(rpc: RpcCaller, paid: Order) -> None:
    key, identity = new_id().hex, buyer_of(paid)
    first, _ = await rpc.raw(contract.CANCEL, units(paid, 1), identity=identity, key=key)
    again, reply_headers = await rpc.raw(contract.CANCEL, units(paid, 1), identity=identity, key=key)
    assert (first, reply_headers[headers.REPLAYED]) == (again, "true")


async def test_only_the_owner_cancels_units_and_only_of_a_paid_order(
    rpc: RpcCaller, order_client: OrderClient, lamp: Product, new_customer: Callable[[], Identity]
) -> None:
    pending = await order_client.place(new_customer(), (lamp, 2))
    with pytest.raises(NotFound):
        await cancel(rpc, pending, 1, identity=new_customer())
    with pytest.raises(IllegalTransition, match="while the order is paid"):
        await cancel(rpc, pending, 1)
    assert (await cancel(rpc, pending, 2)).status is OrderStatus.CANCELLED


async def test_a_product_of_which_all_units_are_cancelled_was_not_bought(
    rpc: RpcCaller,
    as_service: Callable[[str], Awaitable[RpcCaller]],
    order_client: OrderClient,
    lamp: Product,
    new_product: NewProduct,
    new_customer: Callable[[], Identity],
) -> None:
    rug = await new_product()
    order = await order_client.place(new_customer(), (lamp, 2), (rug, 1), payment_method="sim_ok")
    await order_client.wait_for_status(order.id, OrderStatus.PAID)
    lines = {item.product_id: item for item in order.items}
    items = [{"sku": lines[rug.id].sku, "quantity": 1}, {"sku": lines[lamp.id].sku, "quantity": 1}]
    await rpc(contract.CANCEL, {"id": str(order.id), "items": items}, identity=buyer_of(order))
    reviews = await as_service("catalog")
    for product, bought in ((lamp, order.id), (rug, None)):
        query = {"user_id": str(order.user_id), "product_id": str(product.id)}
        assert (await reviews(contract.FIND_PURCHASE, query)).order_id == bought


async def test_events_that_are_told_again_change_nothing(
    rpc: RpcCaller,
    operator: RpcCaller,
    order_client: OrderClient,
    lamp: Product,
    paid: Order,
    events: EventRecorder,
    wait_for_refunded: Callable[..., Awaitable[PaymentStatus]],
    database: Database,
) -> None:
    """Each event of the order a second time, under new ids."""
    await cancel(rpc, paid, 1)
    await wait_for_refunded(paid, paid.items[0].unit_price.amount)
    await order_client.wait_for_stock(lamp, on_hand=7, reserved=0)
    await operator(contract.REPAIR, {"ids": [str(paid.id)], "say": True})
    await eventually(lambda: events.event_names(paid.id).count("units_cancelled") == 2)
    second = [one for one in events._recorded[str(paid.id)] if one.name == "units_cancelled"][1]
    for service in ("catalog", "payment"):
        await wait_until_applied(await database(service), UUID(second.headers[headers.EVENT_ID]))
    assert (await order_client.stock(lamp)).on_hand == 7
    await wait_for_refunded(paid, paid.items[0].unit_price.amount)


async def wait_until_applied(connection: Any, event_id: UUID) -> None:
    async def is_applied() -> bool:
        return bool(await connection.fetchval("SELECT EXISTS (SELECT FROM inbox WHERE event_id = $1)", event_id))

    await eventually(is_applied)
