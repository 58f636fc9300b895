"""What customers and administrators do with an order."""

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


def of(order: Order, **more: Any) -> dict[str, Any]:
    return {"id": str(order.id), **more}


@pytest.fixture
def who(new_customer: Callable[[], Identity]) -> Identity:
    return new_customer()


@pytest.fixture
async def lamp(new_product: NewProduct) -> Product:
    return await new_product()


@pytest.fixture
async def pending(counter: OrderClient, who: Identity, lamp: Product) -> Order:
    return await counter.place(who, (lamp, 2))


@pytest.fixture
async def paid(counter: OrderClient, ask: RpcCaller, who: Identity, pending: Order) -> Order:
    await ask(contract.PAY, of(pending, payment_method="sim_ok"), identity=who)
    return await counter.wait_for_status(pending.id, OrderStatus.PAID)


async def test_a_pending_order_is_cancelled_and_its_stock_returns(
    counter: OrderClient, ask: RpcCaller, who: Identity, lamp: Product, pending: Order, events: EventRecorder
) -> None:
    cancelled = await ask(contract.CANCEL, of(pending), identity=who)

    assert cancelled.status is OrderStatus.CANCELLED
    assert [(entry.status, entry.note) for entry in cancelled.history] == [
        (OrderStatus.PENDING, None),
        (OrderStatus.CANCELLED, "customer"),
    ]
    assert await counter.read(pending.id) == cancelled
    said = (await events.wait_for(pending.id, "cancelled")).event
    assert isinstance(said, OrderCancelled)
    assert (said.was, said.reason) == (OrderStatus.PENDING, CancelReason.CUSTOMER)
    await counter.wait_for_stock(lamp, on_hand=10, reserved=0)


async def test_a_paid_order_is_cancelled_and_the_money_goes_back(
    counter: OrderClient, ask: RpcCaller, who: Identity, lamp: Product, paid: Order, events: EventRecorder
) -> None:
    await counter.wait_for_stock(lamp, on_hand=8, reserved=0)

    cancelled = await ask(contract.CANCEL, of(paid), identity=who)

    assert cancelled.status is OrderStatus.CANCELLED
    assert cancelled.payment_id == paid.payment_id
    said = (await events.wait_for(paid.id, "cancelled")).event
    assert isinstance(said, OrderCancelled)
    assert (said.was, said.payment_id) == (OrderStatus.PAID, paid.payment_id)
    refunded = (await events.wait_for_fields("refunded", order_id=paid.id)).event
    assert isinstance(refunded, PaymentRefunded)
    assert (refunded.payment_id, refunded.full) == (paid.payment_id, True)
    await counter.wait_for_stock(lamp, on_hand=10, reserved=0)
    assert (await counter.read(paid.id)).status is OrderStatus.CANCELLED


async def test_cancelling_twice_is_refused_unless_it_is_the_same_request(
    ask: RpcCaller, who: Identity, pending: Order
) -> None:
    key = new_id().hex
    first, _ = await ask.raw(contract.CANCEL, of(pending), identity=who, key=key)
    again, said = await ask.raw(contract.CANCEL, of(pending), identity=who, key=key)
    assert (first, said[headers.REPLAYED]) == (again, "true")
    with pytest.raises(IllegalTransition):
        await ask(contract.CANCEL, of(pending), identity=who)


async def test_an_administrator_cancels_anybodys(ask: RpcCaller, admin: Identity, pending: Order) -> None:
    cancelled = await ask(contract.CANCEL, of(pending), identity=admin)
    assert cancelled.history[-1].note == "admin"


async def test_anothers_order_is_not_there(
    ask: RpcCaller, pending: Order, new_customer: Callable[[], Identity]
) -> None:
    other = new_customer()
    with pytest.raises(NotFound):
        await ask(contract.GET, of(pending), identity=other)
    with pytest.raises(NotFound):
        await ask(contract.CANCEL, of(pending), identity=other)
    with pytest.raises(NotFound):
        await ask(contract.PAY, of(pending, payment_method="sim_ok"), identity=other)
    with pytest.raises(Forbidden):
        await ask(contract.UPDATE, of(pending, status="delivered"), identity=other)
    for operation in (contract.GET, contract.CANCEL):
        with pytest.raises(Unauthorized):
            await ask(operation, of(pending))


