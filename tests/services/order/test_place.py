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


async def test_an_order_from_items_is_pending_and_holds_its_stock(
    order_client: OrderClient, new_product: NewProduct, new_customer: Callable[[], Identity], events: EventRecorder
) -> None:
    lamp, bowl, buyer = await new_product(), await new_product(price=500), new_customer()

    order = await order_client.place(buyer, (lamp, 2), (bowl, 3))

    assert order.status is OrderStatus.PENDING
    assert order.user_id == buyer.user_id
    assert [(item.sku, item.quantity, item.line_total.amount) for item in order.items] == [
        (lamp.variants[0].sku, 2, 3998),
        (bowl.variants[0].sku, 3, 1500),
    ]
    assert (order.subtotal.amount, order.total.amount, order.total.currency) == (5498, 5498, "USD")
    assert parse_order_number(order.number) is not None
    assert [entry.status for entry in order.history] == [OrderStatus.PENDING]
    assert await order_client.read(order.id) == order
    assert (await order_client.stock(lamp)).reserved == 2
    assert (await order_client.stock(bowl)).reserved == 3
    event = (await events.wait_for(order.id, "placed")).event
    assert isinstance(event, OrderPlaced)
    assert (event.charge, event.cart_id, event.total, event.number) == (False, None, order.total, order.number)


async def test_an_event_holds_no_personal_data(
    order_client: OrderClient, new_product: NewProduct, new_customer: Callable[[], Identity], events: EventRecorder
) -> None:
    order = await order_client.place(new_customer(), (await new_product(), 1), payment_method="sim_declined")
    event_json = (await events.wait_for(order.id, "placed")).event.model_dump_json()
    assert not [word for word in ("Ada", "London", "sim_declined") if word in event_json]


async def test_a_line_may_name_a_product_with_one_variant(
    order_client: OrderClient, new_product: NewProduct, new_customer: Callable[[], Identity]
) -> None:
    lamp = await new_product()
    body = {"items": [{"product_id": str(lamp.id), "quantity": 2}], "shipping_address": ADDRESS}
    order = await order_client.rpc(contract.PLACE, body, identity=new_customer())
    assert [(item.sku, item.product_id, item.quantity) for item in order.items] == [(lamp.variants[0].sku, lamp.id, 2)]


async def test_an_order_from_the_own_cart_empties_it_once_it_is_paid(
    order_client: OrderClient,
    rpc: RpcCaller,
    new_product: NewProduct,
    new_customer: Callable[[], Identity],
    eventually: Any,
) -> None:
    lamp, buyer = await new_product(), new_customer()
    await rpc(cart.ADD, {"id": "mine", "sku": lamp.variants[0].sku, "quantity": 2}, identity=buyer)

    order = await order_client.rpc(contract.PLACE, {"cart_id": "mine", "shipping_address": ADDRESS}, identity=buyer)

    assert [(item.sku, item.quantity) for item in order.items] == [(lamp.variants[0].sku, 2)]
    assert len((await rpc(cart.GET, {"id": "mine"}, identity=buyer)).items) == 1
    await rpc(contract.PAY, {"id": str(order.id), "payment_method": "sim_ok"}, identity=buyer)

    async def emptied() -> bool:
        return not (await rpc(cart.GET, {"id": "mine"}, identity=buyer)).items

    await eventually(emptied)
    with pytest.raises(CartEmpty):
        await order_client.rpc(contract.PLACE, {"cart_id": "mine", "shipping_address": ADDRESS}, identity=buyer)


