"""Orders that gift cards pay, completely or in part: held at placing, spent when paid, released otherwise."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest

from contracts import cart
from contracts import gift_cards as gift_card_contract
from contracts import order as contract
from contracts.catalog import Product
from contracts.coupons import CouponInvalid
from contracts.gift_cards import GiftCard, GiftCardInsufficient, GiftCardInvalid
from contracts.identity import Identity
from contracts.money import Money
from contracts.order import Order, OrderCancelled, OrderPlaced, OrderStatus
from infra.foundation.ids import new_id
from infra.messaging.rpc_client import Request
from services.order.deps import OrderDeps
from services.order.domain.gift_cards import derive_gift_card_hold_id
from services.order.handlers import gift_card_holds, place
from tests.services.order.conftest import CouponClient, OrderClient, buyer_of
from tests.support.event_recorder import EventRecorder
from tests.support.eventually import eventually
from tests.support.http import ADDRESS
from tests.support.rpc import RpcCaller

NewProduct = Callable[..., Awaitable[Product]]
NewCustomer = Callable[[], Identity]


class GiftCardClient:
    """An administrator who issues gift cards."""

    def __init__(self, rpc: RpcCaller, admin: Identity) -> None:
        self.rpc = rpc
        self.admin = admin

    async def issue(self, amount: int) -> GiftCard:
        body = {"amount": {"amount": amount, "currency": "USD"}}
        issued: GiftCard = await self.rpc(gift_card_contract.ISSUE_GIFT_CARD, body, identity=self.admin)
        return issued

    async def left(self, card: GiftCard) -> tuple[int, int]:
        """The balance of the card, and what is held of it."""
        found = await self.rpc(gift_card_contract.GET_GIFT_CARD, {"id": str(card.id)}, identity=self.admin)
        return found.balance.amount, found.held.amount

    async def wait_for(self, card: GiftCard, *, balance: int, held: int) -> None:
        async def as_expected() -> bool:
            assert await self.left(card) == (balance, held)
            return True

        await eventually(as_expected)


@pytest.fixture
def cards(rpc: RpcCaller, admin: Identity) -> GiftCardClient:
    return GiftCardClient(rpc, admin)


async def test_a_card_pays_a_part_and_the_rest_is_charged(
    cards: GiftCardClient,
    order_client: OrderClient,
    new_product: NewProduct,
    new_customer: NewCustomer,
    events: EventRecorder,
) -> None:
    lamp, card = await new_product(price=1999), await cards.issue(500)
    order = await order_client.place(new_customer(), (lamp, 1), gift_cards=[card.code])
    assert (order.total.amount, order.gift_card_total.amount, order.gift_cards) == (1999, 500, [card.last4])
    assert await order_client.read(order.id) == order
    event = (await events.wait_for(order.id, "placed")).event
    assert isinstance(event, OrderPlaced)
    assert event.gift_cards is not None
    assert (event.charge, event.gift_cards.amount) == (False, order.gift_card_total)
    assert card.code is not None
    assert card.code not in event.model_dump_json()
    assert await cards.left(card) == (500, 500)
    await order_client.rpc(contract.PAY, {"id": str(order.id), "payment_method": "sim_ok"}, identity=buyer_of(order))
    await order_client.wait_for_status(order.id, OrderStatus.PAID)
    assert await cards.left(card) == (0, 0)
    await order_client.rpc(contract.CANCEL, {"id": str(order.id)}, identity=buyer_of(order))
    await cards.wait_for(card, balance=500, held=0)


async def test_a_card_that_pays_all_needs_no_payment_method(
    cards: GiftCardClient, order_client: OrderClient, new_product: NewProduct, new_customer: NewCustomer
) -> None:
    lamp, card = await new_product(price=1999), await cards.issue(5000)
    order = await order_client.place(new_customer(), (lamp, 2), gift_cards=[card.code])
    assert order.gift_card_total == order.total
    await order_client.wait_for_status(order.id, OrderStatus.PAID)
    assert await cards.left(card) == (1002, 0)


async def test_an_order_that_ends_unpaid_gives_its_part_back(
    cards: GiftCardClient,
    order_client: OrderClient,
    new_product: NewProduct,
    new_customer: NewCustomer,
    deps: OrderDeps,
    events: EventRecorder,
) -> None:
    lamp, card = await new_product(price=1999), await cards.issue(1500)
    declined = await order_client.place(
        new_customer(), (lamp, 1), gift_cards=[card.code], payment_method="sim_declined"
    )
    await order_client.wait_for_status(declined.id, OrderStatus.CANCELLED)
    event = (await events.wait_for(declined.id, "cancelled")).event
    assert isinstance(event, OrderCancelled)
    assert event.gift_cards is not None
    await cards.wait_for(card, balance=1500, held=0)
    unpaid = await order_client.place(new_customer(), (lamp, 1), gift_cards=[card.code])
    assert await cards.left(card) == (1500, 1500)
    async with deps.db.connection() as connection:
        await connection.execute("UPDATE orders SET pay_by = now() WHERE id = $1", unpaid.id)
    await cards.wait_for(card, balance=1500, held=0)


async def test_a_refused_card_holds_no_stock(
    cards: GiftCardClient, order_client: OrderClient, new_product: NewProduct, new_customer: NewCustomer
) -> None:
    lamp, card = await new_product(price=1999), await cards.issue(1999)
    with pytest.raises(GiftCardInvalid) as refused:
        await order_client.place(new_customer(), (lamp, 1), gift_cards=[card.code, "0000-0000"])
    assert (refused.value.reason, refused.value.errors[0].pointer) == ("unknown", "/gift_cards/1")
    assert (await order_client.stock(lamp)).reserved == 0
    await order_client.place(new_customer(), (lamp, 1), gift_cards=[card.code], payment_method="sim_ok")
    with pytest.raises(GiftCardInsufficient):
        await order_client.place(new_customer(), (lamp, 1), gift_cards=[card.code])
    await order_client.wait_for_stock(lamp, on_hand=9, reserved=0)


async def test_a_refused_order_releases_its_part_of_the_card(
    cards: GiftCardClient,
    coupons: CouponClient,
    order_client: OrderClient,
    new_product: NewProduct,
    new_customer: NewCustomer,
) -> None:
    """Two orders at the same moment pass every check before one of them gets the last use of a coupon."""
    lamp, coupon = await new_product(price=1000), await coupons.create(max_uses=1)
    each = [await cards.issue(900) for _ in range(4)]
    placing = (
        order_client.place(new_customer(), (lamp, 1), coupon=coupon.code, gift_cards=[card.code]) for card in each
    )
    found = await asyncio.gather(*placing, return_exceptions=True)
    assert sum(isinstance(one, Order) for one in found) == 1
    for card, one in zip(each, found, strict=True):
        if isinstance(one, CouponInvalid):
            await cards.wait_for(card, balance=900, held=0)
        else:
            await cards.wait_for(card, balance=0, held=0)


async def test_parallel_orders_never_overdraw_a_card(
    cards: GiftCardClient, order_client: OrderClient, new_product: NewProduct, new_customer: NewCustomer
) -> None:
    lamp, card = await new_product(price=300, stock=100), await cards.issue(1000)
    placing = (order_client.place(new_customer(), (lamp, 1), gift_cards=[card.code]) for _ in range(20))
    found = await asyncio.gather(*placing, return_exceptions=True)
    paid = [one.gift_card_total.amount for one in found if isinstance(one, Order)]
    assert sorted(paid) == [100, 300, 300, 300]
    assert sum(isinstance(one, GiftCardInsufficient) for one in found) == 16
    await cards.wait_for(card, balance=100, held=100)


async def test_the_same_order_again_holds_the_card_once(
    rpc: RpcCaller, cards: GiftCardClient, new_product: NewProduct, new_customer: NewCustomer
) -> None:
    lamp, buyer, card = await new_product(price=1999), new_customer(), await cards.issue(500)
    await rpc(cart.ADD, {"id": "mine", "sku": lamp.variants[0].sku, "quantity": 1}, identity=buyer)
    body = {"cart_id": "mine", "shipping_address": ADDRESS, "gift_cards": [card.code]}
    placed = await asyncio.gather(*(rpc(contract.PLACE, body, identity=buyer) for _ in range(3)))
    assert len({one.id for one in placed}) == 1
    assert await cards.left(card) == (500, 500)
    without = await rpc(contract.PLACE, {**body, "gift_cards": []}, identity=buyer)
    assert (without.id, await cards.left(card)) == (placed[0].id, (500, 500))
    other = await cards.issue(700)
    again = await rpc(contract.PLACE, {**body, "gift_cards": [other.code]}, identity=buyer)
    assert (again.id, await cards.left(other)) == (placed[0].id, (700, 0)), "the order that exists keeps its card"
    await rpc(contract.CANCEL, {"id": str(placed[0].id)}, identity=buyer)
    await cards.wait_for(card, balance=500, held=0)
    next_order = await rpc(contract.PLACE, body, identity=buyer)
    assert (next_order.id != placed[0].id, await cards.left(card)) == (True, (500, 500))


async def test_a_try_that_died_after_its_hold_is_continued_by_the_next_one(
    deps: OrderDeps,
    rpc: RpcCaller,
    cards: GiftCardClient,
    new_product: NewProduct,
    new_customer: NewCustomer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The process dies between the hold at payment and its own transaction."""
    lamp, buyer, card = await new_product(price=1999), new_customer(), await cards.issue(500)
    await rpc(cart.ADD, {"id": "mine", "sku": lamp.variants[0].sku, "quantity": 1}, identity=buyer)
    body = {"cart_id": "mine", "shipping_address": ADDRESS, "gift_cards": [card.code]}
    request = Request(contract.PlaceOrder.model_validate_json(orjson.dumps(body)), identity=buyer)

    class Died(BaseException):
        """The end of the process."""

    hold = gift_card_holds.hold

    async def hold_and_die(*arguments: Any) -> Any:
        await hold(*arguments)
        raise Died

    with monkeypatch.context() as dying:
        dying.setattr(gift_card_holds, "hold", hold_and_die)
        with pytest.raises(Died):
            await place.place(deps, request)
    assert await cards.left(card) == (500, 500)
    order = (await place.place(deps, request)).content
    assert isinstance(order, Order)
    assert (order.gift_card_total.amount, await cards.left(card)) == (500, (500, 500))


def test_requests_with_other_cards_have_other_holds() -> None:
    hold_id, due = new_id(), Money(amount=1999, currency="USD")

    def derived(*codes: str, amount: int = 1999, secret: str = "a secret") -> Any:  # noqa: S107 - no secret
        return derive_gift_card_hold_id(hold_id, due.model_copy(update={"amount": amount}), codes, secret)

    assert derived("7K2M-9QXC") == derived(" 7k2m 9qxc")
    assert len({derived("A"), derived("B"), derived("A", "B"), derived("B", "A"), derived("A", amount=5)}) == 5
    assert derived("A") != derived("A", secret="another secret")
