"""Reading orders: one's own, everybody's, and what other services ask for."""

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
def who(new_customer: Callable[[], Identity]) -> Identity:
    return new_customer()


@pytest.fixture
async def lamp(new_product: NewProduct) -> Product:
    return await new_product(stock=50)


async def listed(ask: RpcCaller, identity: Identity, **wanted: Any) -> ListPage[Order]:
    found: ListPage[Order] = await ask(contract.LIST, wanted, identity=identity)
    return found


async def test_a_list_goes_on_where_the_last_page_ended(
    counter: OrderClient, ask: RpcCaller, who: Identity, lamp: Product
) -> None:
    placed = [(await counter.place(who, (lamp, 1))).id for _ in range(5)]
    first = await listed(ask, who, limit=2)
    await counter.place(who, (lamp, 1))
    second = await listed(ask, who, limit=2, after=first.next)
    third = await listed(ask, who, limit=2, after=second.next)
    found = [order.id for page in (first, second, third) for order in page.items]
    assert (found, third.next) == (placed[::-1], None)


async def test_everybody_lists_their_own_and_an_administrator_all(
    counter: OrderClient,
    ask: RpcCaller,
    who: Identity,
    lamp: Product,
    admin: Identity,
    new_customer: Callable[[], Identity],
) -> None:
    other = new_customer()
    mine, theirs = await counter.place(who, (lamp, 1)), await counter.place(other, (lamp, 1))
    assert [order.id for order in (await listed(ask, who)).items] == [mine.id]
    assert [order.id for order in (await listed(ask, who, user_id=str(who.user_id))).items] == [mine.id]
    with pytest.raises(Forbidden):
        await listed(ask, who, user_id=str(other.user_id))
    everybody = {order.id for order in (await listed(ask, admin, limit=100)).items}
    assert {mine.id, theirs.id} <= everybody
    assert [order.id for order in (await listed(ask, admin, user_id=str(other.user_id))).items] == [theirs.id]


async def test_filters(counter: OrderClient, ask: RpcCaller, who: Identity, lamp: Product, admin: Identity) -> None:
    first, second = await counter.place(who, (lamp, 1)), await counter.place(who, (lamp, 1))
    await ask(contract.CANCEL, {"id": str(first.id)}, identity=who)
    moment = second.created_at.isoformat()

    async def ids(**wanted: Any) -> list[Any]:
        return [order.id for order in (await listed(ask, who, **wanted)).items]

    assert await ids(status=OrderStatus.CANCELLED) == [first.id]
    assert await ids(**{"from": moment}) == [second.id]
    assert await ids(to=moment) == [first.id]
    assert await ids(number=second.number) == [second.id]
    assert await ids(number="S-0000000000") == []
    assert [order.id for order in (await listed(ask, admin, number=first.number)).items] == [first.id]


async def test_moments_far_away_are_only_moments(ask: RpcCaller, who: Identity) -> None:
    far = {"from": "0001-01-01T00:00:00+14:00", "to": "9999-12-31T23:59:59-12:00"}
    assert (await listed(ask, who, **far)).items == []


@pytest.mark.parametrize(
    "after", ["x", cursor.encode_cursor(1), cursor.encode_cursor("a", "b"), cursor.encode_cursor([]), "AAAA"]
)
async def test_a_cursor_of_another_kind_is_refused(after: str, ask: RpcCaller, who: Identity) -> None:
    with pytest.raises(InvalidCursor):
        await listed(ask, who, after=after)


async def test_an_order_comes_with_its_version(
    counter: OrderClient, ask: RpcCaller, who: Identity, lamp: Product
) -> None:
    order = await counter.place(who, (lamp, 1))
    body, said = await ask.raw(contract.GET, {"id": str(order.id)}, identity=who)
    assert (Order.model_validate_json(body), said[headers.VERSION]) == (order, "1")
    with pytest.raises(NotFound):
        await ask(contract.GET, {"id": str(new_id())}, identity=who)


async def test_payment_learns_what_to_charge_and_how(
    counter: OrderClient, as_service: AsService, who: Identity, lamp: Product
) -> None:
    plain = await counter.place(who, (lamp, 1))
    charged = await counter.place(None, (lamp, 2), email="guest@example.com", payment_method="sim_action")
    payment = await as_service("payment")
    ids = [str(plain.id), str(charged.id), str(new_id())]
    found = {item.order_id: item for item in (await payment(contract.PAYABLES, {"order_ids": ids})).items}
    assert set(found) == {plain.id, charged.id}
    assert (found[plain.id].payment_method, found[plain.id].user_id) == (None, who.user_id)
    assert (found[charged.id].payment_method, found[charged.id].total) == ("sim_action", charged.total)
    assert {item.status for item in found.values()} == {OrderStatus.PENDING}


async def test_notification_learns_where_a_guest_is_reached(
    counter: OrderClient, as_service: AsService, who: Identity, lamp: Product
) -> None:
    notification = await as_service("notification")
    order = await counter.place(None, (lamp, 1), email="guest@example.com")
    guest = await notification(contract.GUEST, {"order_id": str(order.id)})
    assert (guest.email, guest.name) == ("guest@example.com", "Ada Lovelace")
    of_a_customer = await counter.place(who, (lamp, 1), email="not.kept@example.com")
    for order_id in (of_a_customer.id, new_id()):
        with pytest.raises(NotFound):
            await notification(contract.GUEST, {"order_id": str(order_id)})
