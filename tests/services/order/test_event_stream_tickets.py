"""Who may follow an order, and the tickets that open its event stream once."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from contracts import order as contract
from contracts.catalog import Product
from contracts.failure import NotFound
from contracts.identity import Identity
from contracts.order import Order, OrderStatus, OrderTimeline
from infra.foundation.ids import new_id, now
from services.order.domain.event_stream_tickets import EventStreamTickets, TicketClaims
from services.order.domain.order_timelines import WITHDRAWAL_PERIOD, is_final
from tests.services.order.conftest import OrderClient, buyer_of
from tests.support.http import ADDRESS
from tests.support.rpc import RpcCaller, admin_identity, customer_identity

NewProduct = Callable[..., Awaitable[Product]]
TICKETS = EventStreamTickets("a secret of tests")


@pytest.fixture
async def placed(order_client: OrderClient, new_customer: Callable[[], Identity], new_product: NewProduct) -> Order:
    return await order_client.place(new_customer(), (await new_product(), 1))


async def ticket_of(rpc: RpcCaller, order: Order, identity: Identity) -> dict[str, str]:
    """A request to redeem a new ticket."""
    created = await rpc(contract.CREATE_EVENT_STREAM_TICKET, {"id": str(order.id)}, identity=identity)
    return {"id": str(order.id), "ticket": created.ticket}


async def test_an_order_is_followed_by_its_customer_and_administrators(rpc: RpcCaller, placed: Order) -> None:
    body = {"id": str(placed.id)}
    for identity in (buyer_of(placed), admin_identity()):
        timeline: OrderTimeline = await rpc(contract.FOLLOW, body, identity=identity)
        assert (timeline.status, timeline.history, timeline.is_final) == (placed.status, placed.history, False)
    for operation in (contract.FOLLOW, contract.CREATE_EVENT_STREAM_TICKET):
        with pytest.raises(NotFound):
            await rpc(operation, body, identity=customer_identity())
        with pytest.raises(NotFound):
            await rpc(operation, body, order_token="a" * 43)


async def test_a_ticket_is_used_once_by_one_of_many(rpc: RpcCaller, placed: Order) -> None:
    """It says whom it was given to, with the session whose end ends the stream."""
    identity = buyer_of(placed).model_copy(update={"session_id": new_id()})
    body = await ticket_of(rpc, placed, identity)
    uses = [rpc(contract.REDEEM_EVENT_STREAM_TICKET, body) for _ in range(5)]
    results = await asyncio.gather(*uses, return_exceptions=True)
    (grant,) = [result for result in results if not isinstance(result, NotFound)]
    assert grant == contract.EventStreamGrant(identity=identity, access_token=None)
    with pytest.raises(NotFound):
        await rpc(contract.REDEEM_EVENT_STREAM_TICKET, body)


async def test_a_ticket_of_a_guest_stands_for_the_token_of_the_order(rpc: RpcCaller, new_product: NewProduct) -> None:
    items = [{"sku": (await new_product()).variants[0].sku, "quantity": 1}]
    body = {"items": items, "shipping_address": ADDRESS, "email": "ada@example.com"}
    placed = await rpc(contract.PLACE, body)
    order_id = {"id": str(placed.id)}
    created = await rpc(contract.CREATE_EVENT_STREAM_TICKET, order_id, order_token=placed.access_token)
    redeemed = {**order_id, "ticket": created.ticket}
    grant = await rpc(contract.REDEEM_EVENT_STREAM_TICKET, redeemed)
    assert grant.identity is None
    assert grant.access_token.get_secret_value() == placed.access_token
    assert placed.access_token not in redeemed["ticket"]


async def test_a_ticket_opens_no_other_order(rpc: RpcCaller, placed: Order) -> None:
    body = await ticket_of(rpc, placed, buyer_of(placed))
    with pytest.raises(NotFound):
        await rpc(contract.REDEEM_EVENT_STREAM_TICKET, {**body, "id": str(new_id())})
    assert await rpc(contract.REDEEM_EVENT_STREAM_TICKET, body)


def test_a_ticket_expires() -> None:
    order_id, at = new_id(), now()
    claims = TicketClaims(id=new_id(), identity=customer_identity(), has_token=False, expires_at=at)
    ticket = TICKETS.sign(order_id, claims)
    assert TICKETS.read(order_id, ticket, at - timedelta(seconds=1)) == claims
    assert TICKETS.read(order_id, ticket, at) is None


@pytest.mark.parametrize("change", ["", "a", "flipped", "truncated", "not base64", "another secret"])
def test_only_a_ticket_of_this_shop_is_read(change: str) -> None:
    order_id, at = new_id(), now()
    claims = TicketClaims(id=new_id(), has_token=True, expires_at=at + timedelta(minutes=1))
    ticket = TICKETS.sign(order_id, claims)
    changed = {
        "flipped": ticket[:-2] + ("A" if ticket[-2] != "A" else "B") + ticket[-1],
        "truncated": ticket[:-4],
        "not base64": f"{ticket}\u00e9 ",
        "another secret": EventStreamTickets("another secret").sign(order_id, claims),
    }.get(change, change)
    assert TICKETS.read(order_id, ticket, at) == claims
    assert TICKETS.read(order_id, changed, at) is None


async def test_a_delivered_order_is_final_once_it_can_no_longer_be_withdrawn_from(placed: Order) -> None:
    entry = placed.history[0].model_copy(update={"status": OrderStatus.DELIVERED, "at": now()})
    delivered = placed.model_copy(update={"status": OrderStatus.DELIVERED, "history": [entry]})
    assert not is_final(delivered, entry.at + WITHDRAWAL_PERIOD - timedelta(seconds=1))
    assert is_final(delivered, entry.at + WITHDRAWAL_PERIOD)
    assert [one for one in OrderStatus if is_final(delivered.model_copy(update={"status": one}), entry.at)] == [
        OrderStatus.CANCELLED,
        OrderStatus.REFUNDED,
    ]
