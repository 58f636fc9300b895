"""Serves invoices and credit notes to the order's customer, its guest and administrators."""

from typing import Any
from uuid import UUID

from contracts.failure import NotFound
from contracts.order import CreditNoteRef, InvoiceFile, InvoiceNotReady, Order, OrderRef, OrderStatus
from infra.messaging.rpc_client import Reply, Request
from services.order.deps import OrderDeps
from services.order.domain.access import require_access
from services.order.domain.invoices import INVOICE_POSITION, InvoiceRecord
from services.order.handlers.guest_order_access import caller_of
from services.order.store import invoices as store
from services.order.store import queries
from services.order.workers import invoice_pdfs

CONTENT_TYPE = "application/pdf"


async def get_invoice(deps: OrderDeps, request: Request[OrderRef]) -> Reply[InvoiceFile]:
    """Returns the invoice of an order as a PDF."""
    order, invoice = await _find(deps, request, request.body.id, INVOICE_POSITION)
    if invoice is None:
        if order.status is OrderStatus.PENDING:
            raise InvoiceNotReady("The order is not paid yet. Its invoice is issued once it is.")
        raise NotFound("This order has no invoice.")
    return await _pdf(deps, invoice)


async def get_credit_note(deps: OrderDeps, request: Request[CreditNoteRef]) -> Reply[InvoiceFile]:
    """Returns a credit note of an order as a PDF."""
    _, credit_note = await _find(deps, request, request.body.id, request.body.n)
    if credit_note is None:
        raise NotFound("This order has no such credit note.")
    return await _pdf(deps, credit_note)


async def _find(
    deps: OrderDeps, request: Request[Any], order_id: UUID, position: int
) -> tuple[Order, InvoiceRecord | None]:
    """The caller's order, and the document at this position if there is one."""
    caller = caller_of(deps, request, order_id)
    async with deps.db.connection() as connection:
        order = require_access(await queries.find(connection, order_id), caller).order
        return order, await store.find(connection, order_id, position)


async def _pdf(deps: OrderDeps, invoice: InvoiceRecord) -> Reply[InvoiceFile]:
    """The PDF, which is made now if the worker has not come to it yet."""
    made = invoice if invoice.pdf_sha256 is not None else await invoice_pdfs.make(deps, invoice)
    if made is None:
        raise InvoiceNotReady(f"{invoice.full_number} is issued, but its PDF could not be made yet. Try again later.")
    return Reply(await invoice_pdfs.read(deps, made), content_type=CONTENT_TYPE)
