"""An answer that was lost is given again, however far its order has come since."""

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
def who(new_customer: Callable[[], Identity]) -> Identity:
    return new_customer()


@pytest.fixture
async def pending(counter: OrderClient, who: Identity, new_product: Callable[..., Awaitable[Product]]) -> Order:
    return await counter.place(who, (await new_product(), 2))


@pytest.fixture
def pay(ask: RpcCaller, who: Identity, pending: Order) -> Callable[..., Awaitable[Payment]]:
    async def asked(method: str, key: str | None) -> Payment:
        body = {"id": str(pending.id), "payment_method": method}
        paid: Payment = await ask(contract.PAY, body, identity=who, key=key)
        return paid

    return asked


async def lose(database: Callable[[str], Awaitable[Any]], payment: Payment) -> None:
    """As when order died, or was not heard, before it could keep what payment had answered."""
    forgotten = await (await database("order")).execute(
        "DELETE FROM idempotency WHERE position(convert_to($1, 'UTF8') IN answer) > 0", str(payment.id)
    )
    assert forgotten == "DELETE 1"


@pytest.mark.parametrize(("method", "status"), [("sim_ok", OrderStatus.PAID), ("sim_declined", OrderStatus.CANCELLED)])
async def test_the_same_request_has_the_same_payment(
    method: str,
    status: OrderStatus,
    pay: Callable[..., Awaitable[Payment]],
    pending: Order,
    counter: OrderClient,
    database: Callable[[str], Awaitable[Any]],
) -> None:
    key = new_id().hex
    payment = await pay(method, key)
    await counter.wait_for_status(pending.id, status)
    await lose(database, payment)

    assert await pay(method, key) == payment
    with pytest.raises(IllegalTransition):
        await pay(method, new_id().hex)
    with pytest.raises(IllegalTransition):
        await pay(method, None)
    payments = "SELECT count(*) FROM payment WHERE order_id = $1"
    assert await (await database("payment")).fetchval(payments, pending.id) == 1


async def test_another_request_under_the_same_key_has_nothing(
    pay: Callable[..., Awaitable[Payment]],
    pending: Order,
    counter: OrderClient,
    database: Callable[[str], Awaitable[Any]],
) -> None:
    key = new_id().hex
    payment = await pay("sim_ok", key)
    await counter.wait_for_status(pending.id, OrderStatus.PAID)
    await lose(database, payment)
    with pytest.raises(IdempotencyKeyReused):
        await pay("sim_declined", key)
