"""Placing orders: from items and carts, by customers and guests."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from contracts import cart, catalog
from contracts import order as contract
from contracts.cart import CartChanged, CartEmpty
from contracts.catalog import OutOfStock, Product, SkuUnknown
from contracts.failure import Fail, InvalidRequest, NotFound, Unauthorized
from contracts.identity import Identity
from contracts.order import EmailRequired, OrderPlaced, OrderStatus
from contracts.payment import CardNumberRefused
from services.order.domain.order_numbers import parse_order_number
from tests.services.order.conftest import OrderClient
from tests.support.event_recorder import EventRecorder
from tests.support.http import ADDRESS
from tests.support.rpc import RpcCaller

NewProduct = Callable[..., Awaitable[Product]]
GUEST = "guest@example.com"


async def test_an_order_from_items_is_pending_and_its_stock_is_held(
    counter: OrderClient, new_product: NewProduct, new_customer: Callable[[], Identity], events: EventRecorder
) -> None:
    lamp, bowl, who = await new_product(), await new_product(price=500), new_customer()

    order = await counter.place(who, (lamp, 2), (bowl, 3))

    assert order.status is OrderStatus.PENDING
    assert order.user_id == who.user_id
    assert [(item.sku, item.quantity, item.line_total.amount) for item in order.items] == [
        (lamp.variants[0].sku, 2, 3998),
        (bowl.variants[0].sku, 3, 1500),
    ]
    assert (order.subtotal.amount, order.total.amount, order.total.currency) == (5498, 5498, "USD")
    assert parse_order_number(order.number) is not None
    assert [entry.status for entry in order.history] == [OrderStatus.PENDING]
    assert await counter.read(order.id) == order
    assert (await counter.stock(lamp)).reserved == 2
    assert (await counter.stock(bowl)).reserved == 3
    said = (await events.wait_for(order.id, "placed")).event
    assert isinstance(said, OrderPlaced)
    assert (said.charge, said.cart_id, said.total, said.number) == (False, None, order.total, order.number)


async def test_an_event_holds_nothing_personal(
    counter: OrderClient, new_product: NewProduct, new_customer: Callable[[], Identity], events: EventRecorder
) -> None:
    order = await counter.place(new_customer(), (await new_product(), 1), payment_method="sim_declined")
    said = (await events.wait_for(order.id, "placed")).event.model_dump_json()
    assert not [word for word in ("Ada", "London", "sim_declined") if word in said]


async def test_lines_may_name_a_product_with_one_variant(
    counter: OrderClient, new_product: NewProduct, new_customer: Callable[[], Identity]
) -> None:
    lamp = await new_product()
    body = {"items": [{"product_id": str(lamp.id), "quantity": 2}], "shipping_address": ADDRESS}
    order = await counter.ask(contract.PLACE, body, identity=new_customer())
    assert [(item.sku, item.product_id, item.quantity) for item in order.items] == [(lamp.variants[0].sku, lamp.id, 2)]


async def test_an_order_from_ones_own_cart_empties_it(
    counter: OrderClient, ask: RpcCaller, new_product: NewProduct, new_customer: Callable[[], Identity], eventually: Any
) -> None:
    lamp, who = await new_product(), new_customer()
    await ask(cart.ADD, {"id": "mine", "sku": lamp.variants[0].sku, "quantity": 2}, identity=who)

    order = await counter.ask(contract.PLACE, {"cart_id": "mine", "shipping_address": ADDRESS}, identity=who)

    assert [(item.sku, item.quantity) for item in order.items] == [(lamp.variants[0].sku, 2)]

    async def emptied() -> bool:
        return not (await ask(cart.GET, {"id": "mine"}, identity=who)).items

    await eventually(emptied)
    with pytest.raises(CartEmpty):
        await counter.ask(contract.PLACE, {"cart_id": "mine", "shipping_address": ADDRESS}, identity=who)


async def test_a_guest_orders_from_items_or_a_guests_cart(
    counter: OrderClient, ask: RpcCaller, new_product: NewProduct, admin: Identity, new_customer: Callable[[], Identity]
) -> None:
    lamp = await new_product()
    opened = await ask(cart.CREATE)
    await ask(cart.ADD, {"id": opened.id, "sku": lamp.variants[0].sku, "quantity": 1})
    of_cart = await counter.ask(contract.PLACE, {"cart_id": opened.id, "shipping_address": ADDRESS, "email": GUEST})
    of_items = await counter.place(None, (lamp, 1), email=GUEST)

    assert of_cart.user_id is of_items.user_id is None
    for order in (of_cart, of_items):
        assert (await counter.ask(contract.GET, {"id": str(order.id)}, identity=admin)).id == order.id
        with pytest.raises(NotFound):
            await counter.ask(contract.GET, {"id": str(order.id)}, identity=new_customer())


async def test_a_guest_needs_an_email_and_has_no_own_cart(counter: OrderClient, new_product: NewProduct) -> None:
    lamp = await new_product()
    with pytest.raises(EmailRequired) as refused:
        await counter.place(None, (lamp, 1))
    assert refused.value.errors[0].pointer == "/email"
    with pytest.raises(Unauthorized):
        await counter.ask(contract.PLACE, {"cart_id": "mine", "shipping_address": ADDRESS, "email": GUEST})
    assert (await counter.stock(lamp)).reserved == 0


async def test_anothers_cart_is_not_there(
    counter: OrderClient, ask: RpcCaller, new_product: NewProduct, new_customer: Callable[[], Identity]
) -> None:
    lamp, owner = await new_product(), new_customer()
    held = await ask(cart.ADD, {"id": "mine", "sku": lamp.variants[0].sku, "quantity": 1}, identity=owner)
    for who, more in ((new_customer(), {}), (None, {"email": GUEST})):
        with pytest.raises(NotFound):
            await counter.ask(contract.PLACE, {"cart_id": held.id, "shipping_address": ADDRESS, **more}, identity=who)


async def test_what_is_short_is_named_and_nothing_is_held(
    counter: OrderClient, new_product: NewProduct, new_customer: Callable[[], Identity]
) -> None:
    plenty, few = await new_product(stock=10), await new_product(stock=2)
    with pytest.raises(OutOfStock) as refused:
        await counter.place(new_customer(), (plenty, 3), (few, 3))
    assert [error.pointer for error in refused.value.errors] == ["/items/1"]
    assert "2 left" in refused.value.errors[0].detail
    assert [(await counter.stock(product)).reserved for product in (plenty, few)] == [0, 0]


async def test_unknown_and_inactive_products_are_not_sold(
    counter: OrderClient, ask: RpcCaller, new_product: NewProduct, new_customer: Callable[[], Identity], admin: Identity
) -> None:
    gone, who = await new_product(), new_customer()
    await ask(catalog.DEACTIVATE_PRODUCT, {"id": str(gone.id)}, identity=admin)
    with pytest.raises(SkuUnknown) as refused:
        await counter.place(who, (await new_product(), 1), (gone, 1))
    assert [error.pointer for error in refused.value.errors] == ["/items/1"]
    body = {"items": [{"sku": "NO-SUCH-SKU", "quantity": 1}], "shipping_address": ADDRESS}
    with pytest.raises(SkuUnknown):
        await ask(contract.PLACE, body, identity=who)


@pytest.mark.parametrize("quantity", [0, -1, 1000, 2**63, 1.5, "2", None])
async def test_a_quantity_that_is_none_is_refused(
    quantity: Any, counter: OrderClient, new_product: NewProduct, new_customer: Callable[[], Identity]
) -> None:
    lamp = await new_product()
    with pytest.raises(InvalidRequest) as refused:
        await counter.place(new_customer(), (lamp, quantity))
    assert refused.value.errors[0].pointer == "/items/0/quantity"
    assert (await counter.stock(lamp)).reserved == 0


async def test_lines_of_one_sku_together_stay_within_the_bound(
    counter: OrderClient, new_product: NewProduct, new_customer: Callable[[], Identity]
) -> None:
    lamp = await new_product(stock=2000)
    with pytest.raises(InvalidRequest):
        await counter.place(new_customer(), (lamp, 999), (lamp, 1))
    order = await counter.place(new_customer(), (lamp, 2), (lamp, 3))
    assert sum(item.quantity for item in order.items) == 5
    assert (await counter.stock(lamp)).reserved == 5


async def test_an_order_worth_too_much_leaves_nothing_held(
    counter: OrderClient, new_product: NewProduct, new_customer: Callable[[], Identity]
) -> None:
    crown = await new_product(stock=10, price=10**12)
    with pytest.raises(InvalidRequest) as refused:
        await counter.place(new_customer(), (crown, 2))
    assert refused.value.errors[0].pointer == "/items"
    await counter.wait_for_stock(crown, on_hand=10, reserved=0)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"items": []},
        {"items": [{"sku": "A", "quantity": 1}], "cart_id": "mine"},
        {"items": [{"sku": "A", "product_id": "0198c0de-0000-7000-8000-000000000000", "quantity": 1}]},
        {"items": [{"sku": "A", "quantity": 1}], "total": 1},
        {"items": [{"sku": "A", "quantity": 1}], "shipping_method": "teleport"},
        {"items": [{"sku": "A", "quantity": 1}], "shipping_address": {**ADDRESS, "country": "Great Britain"}},
        {"items": [{"sku": "A", "quantity": 1}], "shipping_address": {**ADDRESS, "name": "Ada\0"}},
    ],
)
async def test_a_body_that_says_something_else_is_refused(
    body: dict[str, Any], ask: RpcCaller, new_customer: Callable[[], Identity]
) -> None:
    with pytest.raises(InvalidRequest):
        await ask(contract.PLACE, {"shipping_address": ADDRESS, **body}, identity=new_customer())


@pytest.mark.parametrize("number", ["4242424242424242", "3782 822463 10005", "6011-1111-1111-1117"])
async def test_a_card_number_is_refused_before_anything_is_held(
    number: str, counter: OrderClient, new_product: NewProduct, new_customer: Callable[[], Identity]
) -> None:
    lamp, who = await new_product(), new_customer()
    with pytest.raises(CardNumberRefused):
        await counter.place(who, (lamp, 1), payment_method=number)
    assert (await counter.stock(lamp)).reserved == 0
    order = await counter.place(who, (lamp, 1))
    with pytest.raises(CardNumberRefused):
        await counter.ask(contract.PAY, {"id": str(order.id), "payment_method": number}, identity=who)


async def test_a_cart_is_not_told_to_somebody_else_who_orders_it(
    counter: OrderClient, ask: RpcCaller, new_product: NewProduct
) -> None:
    lamp = await new_product()
    opened = await ask(cart.CREATE)
    await ask(cart.ADD, {"id": opened.id, "sku": lamp.variants[0].sku, "quantity": 1})
    body = {"cart_id": opened.id, "shipping_address": ADDRESS}
    await counter.ask(contract.PLACE, {**body, "email": GUEST})
    with pytest.raises(Fail) as refused:
        await counter.ask(contract.PLACE, {**body, "email": "other@example.com"})
    assert isinstance(refused.value, CartChanged | CartEmpty)
    assert (await counter.stock(lamp)).reserved == 1
