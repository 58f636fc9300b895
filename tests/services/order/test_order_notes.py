"""Notes on orders: internal ones and those that the customer reads; and who is billed."""

from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from contracts import headers, privacy
from contracts import order as contract
from contracts.catalog import Product
from contracts.failure import Forbidden, InvalidRequest, NotFound
from contracts.identity import Identity
from contracts.order import MAX_NOTES, Order, TooManyOrderNotes
from contracts.payment import CardNumberRefused
from infra.foundation.ids import new_id
from tests.services.order.conftest import OrderClient
from tests.support.http import ADDRESS
from tests.support.rpc import RpcCaller

Database = Callable[[str], Awaitable[asyncpg.Connection]]
AsService = Callable[[str], Awaitable[RpcCaller]]
OFFICE = {**ADDRESS, "name": "Mary Somerville", "company": "Analytical Engines", "vat_id": "de 123.456-789"}


@pytest.fixture
async def lamp(new_product: Callable[..., Awaitable[Product]]) -> Product:
    return await new_product(stock=50)


@pytest.fixture
def buyer(new_customer: Callable[[], Identity]) -> Identity:
    return new_customer()


@pytest.fixture
async def order(order_client: OrderClient, buyer: Identity, lamp: Product) -> Order:
    return await order_client.place(buyer, (lamp, 1))


async def add(rpc: RpcCaller, admin: Identity, order: Order, text: str, **more: Any) -> Order:
    changed: Order = await rpc(contract.ADD_NOTE, {"id": str(order.id), "text": text, **more}, identity=admin)
    return changed


async def test_customer_reads_only_the_notes_that_are_shown(
    rpc: RpcCaller, admin: Identity, buyer: Identity, order: Order
) -> None:
    """In no reply is an internal note, or who wrote a note."""
    await add(rpc, admin, order, " Called twice.\nNo answer. ")
    noted = await add(rpc, admin, order, "It leaves on Monday.", shown_to_customer=True)
    texts = ["Called twice.\nNo answer.", "It leaves on Monday."]
    assert [(note.text, note.author_id) for note in noted.notes] == [(text, admin.user_id) for text in texts]
    ref = {"id": str(order.id)}
    assert (await rpc(contract.GET, ref, identity=admin)).notes == noted.notes
    own = await rpc(contract.GET, ref, identity=buyer)
    listed = (await rpc(contract.LIST, identity=buyer)).items[0]
    cancelled = await rpc(contract.CANCEL, ref, identity=buyer)
    for seen in (own, listed, cancelled):
        assert [(note.text, note.author_id) for note in seen.notes] == [(texts[1], None)]
    assert own.history == order.history


async def test_note_changes_the_version(rpc: RpcCaller, admin: Identity, order: Order) -> None:
    body = {"id": str(order.id), "text": "A note."}
    versions = [(await rpc.raw(contract.ADD_NOTE, body, identity=admin))[1][headers.VERSION] for _ in range(2)]
    assert [int(version) for version in versions] == [2, 3]


async def test_refused_notes(
    rpc: RpcCaller, admin: Identity, buyer: Identity, order: Order, database: Database
) -> None:
    with pytest.raises(CardNumberRefused) as refused:
        await add(rpc, admin, order, "Paid by 4242 4242 4242 4242.")
    assert refused.value.errors[0].pointer == "/text"
    for text in ("", "  \n", "\u200b", "x" * 2001):
        with pytest.raises(InvalidRequest):
            await add(rpc, admin, order, text)
    with pytest.raises(Forbidden):
        await add(rpc, buyer, order, "Mine.")
    with pytest.raises(NotFound):
        await add(rpc, admin, order.model_copy(update={"id": new_id()}), "There is no such order.")
    assert (await rpc(contract.GET, {"id": str(order.id)}, identity=admin)).notes == []
    await (await database("order")).execute(
        "UPDATE orders SET notes = (SELECT jsonb_agg($2::text::jsonb) FROM generate_series(1, $3)) WHERE id = $1",
        order.id,
        '{"text": "One.", "shown_to_customer": false, "at": "2026-01-01T00:00:00Z"}',
        MAX_NOTES,
    )
    with pytest.raises(TooManyOrderNotes):
        await add(rpc, admin, order, "One more.")


async def test_bill_goes_to_another_address(
    order_client: OrderClient, rpc: RpcCaller, buyer: Identity, lamp: Product, order: Order
) -> None:
    assert order.billing_address is None
    placed = await order_client.place(buyer, (lamp, 1), billing_address=OFFICE)
    read = await rpc(contract.GET, {"id": str(placed.id)}, identity=buyer)
    assert read.billing_address == placed.billing_address
    assert read.billing_address.model_dump(exclude_none=True) == {**OFFICE, "vat_id": "DE123456789"}
    with pytest.raises(InvalidRequest) as refused:
        await order_client.place(buyer, (lamp, 1), billing_address={**OFFICE, "vat_id": "DE12345678"})
    assert [error.pointer for error in refused.value.errors] == ["/billing_address/vat_id"]


async def test_export_has_all_notes_and_erasure_leaves_none(
    order_client: OrderClient, rpc: RpcCaller, admin: Identity, buyer: Identity, lamp: Product, as_service: AsService
) -> None:
    order = await order_client.place(buyer, (lamp, 1), billing_address=OFFICE)
    await add(rpc, admin, order, "Internal.")
    as_user = await as_service("user")
    body = {"user_id": str(buyer.user_id), "emails": []}
    (exported,) = (await as_user(privacy.EXPORT["order"], body)).orders
    assert [(note.text, note.author_id) for note in exported.notes] == [("Internal.", None)]
    assert exported.billing_address == order.billing_address
    assert not (await as_user(privacy.ERASE["order"], {"user_id": str(buyer.user_id)})).more
    erased = await order_client.read(order.id)
    assert erased.notes == []
    assert erased.billing_address is not None
    assert erased.billing_address.model_dump(exclude_none=True) == {
        "name": "erased",
        "line1": "erased",
        "city": "erased",
        "postal_code": "erased",
        "country": OFFICE["country"],
    }
    found = await rpc(contract.LIST, {"name": "somerville", "user_id": str(buyer.user_id)}, identity=admin)
    assert found.items == []