async def test_a_guest_orders_from_items_or_a_guest_cart(
    order_client: OrderClient,
    rpc: RpcCaller,
    new_product: NewProduct,
    admin: Identity,
    new_customer: Callable[[], Identity],
) -> None:
    lamp = await new_product()
    opened = await rpc(cart.CREATE)
    await rpc(cart.ADD, {"id": opened.id, "sku": lamp.variants[0].sku, "quantity": 1})
    of_cart = await order_client.rpc(
        contract.PLACE, {"cart_id": opened.id, "shipping_address": ADDRESS, "email": GUEST}
    )
    of_items = await order_client.place(None, (lamp, 1), email=GUEST)

    assert of_cart.user_id is of_items.user_id is None
    for order in (of_cart, of_items):
        assert (await order_client.rpc(contract.GET, {"id": str(order.id)}, identity=admin)).id == order.id
        with pytest.raises(NotFound):
            await order_client.rpc(contract.GET, {"id": str(order.id)}, identity=new_customer())


async def test_a_guest_needs_an_email_and_has_no_own_cart(order_client: OrderClient, new_product: NewProduct) -> None:
    lamp = await new_product()
    with pytest.raises(EmailRequired) as refused:
        await order_client.place(None, (lamp, 1))
    assert refused.value.errors[0].pointer == "/email"
    with pytest.raises(Unauthorized):
        await order_client.rpc(contract.PLACE, {"cart_id": "mine", "shipping_address": ADDRESS, "email": GUEST})
    assert (await order_client.stock(lamp)).reserved == 0


async def test_another_customers_cart_is_not_found(
    order_client: OrderClient, rpc: RpcCaller, new_product: NewProduct, new_customer: Callable[[], Identity]
) -> None:
    lamp, owner = await new_product(), new_customer()
    held = await rpc(cart.ADD, {"id": "mine", "sku": lamp.variants[0].sku, "quantity": 1}, identity=owner)
    for buyer, more in ((new_customer(), {}), (None, {"email": GUEST})):
        with pytest.raises(NotFound):
            await order_client.rpc(
                contract.PLACE, {"cart_id": held.id, "shipping_address": ADDRESS, **more}, identity=buyer
            )


async def test_a_short_line_is_reported_and_nothing_is_held(
    order_client: OrderClient, new_product: NewProduct, new_customer: Callable[[], Identity]
) -> None:
    plenty, few = await new_product(stock=10), await new_product(stock=2)
    with pytest.raises(OutOfStock) as refused:
        await order_client.place(new_customer(), (plenty, 3), (few, 3))
    assert [error.pointer for error in refused.value.errors] == ["/items/1"]
    assert "2 left" in refused.value.errors[0].detail
    assert [(await order_client.stock(product)).reserved for product in (plenty, few)] == [0, 0]


async def test_unknown_and_inactive_products_are_not_sold(
    order_client: OrderClient,
    rpc: RpcCaller,
    new_product: NewProduct,
    new_customer: Callable[[], Identity],
    admin: Identity,
) -> None:
    gone, buyer = await new_product(), new_customer()
    await rpc(catalog.DEACTIVATE_PRODUCT, {"id": str(gone.id)}, identity=admin)
    with pytest.raises(SkuUnknown) as refused:
        await order_client.place(buyer, (await new_product(), 1), (gone, 1))
    assert [error.pointer for error in refused.value.errors] == ["/items/1"]
    body = {"items": [{"sku": "NO-SUCH-SKU", "quantity": 1}], "shipping_address": ADDRESS}
    with pytest.raises(SkuUnknown):
        await rpc(contract.PLACE, body, identity=buyer)


async def test_a_cart_does_not_buy_another_product_that_has_taken_the_sku(
    order_client: OrderClient,
    rpc: RpcCaller,
    new_product: NewProduct,
    new_customer: Callable[[], Identity],
    admin: Identity,
) -> None:
    lamp, buyer = await new_product(), new_customer()
    sku = lamp.variants[0].sku
    await rpc(cart.ADD, {"id": "mine", "sku": sku, "quantity": 1}, identity=buyer)
    await rpc(catalog.DEACTIVATE_PRODUCT, {"id": str(lamp.id)}, identity=admin)
    bowl = await new_product(sku=sku, price=9)
    for _ in range(2):
        with pytest.raises(SkuUnknown) as refused:
            await rpc(contract.PLACE, {"cart_id": "mine", "shipping_address": ADDRESS}, identity=buyer)
        assert [error.pointer for error in refused.value.errors] == ["/items/0"]
        assert (await order_client.stock(bowl)).reserved == 0
    await rpc(cart.ADD, {"id": "mine", "sku": sku, "quantity": 1}, identity=buyer)
    order = await rpc(contract.PLACE, {"cart_id": "mine", "shipping_address": ADDRESS}, identity=buyer)
    assert [item.product_id for item in order.items] == [bowl.id]