async def test_only_the_version_that_was_read_is_changed(
    ask: RpcCaller, who: Identity, admin: Identity, pending: Order
) -> None:
    _, said = await ask.raw(contract.GET, of(pending), identity=who)
    version = int(said[headers.VERSION])
    moved = {**ADDRESS, "city": "Leeds"}
    _, said = await ask.raw(contract.UPDATE, of(pending, shipping_address=moved), identity=admin, if_match=version)
    assert int(said[headers.VERSION]) == version + 1
    with pytest.raises(PreconditionFailed):
        await ask(contract.CANCEL, of(pending), identity=who, if_match=version)
    with pytest.raises(PreconditionFailed):
        await ask(contract.UPDATE, of(pending, shipping_address=ADDRESS), identity=admin, if_match=version)
    cancelled = await ask(contract.CANCEL, of(pending), identity=who, if_match=version + 1)
    assert cancelled.shipping_address.city == "Leeds"


async def test_a_paid_order_is_shipped_and_delivered(
    ask: RpcCaller, admin: Identity, who: Identity, paid: Order, events: EventRecorder
) -> None:
    shipped = await ask(contract.UPDATE, of(paid, status="shipped", tracking=TRACKING), identity=admin)
    assert (shipped.status, shipped.tracking.number) == (OrderStatus.SHIPPED, TRACKING["number"])
    said = (await events.wait_for(paid.id, "shipped")).event
    assert isinstance(said, OrderShipped)
    assert said.tracking == shipped.tracking
    with pytest.raises(IllegalTransition):
        await ask(contract.CANCEL, of(paid), identity=who)
    with pytest.raises(IllegalTransition):
        await ask(contract.UPDATE, of(paid, shipping_address=ADDRESS), identity=admin)

    delivered = await ask(contract.UPDATE, of(paid, status="delivered"), identity=admin)

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
async def test_a_pending_order_is_not_moved_by_hand(
    change: dict[str, Any], ask: RpcCaller, admin: Identity, pending: Order
) -> None:
    with pytest.raises(IllegalTransition):
        await ask(contract.UPDATE, of(pending, **change), identity=admin)


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
async def test_an_update_that_says_something_else_is_refused(
    change: dict[str, Any], ask: RpcCaller, admin: Identity, pending: Order
) -> None:
    with pytest.raises(InvalidRequest):
        await ask(contract.UPDATE, of(pending, **change), identity=admin)


async def test_a_pending_order_is_paid(counter: OrderClient, ask: RpcCaller, who: Identity, pending: Order) -> None:
    key = new_id().hex
    payment = await ask(contract.PAY, of(pending, payment_method="sim_ok"), identity=who, key=key)
    assert isinstance(payment, Payment)
    assert (payment.order_id, payment.amount) == (pending.id, pending.total)
    again = await ask(contract.PAY, of(pending, payment_method="sim_ok"), identity=who, key=key)
    assert again.id == payment.id

    paid = await counter.wait_for_status(pending.id, OrderStatus.PAID)

    assert paid.payment_id == payment.id
    with pytest.raises(IllegalTransition):
        await ask(contract.PAY, of(pending, payment_method="sim_ok"), identity=who)


async def test_an_order_is_charged_once(ask: RpcCaller, who: Identity, pending: Order) -> None:
    await ask(contract.PAY, of(pending, payment_method="sim_action"), identity=who)
    with pytest.raises(AlreadyPaid):
        await ask(contract.PAY, of(pending, payment_method="sim_ok"), identity=who)


async def test_a_payment_method_that_nobody_knows_is_refused(ask: RpcCaller, who: Identity, pending: Order) -> None:
    with pytest.raises(PaymentMethodUnknown):
        await ask(contract.PAY, of(pending, payment_method="pm_nobody"), identity=who)


async def test_a_cancelled_order_is_not_paid(ask: RpcCaller, who: Identity, pending: Order) -> None:
    await ask(contract.CANCEL, of(pending), identity=who)
    with pytest.raises(IllegalTransition):
        await ask(contract.PAY, of(pending, payment_method="sim_ok"), identity=who)
