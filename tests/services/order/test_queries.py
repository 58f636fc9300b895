"""Reading orders: by customers, administrators and other services."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from contracts import headers
from contracts import order as contract
from contracts.catalog import Product
from contracts.failure import Forbidden, InvalidCursor, NotFound
from contracts.identity import Identity
from contracts.model import ListPage
from contracts.order import Order, OrderStatus
from infra.foundation import pagination as cursor
from infra.foundation.ids import new_id
from tests.services.order.conftest import OrderClient
from tests.support.rpc import RpcCaller

NewProduct = Callable[..., Awaitable[Product]]
AsService = Callable[[str], Awaitable[RpcCaller]]


@pytest.fixture
def buyer(new_customer: Callable[[], Identity]) -> Identity:
    return new_customer()


@pytest.fixture
async def lamp(new_product: NewProduct) -> Product:
    return await new_product(stock=50)


async def list_orders(rpc: RpcCaller, identity: Identity, **filters: Any) -> ListPage[Order]:
    found: ListPage[Order] = await rpc(contract.LIST, filters, identity=identity)
    return found


async def test_a_page_starts_where_the_last_one_ended(
    order_client: OrderClient, rpc: RpcCaller, buyer: Identity, lamp: Product
) -> None:
    placed = [(await order_client.place(buyer, (lamp, 1))).id for _ in range(5)]
    first = await list_orders(rpc, buyer, limit=2)
    await order_client.place(buyer, (lamp, 1))
    second = await list_orders(rpc, buyer, limit=2, after=first.next)
    third = await list_orders(rpc, buyer, limit=2, after=second.next)
    found = [order.id for page in (first, second, third) for order in page.items]
    assert (found, third.next) == (placed[::-1], None)


async def test_a_customer_lists_own_orders_and_an_administrator_all(
    order_client: OrderClient,
    rpc: RpcCaller,
    buyer: Identity,
    lamp: Product,
    admin: Identity,
    new_customer: Callable[[], Identity],
) -> None:
    other = new_customer()
    mine, theirs = await order_client.place(buyer, (lamp, 1)), await order_client.place(other, (lamp, 1))
    assert [order.id for order in (await list_orders(rpc, buyer)).items] == [mine.id]
    assert [order.id for order in (await list_orders(rpc, buyer, user_id=str(buyer.user_id))).items] == [mine.id]
    with pytest.raises(Forbidden):
        await list_orders(rpc, buyer, user_id=str(other.user_id))
    all_ids = {order.id for order in (await list_orders(rpc, admin, limit=100)).items}
    assert {mine.id, theirs.id} <= all_ids
    assert [order.id for order in (await list_orders(rpc, admin, user_id=str(other.user_id))).items] == [theirs.id]


async def test_filters(
    order_client: OrderClient, rpc: RpcCaller, buyer: Identity, lamp: Product, admin: Identity
) -> None:
    first, second = await order_client.place(buyer, (lamp, 1)), await order_client.place(buyer, (lamp, 1))
    await rpc(contract.CANCEL, {"id": str(first.id)}, identity=buyer)
    moment = second.created_at.isoformat()

    async def ids(**filters: Any) -> list[Any]:
        return [order.id for order in (await list_orders(rpc, buyer, **filters)).items]

    assert await ids(status=OrderStatus.CANCELLED) == [first.id]
    assert await ids(**{"from": moment}) == [second.id]
    assert await ids(to=moment) == [first.id]
    assert await ids(number=second.number) == [second.id]
    assert await ids(number="S-0000000000") == []
    assert [order.id for order in (await list_orders(rpc, admin, number=first.number)).items] == [first.id]


async def test_extreme_times_are_accepted(rpc: RpcCaller, buyer: Identity) -> None:
    far = {"from": "0001-01-01T00:00:00-12:00", "to": "9999-12-31T23:59:59+14:00"}
    assert (await list_orders(rpc, buyer, **far)).items == []


@pytest.mark.parametrize(
    "after", ["x", cursor.encode_cursor(1), cursor.encode_cursor("a", "b"), cursor.encode_cursor([]), "AAAA"]
)
async def test_an_invalid_cursor_is_refused(after: str, rpc: RpcCaller, buyer: Identity) -> None:
    with pytest.raises(InvalidCursor):
        await list_orders(rpc, buyer, after=after)


async def test_an_order_is_returned_with_its_version(
    order_client: OrderClient, rpc: RpcCaller, buyer: Identity, lamp: Product
) -> None:
    order = await order_client.place(buyer, (lamp, 1))
    body, reply_headers = await rpc.raw(contract.GET, {"id": str(order.id)}, identity=buyer)
    assert (Order.model_validate_json(body), reply_headers[headers.VERSION]) == (order, "1")
    with pytest.raises(NotFound):
        await rpc(contract.GET, {"id": str(new_id())}, identity=buyer)


async def test_payables_return_the_total_and_the_payment_method(
    order_client: OrderClient, as_service: AsService, buyer: Identity, lamp: Product
) -> None:
    plain = await order_client.place(buyer, (lamp, 1))
    charged = await order_client.place(None, (lamp, 2), email="guest@example.com", payment_method="sim_action")
    payment = await as_service("payment")
    ids = [str(plain.id), str(charged.id), str(new_id())]
    found = {item.order_id: item for item in (await payment(contract.PAYABLES, {"order_ids": ids})).items}
    assert set(found) == {plain.id, charged.id}
    assert (found[plain.id].payment_method, found[plain.id].user_id) == (None, buyer.user_id)
    assert (found[charged.id].payment_method, found[charged.id].total) == ("sim_action", charged.total)
    assert {item.status for item in found.values()} == {OrderStatus.PENDING}


async def test_guest_returns_the_contact_of_a_guest(
    order_client: OrderClient, as_service: AsService, buyer: Identity, lamp: Product
) -> None:
    notification = await as_service("notification")
    order = await order_client.place(None, (lamp, 1), email="guest@example.com")
    guest = await notification(contract.GUEST, {"order_id": str(order.id)})
    assert (guest.email, guest.name) == ("guest@example.com", "Ada Lovelace")
    of_a_customer = await order_client.place(buyer, (lamp, 1), email="not.kept@example.com")
    for order_id in (of_a_customer.id, new_id()):
        with pytest.raises(NotFound):
            await notification(contract.GUEST, {"order_id": str(order_id)})
