"""Orders that arrive at the same moment share a transaction, and none of them harms another."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from contracts import catalog
from contracts.catalog import Hold, Product
from contracts.identity import Identity
from contracts.order import CANCEL, OrderStatus, PlaceOrder
from contracts.payment import PaymentCaptured, PaymentFailed
from infra.foundation import trace
from infra.foundation.ids import new_id, now
from infra.messaging.event_parser import ReceivedEvent
from infra.messaging.idempotency import AlreadyProcessed, IdempotencyKey
from infra.messaging.rpc_client import Request
from services.order.app import EVENT_HANDLERS
from services.order.deps import OrderDeps
from services.order.domain.orders import Buyer, CartVersion, OrderDraft, draft_order
from tests.services.order.conftest import OrderClient
from tests.support.http import ADDRESS

NewProduct = Callable[..., Awaitable[Product]]
NewDraft = Callable[..., Awaitable[OrderDraft]]
PAY_WITHIN_SECONDS = 600.0


@pytest.fixture
async def new_draft(deps: OrderDeps, new_product: NewProduct) -> NewDraft:
    """Makes an order that only has to be stored: its stock is held."""
    product = await new_product(stock=100)

    async def make(cart: CartVersion | None = None) -> OrderDraft:
        lines = [catalog.RequestedLine(sku=product.variants[0].sku, quantity=1)]
        place_hold = catalog.PlaceHold(hold_id=new_id(), lines=lines, seconds=1200)
        hold: Hold = await deps.rpc.request(catalog.HOLD, place_hold)
        body = PlaceOrder.model_validate({"items": lines, "shipping_address": ADDRESS})
        buyer = Buyer(new_id(), None)
        return await deps.pricing_rules.decide(
            deps.db, lambda rules: draft_order(body, buyer, hold, cart, rules, order_id=new_id(), at=now())
        )

    return make


async def store_together(
    deps: OrderDeps, drafts: Sequence[OrderDraft], keys: Sequence[IdempotencyKey | None] | None = None
) -> list[Any]:
    """Stores orders that arrive at the same moment; returns what each caller got or what was raised to it."""
    requests = [Request[Any](None, idempotency_key=key) for key in keys or [None] * len(drafts)]
    stored = (
        deps.placement.run(request, (draft, PAY_WITHIN_SECONDS))
        for request, draft in zip(requests, drafts, strict=True)
    )
    return await asyncio.gather(*stored, return_exceptions=True)


async def transactions_of(deps: OrderDeps, drafts: Sequence[OrderDraft]) -> list[str]:
    """The transactions that stored these orders, one for each order that is stored."""
    async with deps.db.connection() as connection:
        rows = await connection.fetch(
            "SELECT xmin::text FROM orders WHERE id = ANY($1::uuid[])", [draft.order.id for draft in drafts]
        )
    return [row["xmin"] for row in rows]


async def test_orders_of_one_moment_share_a_transaction(
    deps: OrderDeps, new_draft: NewDraft, order_client: OrderClient
) -> None:
    drafts = [await new_draft() for _ in range(4)]
    replies = await store_together(deps, drafts)
    assert [reply.content.id for reply in replies] == [draft.order.id for draft in drafts]
    transactions = await transactions_of(deps, drafts)
    assert (len(transactions), len(set(transactions))) == (4, 1)
    for reply in replies:
        assert (await order_client.read(reply.content.id)).model_dump_json() == reply.content.model_dump_json()


async def test_two_orders_of_one_cart_version_make_one_order(deps: OrderDeps, new_draft: NewDraft) -> None:
    cart = CartVersion(f"cart-{new_id()}", 1)
    drafts = [await new_draft(), await new_draft(cart), await new_draft(cart)]
    found = await store_together(deps, drafts)
    assert [isinstance(one, Exception) for one in found] == [False, False, True]
    assert len(await transactions_of(deps, drafts)) == 2


async def test_an_order_that_violates_a_constraint_fails_alone(deps: OrderDeps, new_draft: NewDraft) -> None:
    drafts = [await new_draft() for _ in range(3)]
    wrong = drafts[1].order
    free = wrong.model_copy(update={"total": wrong.total.model_copy(update={"amount": 0})})
    drafts[1] = OrderDraft(free, *(getattr(drafts[1], name) for name in OrderDraft.__slots__[1:]))
    found = await store_together(deps, drafts)
    assert isinstance(found[1], asyncpg.CheckViolationError)
    assert len(await transactions_of(deps, drafts)) == 2
    assert [found[0].content.id, found[2].content.id] == [drafts[0].order.id, drafts[2].order.id]


async def test_one_key_places_one_order(deps: OrderDeps, new_draft: NewDraft) -> None:
    drafts = [await new_draft() for _ in range(3)]
    same = [IdempotencyKey.derive("place", "a customer", new_id().hex, b"") for _ in range(2)]
    found = await store_together(deps, drafts, [same[0], same[1], same[0]])
    assert sum(isinstance(one, AlreadyProcessed) for one in found) == 1
    assert len(await transactions_of(deps, drafts)) == 2


async def apply_together(deps: OrderDeps, *events: Any) -> None:
    """Applies events as the consumer does when they arrive in one batch."""
    received = [ReceivedEvent(new_id(), event, trace.start()) for event in events]

    async def apply(tx: Any, one: ReceivedEvent) -> None:
        await EVENT_HANDLERS[type(one.event)](deps, tx, one.event)

    await deps.db.apply(received, apply)


async def test_captures_of_one_batch_pay_their_orders(
    deps: OrderDeps, order_client: OrderClient, new_customer: Callable[[], Identity], new_product: NewProduct
) -> None:
    lamp = await new_product(stock=10)
    orders = [await order_client.place(new_customer(), (lamp, 1)) for _ in range(3)]
    await order_client.rpc(CANCEL, {"id": str(orders[1].id)}, identity=order_client.admin)
    payments: list[UUID] = [new_id() for _ in orders]
    captures = [
        PaymentCaptured(payment_id=payment_id, order_id=order.id, amount=order.total)
        for order, payment_id in zip(orders, payments, strict=True)
    ]
    late_failure = PaymentFailed(
        payment_id=new_id(), order_id=orders[0].id, amount=orders[0].total, failure_code="declined"
    )
    again = captures[2].model_copy(update={"payment_id": new_id()})
    await apply_together(deps, *captures, again, late_failure)
    found = [await order_client.read(order.id) for order in orders]
    assert [order.status for order in found] == [OrderStatus.PAID, OrderStatus.CANCELLED, OrderStatus.PAID]
    assert [found[0].payment_id, found[2].payment_id] == [payments[0], payments[2]]