@pytest.mark.parametrize("quantity", [0, -1, 1000, 2**63, 1.5, "2", None])
async def test_an_invalid_quantity_is_refused(
    quantity: Any, order_client: OrderClient, new_product: NewProduct, new_customer: Callable[[], Identity]
) -> None:
    lamp = await new_product()
    with pytest.raises(InvalidRequest) as refused:
        await order_client.place(new_customer(), (lamp, quantity))
    assert refused.value.errors[0].pointer == "/items/0/quantity"
    assert (await order_client.stock(lamp)).reserved == 0


async def test_lines_of_one_sku_together_stay_within_the_limit(
    order_client: OrderClient, new_product: NewProduct, new_customer: Callable[[], Identity]
) -> None:
    lamp = await new_product(stock=2000)
    with pytest.raises(InvalidRequest):
        await order_client.place(new_customer(), (lamp, 999), (lamp, 1))
    order = await order_client.place(new_customer(), (lamp, 2), (lamp, 3))
    assert sum(item.quantity for item in order.items) == 5
    assert (await order_client.stock(lamp)).reserved == 5


async def test_a_total_above_the_largest_amount_holds_no_stock(
    order_client: OrderClient, new_product: NewProduct, new_customer: Callable[[], Identity]
) -> None:
    crown = await new_product(stock=10, price=10**12)
    with pytest.raises(InvalidRequest) as refused:
        await order_client.place(new_customer(), (crown, 2))
    assert refused.value.errors[0].pointer == "/items"
    await order_client.wait_for_stock(crown, on_hand=10, reserved=0)


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
async def test_an_invalid_body_is_refused(
    body: dict[str, Any], rpc: RpcCaller, new_customer: Callable[[], Identity]
) -> None:
    with pytest.raises(InvalidRequest):
        await rpc(contract.PLACE, {"shipping_address": ADDRESS, **body}, identity=new_customer())


@pytest.mark.parametrize("number", ["4242424242424242", "3782 822463 10005", "6011-1111-1111-1117"])
async def test_a_card_number_is_refused_before_stock_is_held(
    number: str, order_client: OrderClient, new_product: NewProduct, new_customer: Callable[[], Identity]
) -> None:
    lamp, buyer = await new_product(), new_customer()
    with pytest.raises(CardNumberRefused):
        await order_client.place(buyer, (lamp, 1), payment_method=number)
    assert (await order_client.stock(lamp)).reserved == 0
    order = await order_client.place(buyer, (lamp, 1))
    with pytest.raises(CardNumberRefused):
        await order_client.rpc(contract.PAY, {"id": str(order.id), "payment_method": number}, identity=buyer)


async def test_another_guest_cannot_see_the_order_of_the_same_cart(
    order_client: OrderClient, rpc: RpcCaller, new_product: NewProduct
) -> None:
    lamp = await new_product()
    opened = await rpc(cart.CREATE)
    await rpc(cart.ADD, {"id": opened.id, "sku": lamp.variants[0].sku, "quantity": 1})
    body = {"cart_id": opened.id, "shipping_address": ADDRESS}
    await order_client.rpc(contract.PLACE, {**body, "email": GUEST})
    with pytest.raises(Fail) as refused:
        await order_client.rpc(contract.PLACE, {**body, "email": "other@example.com"})
    assert isinstance(refused.value, CartChanged | CartEmpty)
    assert (await order_client.stock(lamp)).reserved == 1
