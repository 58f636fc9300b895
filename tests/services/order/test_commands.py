"""Commands of customers and administrators: pay, cancel, ship, deliver, change the address."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from contracts import headers
from contracts import order as contract
from contracts.catalog import Product
from contracts.failure import Forbidden, InvalidRequest, NotFound, PreconditionFailed, Unauthorized
from contracts.identity import Identity
from contracts.order import CancelReason, IllegalTransition, Order, OrderCancelled, OrderShipped, OrderStatus
from contracts.payment import AlreadyPaid, Payment, PaymentMethodUnknown, PaymentRefunded
from infra.foundation.ids import new_id
from tests.services.order.conftest import OrderClient
from tests.support.event_recorder import EventRecorder
from tests.support.http import ADDRESS
from tests.support.rpc import RpcCaller

NewProduct = Callable[..., Awaitable[Product]]
TRACKING = {"carrier": "Royal Mail", "number": "RM123456785GB"}


def ref(order: Order, **more: Any) -> dict[str, Any]:
    return {"id": str(order.id), **more}


@pytest.fixture
def buyer(new_customer: Callable[[], Identity]) -> Identity:
    return new_customer()


@pytest.fixture
async def lamp(new_product: NewProduct) -> Product:
    return await new_product()


@pytest.fixture
async def pending(order_client: OrderClient, buyer: Identity, lamp: Product) -> Order:
    return await order_client.place(buyer, (lamp, 2))


@pytest.fixture
async def paid(order_client: OrderClient, rpc: RpcCaller, buyer: Identity, pending: Order) -> Order:
    await rpc(contract.PAY, ref(pending, payment_method="sim_ok"), identity=buyer)
    return await order_client.wait_for_status(pending.id, OrderStatus.PAID)


async def test_cancelling_a_pending_order_returns_its_stock(
    order_client: OrderClient, rpc: RpcCaller, buyer: Identity, lamp: Product, pending: Order, events: EventRecorder
) -> None:
    cancelled = await rpc(contract.CANCEL, ref(pending), identity=buyer)

    assert cancelled.status is OrderStatus.CANCELLED
    assert [(entry.status, entry.note) for entry in cancelled.history] == [
        (OrderStatus.PENDING, None),
        (OrderStatus.CANCELLED, "customer"),
    ]
    assert await order_client.read(pending.id) == cancelled
    event = (await events.wait_for(pending.id, "cancelled")).event
    assert isinstance(event, OrderCancelled)
    assert (event.was, event.reason) == (OrderStatus.PENDING, CancelReason.CUSTOMER)
    await order_client.wait_for_stock(lamp, on_hand=10, reserved=0)


async def test_cancelling_a_paid_order_refunds_it(
    order_client: OrderClient, rpc: RpcCaller, buyer: Identity, lamp: Product, paid: Order, events: EventRecorder
) -> None:
    await order_client.wait_for_stock(lamp, on_hand=8, reserved=0)

    cancelled = await rpc(contract.CANCEL, ref(paid), identity=buyer)

    assert cancelled.status is OrderStatus.CANCELLED
    assert cancelled.payment_id == paid.payment_id
    event = (await events.wait_for(paid.id, "cancelled")).event
    assert isinstance(event, OrderCancelled)
    assert (event.was, event.payment_id) == (OrderStatus.PAID, paid.payment_id)
    refunded = (await events.wait_for_fields("refunded", order_id=paid.id)).event
    assert isinstance(refunded, PaymentRefunded)
    assert (refunded.payment_id, refunded.full) == (paid.payment_id, True)
    await order_client.wait_for_stock(lamp, on_hand=10, reserved=0)
    assert (await order_client.read(paid.id)).status is OrderStatus.CANCELLED


async def test_a_second_cancellation_is_refused_unless_it_repeats_the_request(
    rpc: RpcCaller, buyer: Identity, pending: Order
) -> None:
    key = new_id().hex
    first, _ = await rpc.raw(contract.CANCEL, ref(pending), identity=buyer, key=key)
    again, reply_headers = await rpc.raw(contract.CANCEL, ref(pending), identity=buyer, key=key)
    assert (first, reply_headers[headers.REPLAYED]) == (again, "true")
    with pytest.raises(IllegalTransition):
        await rpc(contract.CANCEL, ref(pending), identity=buyer)


async def test_an_administrator_can_cancel_any_order(rpc: RpcCaller, admin: Identity, pending: Order) -> None:
    cancelled = await rpc(contract.CANCEL, ref(pending), identity=admin)
    assert cancelled.history[-1].note == "admin"


async def test_another_customers_order_is_not_found(
    rpc: RpcCaller, pending: Order, new_customer: Callable[[], Identity]
) -> None:
    other = new_customer()
    with pytest.raises(NotFound):
        await rpc(contract.GET, ref(pending), identity=other)
    with pytest.raises(NotFound):
        await rpc(contract.CANCEL, ref(pending), identity=other)
    with pytest.raises(NotFound):
        await rpc(contract.PAY, ref(pending, payment_method="sim_ok"), identity=other)
    with pytest.raises(Forbidden):
        await rpc(contract.UPDATE, ref(pending, status="delivered"), identity=other)
    for operation in (contract.GET, contract.CANCEL):
        with pytest.raises(Unauthorized):
            await rpc(operation, ref(pending))


async def test_only_the_version_that_was_read_is_changed(
    rpc: RpcCaller, buyer: Identity, admin: Identity, pending: Order
) -> None:
    _, reply_headers = await rpc.raw(contract.GET, ref(pending), identity=buyer)
    version = int(reply_headers[headers.VERSION])
    moved = {**ADDRESS, "city": "Leeds"}
    _, reply_headers = await rpc.raw(
        contract.UPDATE, ref(pending, shipping_address=moved), identity=admin, if_match=version
    )
    assert int(reply_headers[headers.VERSION]) == version + 1
    with pytest.raises(PreconditionFailed):
        await rpc(contract.CANCEL, ref(pending), identity=buyer, if_match=version)
    with pytest.raises(PreconditionFailed):
        await rpc(contract.UPDATE, ref(pending, shipping_address=ADDRESS), identity=admin, if_match=version)
    cancelled = await rpc(contract.CANCEL, ref(pending), identity=buyer, if_match=version + 1)
    assert cancelled.shipping_address.city == "Leeds"


async def test_a_paid_order_is_shipped_and_delivered(
    rpc: RpcCaller, admin: Identity, buyer: Identity, paid: Order, events: EventRecorder
) -> None:
    shipped = await rpc(contract.UPDATE, ref(paid, status="shipped", tracking=TRACKING), identity=admin)
    assert (shipped.status, shipped.tracking.number) == (OrderStatus.SHIPPED, TRACKING["number"])
    event = (await events.wait_for(paid.id, "shipped")).event
    assert isinstance(event, OrderShipped)
    assert event.tracking == shipped.tracking
    with pytest.raises(IllegalTransition):
        await rpc(contract.CANCEL, ref(paid), identity=buyer)
    with pytest.raises(IllegalTransition):
        await rpc(contract.UPDATE, ref(paid, shipping_address=ADDRESS), identity=admin)

    delivered = await rpc(contract.UPDATE, ref(paid, status="delivered"), identity=admin)

    assert delivered.status is OrderStatus.DELIVERED
    assert delivered.tracking == shipped.tracking
    await events.wait_for(paid.id, "delivered")
    assert events.event_names(paid.id) == ["placed", "paid", "shipped", "delivered"]
    assert [entry.status for entry in delivered.history] == [
        OrderStatus.PENDING,
        OrderStatus.PAID,
        OrderStatus.SHIPPED,
        OrderStatus.DELIVERED,
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"status": "shipped", "tracking": TRACKING},
        *({"status": status} for status in OrderStatus if status != "shipped"),
    ],
)
async def test_the_status_of_a_pending_order_cannot_be_set(
    change: dict[str, Any], rpc: RpcCaller, admin: Identity, pending: Order
) -> None:
    with pytest.raises(IllegalTransition):
        await rpc(contract.UPDATE, ref(pending, **change), identity=admin)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"status": "shipped"},
        {"status": "delivered", "tracking": TRACKING},
        {"status": "lost"},
        {"tracking": TRACKING},
    ],
)
async def test_an_invalid_update_is_refused(
    change: dict[str, Any], rpc: RpcCaller, admin: Identity, pending: Order
) -> None:
    with pytest.raises(InvalidRequest):
        await rpc(contract.UPDATE, ref(pending, **change), identity=admin)


async def test_a_pending_order_is_paid(
    order_client: OrderClient, rpc: RpcCaller, buyer: Identity, pending: Order
) -> None:
    key = new_id().hex
    payment = await rpc(contract.PAY, ref(pending, payment_method="sim_ok"), identity=buyer, key=key)
    assert isinstance(payment, Payment)
    assert (payment.order_id, payment.amount) == (pending.id, pending.total)
    again = await rpc(contract.PAY, ref(pending, payment_method="sim_ok"), identity=buyer, key=key)
    assert again.id == payment.id

    paid = await order_client.wait_for_status(pending.id, OrderStatus.PAID)

    assert paid.payment_id == payment.id
    with pytest.raises(IllegalTransition):
        await rpc(contract.PAY, ref(pending, payment_method="sim_ok"), identity=buyer)


async def test_an_order_is_charged_once(rpc: RpcCaller, buyer: Identity, pending: Order) -> None:
    await rpc(contract.PAY, ref(pending, payment_method="sim_action"), identity=buyer)
    with pytest.raises(AlreadyPaid):
        await rpc(contract.PAY, ref(pending, payment_method="sim_ok"), identity=buyer)


async def test_an_unknown_payment_method_is_refused(rpc: RpcCaller, buyer: Identity, pending: Order) -> None:
    with pytest.raises(PaymentMethodUnknown):
        await rpc(contract.PAY, ref(pending, payment_method="pm_nobody"), identity=buyer)


async def test_a_cancelled_order_cannot_be_paid(rpc: RpcCaller, buyer: Identity, pending: Order) -> None:
    await rpc(contract.CANCEL, ref(pending), identity=buyer)
    with pytest.raises(IllegalTransition):
        await rpc(contract.PAY, ref(pending, payment_method="sim_ok"), identity=buyer)
