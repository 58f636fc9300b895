"""Invoices of orders over the real broker: numbers without gaps, PDFs that never change, and credit notes."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from contracts import order as contract
from contracts import privacy
from contracts.catalog import Product
from contracts.event import Event
from contracts.failure import NotFound
from contracts.identity import Identity
from contracts.order import InvoiceKind, InvoiceNotReady, Order, OrderStatus
from infra.database.postgres import Transaction
from infra.foundation import trace
from infra.foundation.ids import new_id, now
from services.order.deps import OrderDeps
from services.order.domain.invoices import draft_invoice
from services.order.store import invoices as store
from services.order.workers import invoice_pdfs, saga
from tests.services.order.conftest import OrderClient, buyer_of
from tests.services.order.sample_invoices import invoice_terms
from tests.services.order.test_consumed_events import captured, refunded
from tests.support.eventually import eventually
from tests.support.http import ADDRESS
from tests.support.rpc import RpcCaller, customer_identity

NewProduct = Callable[..., Awaitable[Product]]
Publish = Callable[[Event], Awaitable[None]]


@pytest.fixture
async def lamp(new_product: NewProduct) -> Product:
    return await new_product(stock=100)


@pytest.fixture
async def paid(
    order_client: OrderClient, new_customer: Callable[[], Identity], lamp: Product, publish: Publish
) -> Order:
    placed = await order_client.place(new_customer(), (lamp, 2))
    await publish(captured(placed, new_id()))
    return await order_client.wait_for_status(placed.id, OrderStatus.PAID)


async def test_a_paid_order_has_an_invoice_whose_bytes_never_change(
    rpc: RpcCaller, order_client: OrderClient, paid: Order, database: Callable[[str], Awaitable[Any]]
) -> None:
    first, headers = await rpc.raw(contract.GET_INVOICE, {"id": str(paid.id)}, identity=buyer_of(paid))
    assert first.startswith(b"%PDF-")
    assert headers["Content-Type"] == "application/pdf"
    again, _ = await rpc.raw(contract.GET_INVOICE, {"id": str(paid.id)}, identity=order_client.admin)
    assert again == first
    row = await (await database("order")).fetchrow("SELECT * FROM invoice WHERE order_id = $1", paid.id)
    assert (row["total"], row["currency"]) == (paid.total.amount, paid.total.currency)
    assert row["pdf_sha256"] == hashlib.sha256(first).digest()
    with pytest.raises(NotFound):
        await rpc.raw(contract.GET_INVOICE, {"id": str(paid.id)}, identity=customer_identity())


async def test_an_unpaid_order_has_no_invoice_and_takes_no_number(
    rpc: RpcCaller, order_client: OrderClient, lamp: Product, new_customer: Callable[[], Identity], deps: OrderDeps
) -> None:
    buyer = new_customer()
    pending = await order_client.place(buyer, (lamp, 1))
    with pytest.raises(InvoiceNotReady):
        await rpc.raw(contract.GET_INVOICE, {"id": str(pending.id)}, identity=buyer)
    await rpc(contract.CANCEL, {"id": str(pending.id)}, identity=buyer)
    async with deps.db.connection() as connection:
        assert await store.list_of_orders(connection, [pending.id]) == []


async def test_each_refund_has_one_credit_note_and_together_they_are_the_invoice(
    rpc: RpcCaller, order_client: OrderClient, paid: Order, publish: Publish, deps: OrderDeps
) -> None:
    assert paid.payment_id is not None
    part = refunded(paid, paid.payment_id, full=False)
    part = part.model_copy(update={"amount": part.amount.model_copy(update={"amount": 500})})
    rest = refunded(paid, paid.payment_id, full=True)
    left = paid.total.amount - 500
    rest = rest.model_copy(update={"amount": rest.amount.model_copy(update={"amount": left})})
    for event in (part, part, rest, part):  # each under an id of its own, as when payment publishes its events again
        await publish(event)
    await order_client.wait_for_status(paid.id, OrderStatus.REFUNDED)

    async def found() -> list[Any]:
        async with deps.db.connection() as connection:
            issued = await store.list_of_orders(connection, [paid.id])
        assert [(one.kind, one.document.total) for one in issued] == [
            (InvoiceKind.INVOICE, paid.total.amount),
            (InvoiceKind.CREDIT_NOTE, 500),
            (InvoiceKind.CREDIT_NOTE, left),
        ]
        return issued

    _, first, _ = await eventually(found)
    content, _ = await rpc.raw(contract.GET_CREDIT_NOTE, {"id": str(paid.id), "n": 1}, identity=buyer_of(paid))
    assert content.startswith(b"%PDF-")
    assert first.series == "CN"
    with pytest.raises(NotFound):
        await rpc.raw(contract.GET_CREDIT_NOTE, {"id": str(paid.id), "n": 3}, identity=buyer_of(paid))


async def _fail(_tx: Transaction, _rows: Any) -> None:
    raise ConnectionError


async def test_orders_paid_at_the_same_moment_have_consecutive_numbers_also_when_some_fail(
    order_client: OrderClient, lamp: Product, new_customer: Callable[[], Identity], deps: OrderDeps
) -> None:
    """Every third transaction fails after it has taken its numbers."""
    terms = invoice_terms(series=f"T{new_id().hex[-8:].upper()}")
    placed = await asyncio.gather(*(order_client.place(new_customer(), (lamp, 1)) for _ in range(12)))

    async def pay(at: int, *orders: Order) -> None:
        captures = [saga.Capture(one.id, new_id(), trace.start(), terms) for one in orders]
        async with deps.db.transaction() as tx:
            await saga.apply_captures(tx, captures)
            if at % 3 == 0:
                tx.collect_last(_fail, None)

    outcomes = await asyncio.gather(*(pay(at, *placed[2 * at : 2 * at + 2]) for at in range(6)), return_exceptions=True)
    assert [type(one) for one in outcomes] == [ConnectionError, type(None), type(None)] * 2
    async with deps.db.connection() as connection:
        issued = await store.list_of_orders(connection, [one.id for one in placed])
    assert sorted(one.number for one in issued) == [1, 2, 3, 4, 5, 6, 7, 8]
    by_number = sorted(issued, key=lambda one: one.number)
    assert [one.issued_at for one in by_number] == sorted(one.issued_at for one in issued)


async def test_a_higher_number_never_has_an_earlier_time(
    order_client: OrderClient, lamp: Product, new_customer: Callable[[], Identity], deps: OrderDeps
) -> None:
    """The clocks of two processes may differ."""
    terms = invoice_terms(series=f"T{new_id().hex[-8:].upper()}")
    later = now()
    for at in (later, later - timedelta(seconds=5)):
        placed = await order_client.place(new_customer(), (lamp, 1))
        async with deps.db.connection() as connection:
            await store.issue(connection, [draft_invoice(placed, terms, at)])
            issued = await store.find(connection, placed.id, 0)
        assert issued is not None
        assert issued.issued_at == later


async def test_an_invoice_that_cannot_be_drawn_keeps_its_number_and_is_tried_again(
    rpc: RpcCaller,
    lamp: Product,
    new_customer: Callable[[], Identity],
    publish: Publish,
    order_client: OrderClient,
    deps: OrderDeps,
) -> None:
    buyer = new_customer()
    placed = await order_client.place(buyer, (lamp, 1), shipping_address={**ADDRESS, "name": "ᏣᎳᎩ"})
    await publish(captured(placed, new_id()))
    await order_client.wait_for_status(placed.id, OrderStatus.PAID)
    with pytest.raises(InvoiceNotReady, match="could not be made yet"):
        await rpc.raw(contract.GET_INVOICE, {"id": str(placed.id)}, identity=buyer)
    async with deps.db.connection() as connection:
        row = await connection.fetchrow("SELECT * FROM invoice WHERE order_id = $1", placed.id)
        assert "CHEROKEE" in row["render_error"]
        assert (row["pdf_sha256"], row["number"] > 0, row["render_failures"] > 0) == (None, True, True)
        # As when a later release has a font for it.
        await connection.execute(
            "UPDATE invoice SET document = replace(document, 'ᏣᎳᎩ', 'Tsalagi') WHERE order_id = $1", placed.id
        )
    content, _ = await rpc.raw(contract.GET_INVOICE, {"id": str(placed.id)}, identity=buyer)
    assert content.startswith(b"%PDF-")


async def test_the_first_pdf_of_an_invoice_counts(paid: Order, deps: OrderDeps) -> None:
    """Two releases that run side by side may draw it differently."""
    async with deps.db.connection() as connection:
        invoice = await store.find(connection, paid.id, 0)
        assert invoice is not None
        first = await store.set_pdf(connection, invoice, b"1" * 32)
        assert await store.set_pdf(connection, invoice, b"2" * 32) == first


async def test_an_invoice_without_a_pdf_is_left_to_one_process(paid: Order, deps: OrderDeps) -> None:
    async with deps.db.connection() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(
            "UPDATE invoice SET pdf_sha256 = NULL, render_at = '2020-01-01' WHERE order_id = $1", paid.id
        )
        leased = await store.lease_unrendered(connection, 1, invoice_pdfs.LEASE_SECONDS)
        assert [one.order_id for one in leased] == [paid.id]
        again = await store.lease_unrendered(connection, 1, invoice_pdfs.LEASE_SECONDS)
        assert paid.id not in {one.order_id for one in again}
        await transaction.rollback()


async def test_an_export_names_the_invoices_of_its_orders(
    as_service: Callable[[str], Awaitable[RpcCaller]], paid: Order
) -> None:
    query = {"user_id": str(paid.user_id), "emails": []}
    part = await (await as_service("user"))(privacy.EXPORT["order"], query)
    assert [(one.kind, one.order_id, one.total) for one in part.invoices] == [
        (InvoiceKind.INVOICE, paid.id, paid.total)
    ]
