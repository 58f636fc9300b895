"""How invoices and credit notes are stored: numbered without gaps, found, and marked once their PDF is made."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any
from uuid import UUID

from infra.database.postgres import Connection
from services.order.domain.invoices import InvoiceDocument, InvoiceDraft, InvoiceRecord

# The counter's row stays locked until the commit: so the numbers have no gap, and this is the last statement before it.
# An order that becomes paid once more, because its row was restored from a backup, keeps its invoice.
_ISSUE = """
WITH draft AS (
    SELECT draft.*, row_number() OVER (ORDER BY place) AS step
    FROM unnest($4::uuid[], $5::int[], $6::uuid[], $7::text[], $8::bigint[], $9::bigint[], $10::text[])
        WITH ORDINALITY AS draft (order_id, position, refund_id, currency, tax, total, document, place)
    WHERE NOT EXISTS (
        SELECT FROM invoice WHERE invoice.order_id = draft.order_id AND invoice.position = draft.position
    )
), counter AS (
    INSERT INTO invoice_counter AS counter (series, year, last_number, last_issued_at)
    SELECT $1::text, $2::int, count(*), $3::timestamptz FROM draft HAVING count(*) > 0
    ON CONFLICT (series, year) DO UPDATE SET
        last_number = counter.last_number + excluded.last_number,
        last_issued_at = greatest(counter.last_issued_at, excluded.last_issued_at)
    RETURNING last_number, last_issued_at
)
INSERT INTO invoice (series, year, number, order_id, position, refund_id, issued_at, currency, tax, total, document)
SELECT $1, $2, last_number - (SELECT count(*) FROM draft) + draft.step, draft.order_id, draft.position,
       draft.refund_id, last_issued_at, draft.currency, draft.tax, draft.total, draft.document
FROM counter, draft
"""
_COLUMNS = "series, year, number, order_id, position, issued_at, document, pdf_sha256"
_FIND = f"SELECT {_COLUMNS} FROM invoice WHERE order_id = $1 AND position = $2"  # noqa: S608 - constants
_OF_ORDERS = f"""
SELECT {_COLUMNS} FROM invoice WHERE order_id = ANY($1::uuid[]) ORDER BY order_id, position
"""  # noqa: S608 - constants
_CREDITED = "SELECT refund_id FROM invoice WHERE refund_id = ANY($1::uuid[])"
_LEASE = f"""
WITH due AS (
    SELECT series AS due_series, year AS due_year, number AS due_number FROM invoice
    WHERE pdf_sha256 IS NULL AND render_at <= now() ORDER BY render_at LIMIT $1 FOR UPDATE SKIP LOCKED
)
UPDATE invoice SET render_at = now() + make_interval(secs => $2)
FROM due WHERE (series, year, number) = (due_series, due_year, due_number)
RETURNING {_COLUMNS}
"""  # noqa: S608 - constants
_SET_PDF = """
UPDATE invoice SET pdf_sha256 = coalesce(pdf_sha256, $4), render_error = NULL
WHERE series = $1 AND year = $2 AND number = $3
RETURNING pdf_sha256
"""
_POSTPONE = """
UPDATE invoice SET
    render_failures = render_failures + 1, render_error = $4,
    render_at = now() + make_interval(secs => least($5::float8 * 2::float8 ^ least(render_failures, 20), $6::float8))
WHERE series = $1 AND year = $2 AND number = $3 AND pdf_sha256 IS NULL
"""
MISSING_INVOICES = """
SELECT id FROM orders
CROSS JOIN (SELECT applied_at FROM migration WHERE room = 'order' AND number = 9) AS introduced
WHERE NOT EXISTS (SELECT FROM invoice WHERE order_id = orders.id AND position = 0) AND EXISTS (
    SELECT FROM jsonb_array_elements(history) AS step
    WHERE step ->> 'status' = 'paid' AND step ->> 'note' IS NULL AND (step ->> 'at')::timestamptz > applied_at
)
"""
"""Orders that became paid since invoices are known and have none: a process of an older release marked them."""
_LACKS_INVOICE = f"SELECT EXISTS (SELECT FROM ({MISSING_INVOICES} AND orders.id = $1) AS missing)"  # noqa: S608 - constants

MAX_ERROR_LENGTH = 500


async def issue(connection: Connection, drafts: Sequence[InvoiceDraft]) -> None:
    """Numbers and stores drafts, in one statement for each series and year. The transaction should end right after."""
    for (series, year), group in groupby(sorted(drafts, key=_counter_of), key=_counter_of):
        members = list(group)
        columns = zip(*(_values(draft) for draft in members), strict=True)
        at = max(draft.issued_at for draft in members)
        await connection.execute(_ISSUE, series, year, at, *columns)


def _counter_of(draft: InvoiceDraft) -> tuple[str, int]:
    return draft.series, draft.year


def _values(draft: InvoiceDraft) -> tuple[Any, ...]:
    document = draft.document
    return (
        draft.order_id,
        draft.position,
        draft.refund_id,
        document.currency,
        document.tax,
        document.total,
        document.model_dump_json(),
    )


async def find(connection: Connection, order_id: UUID, position: int) -> InvoiceRecord | None:
    """Returns the invoice of an order, or one of its credit notes."""
    row = await connection.fetchrow(_FIND, order_id, position)
    return _to_record(row) if row else None


async def list_of_orders(connection: Connection, order_ids: Sequence[UUID]) -> list[InvoiceRecord]:
    """Returns the invoices of these orders, each followed by its credit notes."""
    return [_to_record(row) for row in await connection.fetch(_OF_ORDERS, order_ids)]


async def credited(connection: Connection, refund_ids: Sequence[UUID]) -> set[UUID]:
    """Returns those of the refunds that have a credit note."""
    return {row["refund_id"] for row in await connection.fetch(_CREDITED, refund_ids)}


async def lacks_invoice(connection: Connection, order_id: UUID) -> bool:
    """Whether the order became paid without getting an invoice."""
    return bool(await connection.fetchval(_LACKS_INVOICE, order_id))


async def lease_unrendered(connection: Connection, limit: int, lease_seconds: float) -> list[InvoiceRecord]:
    """Takes invoices whose PDF is due, for so many seconds. Other processes skip them until then."""
    return [_to_record(row) for row in await connection.fetch(_LEASE, limit, lease_seconds)]


async def set_pdf(connection: Connection, invoice: InvoiceRecord, sha256: bytes) -> bytes:
    """Records the hash of the PDF unless there is one. Returns the one that counts: that of the first PDF."""
    first: bytes = await connection.fetchval(_SET_PDF, *_key(invoice), sha256)
    return first


async def postpone_pdf(
    connection: Connection, invoice: InvoiceRecord, error: str, delay_seconds: float, max_delay_seconds: float
) -> None:
    """Records a failed attempt. The delay before the next one doubles each time."""
    await connection.execute(_POSTPONE, *_key(invoice), error[:MAX_ERROR_LENGTH], delay_seconds, max_delay_seconds)


def _key(invoice: InvoiceRecord) -> tuple[str, int, int]:
    return invoice.series, invoice.year, invoice.number


def _to_record(row: Any) -> InvoiceRecord:
    return InvoiceRecord(
        series=row["series"],
        year=row["year"],
        number=row["number"],
        order_id=row["order_id"],
        position=row["position"],
        issued_at=row["issued_at"],
        document=InvoiceDocument.model_validate_json(row["document"]),
        pdf_sha256=row["pdf_sha256"],
    )
