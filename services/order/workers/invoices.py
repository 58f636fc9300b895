"""Issues invoices and credit notes: at the very end of the transaction that makes an order paid, or that applies a
refund.

A number is taken from a counter, whose row stays locked until the commit. So there is a number exactly where the
transaction has committed, in one sequence for all processes. The transactions of a shop that take numbers therefore
commit one after the other. A transaction with the captures of many orders takes all their numbers in one statement.
"""

from collections.abc import Sequence
from itertools import groupby
from uuid import UUID

from infra.database.postgres import Connection, Transaction
from infra.foundation.failpoints import failpoint
from infra.foundation.ids import now
from services.order.domain.credit_notes import InvoicedRefund, draft_credit_note
from services.order.domain.invoices import InvoiceDraft, InvoiceTerms, draft_invoice
from services.order.domain.orders import OrderRecord
from services.order.store import invoices as store
from services.order.store import queries


def issue_invoices(tx: Transaction, terms: InvoiceTerms, records: Sequence[OrderRecord]) -> None:
    """Issues the invoices of orders that this transaction makes paid, when it commits."""
    at = now()
    for record in records:
        tx.collect_last(_issue, draft_invoice(record.order, terms, at))


def issue_credit_note(tx: Transaction, terms: InvoiceTerms, order_id: UUID, refund_id: UUID, amount: int) -> None:
    """Issues the credit note of a refund when this transaction commits. The caller holds the lock on the order's row.

    A refund has one credit note, however often it is requested. An order without an invoice gets none.
    """
    tx.collect_last(_issue, InvoicedRefund(order_id, refund_id, amount, terms.credit_note_series))


async def issue_missing_invoice(tx: Transaction, terms: InvoiceTerms, order_id: UUID) -> bool:
    """Issues the invoice of an order that became paid without getting one. Returns whether it is such an order.

    The caller holds the lock on the order's row.
    """
    if not await store.lacks_invoice(tx.connection, order_id):
        return False
    record = await queries.find(tx.connection, order_id)
    issue_invoices(tx, terms, [record] if record is not None else [])
    return True


async def _issue(tx: Transaction, rows: Sequence[InvoiceDraft | InvoicedRefund]) -> None:
    """Invoices come first: then every transaction locks the counters in the same order."""
    await store.issue(tx.connection, [row for row in rows if isinstance(row, InvoiceDraft)])
    refunds = [row for row in rows if isinstance(row, InvoicedRefund)]
    if refunds:
        await store.issue(tx.connection, await _credit_notes(tx.connection, refunds))
    tx.on_commit(lambda: failpoint("order.invoice_issued"))


async def _credit_notes(connection: Connection, refunds: Sequence[InvoicedRefund]) -> list[InvoiceDraft]:
    issued = await store.list_of_orders(connection, [refund.order_id for refund in refunds])
    of_order = {order_id: list(group) for order_id, group in groupby(issued, key=lambda record: record.order_id)}
    credited = await store.credited(connection, [refund.refund_id for refund in refunds])
    notes = {order_id: [one.document for one in records[1:]] for order_id, records in of_order.items()}
    drafts: list[InvoiceDraft] = []
    for refund in refunds:
        if refund.order_id in of_order and refund.refund_id not in credited:
            draft = draft_credit_note(of_order[refund.order_id][0], notes[refund.order_id], refund, now())
            notes[refund.order_id].append(draft.document)
            credited.add(refund.refund_id)
            drafts.append(draft)
    return drafts
