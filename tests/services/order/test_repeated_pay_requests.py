"""A lost reply is returned again, even when the order has changed since."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from contracts import order as contract
from contracts.catalog import Product
from contracts.failure import IdempotencyKeyReused
from contracts.identity import Identity
from contracts.order import IllegalTransition, Order, OrderStatus
from contracts.payment import Payment
from infra.foundation.ids import new_id
from tests.services.order.conftest import OrderClient
from tests.support.rpc import RpcCaller


@pytest.fixture
def buyer(new_customer: Callable[[], Identity]) -> Identity:
    return new_customer()


@pytest.fixture
async def pending(order_client: OrderClient, buyer: Identity, new_product: Callable[..., Awaitable[Product]]) -> Order:
    return await order_client.place(buyer, (await new_product(), 2))


@pytest.fixture
def pay(rpc: RpcCaller, buyer: Identity, pending: Order) -> Callable[..., Awaitable[Payment]]:
    async def request(method: str, key: str | None) -> Payment:
        body = {"id": str(pending.id), "payment_method": method}
        paid: Payment = await rpc(contract.PAY, body, identity=buyer, key=key)
        return paid

    return request


async def delete_stored_reply(database: Callable[[str], Awaitable[Any]], payment: Payment) -> None:
    """Leaves the state after order died before it stored payment's reply."""
    command_tag = await (await database("order")).execute(
        "DELETE FROM idempotency WHERE position(convert_to($1, 'UTF8') IN answer) > 0", str(payment.id)
    )
    assert command_tag == "DELETE 1"


@pytest.mark.parametrize(("method", "status"), [("sim_ok", OrderStatus.PAID), ("sim_declined", OrderStatus.CANCELLED)])
async def test_a_repeated_request_returns_the_same_payment(
    method: str,
    status: OrderStatus,
    pay: Callable[..., Awaitable[Payment]],
    pending: Order,
    order_client: OrderClient,
    database: Callable[[str], Awaitable[Any]],
) -> None:
    key = new_id().hex
    payment = await pay(method, key)
    await order_client.wait_for_status(pending.id, status)
    await delete_stored_reply(database, payment)

    assert await pay(method, key) == payment
    with pytest.raises(IllegalTransition):
        await pay(method, new_id().hex)
    with pytest.raises(IllegalTransition):
        await pay(method, None)
    payments = "SELECT count(*) FROM payment WHERE order_id = $1"
    assert await (await database("payment")).fetchval(payments, pending.id) == 1


async def test_another_request_under_the_same_key_is_refused(
    pay: Callable[..., Awaitable[Payment]],
    pending: Order,
    order_client: OrderClient,
    database: Callable[[str], Awaitable[Any]],
) -> None:
    key = new_id().hex
    payment = await pay("sim_ok", key)
    await order_client.wait_for_status(pending.id, OrderStatus.PAID)
    await delete_stored_reply(database, payment)
    with pytest.raises(IdempotencyKeyReused):
        await pay("sim_declined", key)
